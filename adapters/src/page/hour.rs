//! The last hour as the event log tells it: how many tasks a minute, how long each phase, which rows fired.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use crate::view::EventView;

const MINUTE_MS: u64 = 60_000;
const MINUTES: u64 = 60;
/// Tasks whose phases are measured at the same time; of more, no more.
const MEASURED_MAX: usize = 20_000;
/// Durations kept of each phase, the newest.
const SAMPLES_MAX: usize = 5_000;

/// The names of the phases that are measured.
const PHASES: [&str; 4] = ["to the first create", "create", "pod start", "run"];

/// What happened in the last hour.
#[derive(Default)]
pub(super) struct Hour {
    cursor: Option<String>,
    complete: bool,
    minutes: BTreeMap<u64, Minute>,
    /// How many phases of a task are over, and when the last one ended.
    measured: BTreeMap<String, (usize, u64)>,
    samples: [VecDeque<(u64, u64)>; PHASES.len()],
}

/// What happened in one minute.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Minute {
    at: u64,
    taken: u32,
    completed: u32,
    failed: u32,
    exception: u32,
    #[serde(skip)]
    moves: BTreeMap<(&'static str, &'static str), u32>,
    #[serde(skip)]
    codes: BTreeMap<&'static str, u32>,
}

/// How long a phase took.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Took {
    phase: &'static str,
    count: usize,
    median_ms: u64,
    p95_ms: u64,
    p99_ms: u64,
}

impl Hour {
    /// Drops what is older than an hour, and says where to read on.
    pub(super) fn begin(&mut self, now: u64) -> String {
        let oldest = now.saturating_sub(MINUTES * MINUTE_MS);
        self.minutes.retain(|minute, _| (minute + 1) * MINUTE_MS > oldest);
        for samples in &mut self.samples {
            while samples.front().is_some_and(|(at, _)| *at < oldest) {
                samples.pop_front();
            }
        }
        let start = || format!("{oldest}-0");
        let known = self.cursor.clone().filter(|cursor| place(cursor) >= oldest);
        known.unwrap_or_else(start)
    }

    /// Notes how far the log was read, and whether that is its end.
    pub(super) fn read_to(&mut self, cursor: &str, complete: bool) {
        self.cursor = Some(cursor.to_owned());
        self.complete = complete;
    }

    /// Takes in a transition.
    pub(super) fn take(&mut self, event: &EventView) {
        if event.is_order() {
            return;
        }
        let at = event.at.0;
        let minute = self.minutes.entry(at / MINUTE_MS).or_default();
        minute.at = at / MINUTE_MS * MINUTE_MS;
        let from = event.from.unwrap_or("");
        *minute.moves.entry((from, event.to)).or_default() += 1;
        if from.is_empty() {
            minute.taken += 1;
        }
        let ended = from != event.to && is_end(event.to) && !is_end(from);
        if ended {
            match event.to {
                "Completed" => minute.completed += 1,
                "Failed" => minute.failed += 1,
                _ => minute.exception += 1,
            }
            if let Some(code) = event.error_code {
                *minute.codes.entry(code).or_default() += 1;
            }
        }
        self.measure(event, ended);
    }

    fn measure(&mut self, event: &EventView, ended: bool) {
        if event.from.is_none() && event.to == "Received" && self.measured.len() < MEASURED_MAX {
            self.measured.insert(event.task.clone(), (0, event.at.0));
        }
        let Some((done, since)) = self.measured.get(&event.task).copied() else {
            return;
        };
        let over = match done {
            0 => event.event == "Granted",
            1 => event.to == "Created",
            2 => event.callbacks.contains(&1) || event.to == "PodStarted",
            _ => ended,
        };
        if over {
            let samples = &mut self.samples[done];
            samples.push_back((event.at.0, event.at.0.saturating_sub(since)));
            if samples.len() > SAMPLES_MAX {
                samples.pop_front();
            }
            self.measured.insert(event.task.clone(), (done + 1, event.at.0));
        }
        if ended || done + usize::from(over) >= PHASES.len() {
            self.measured.remove(&event.task);
        }
    }

    /// Tells whether the whole hour was read.
    pub(super) const fn complete(&self) -> bool {
        self.complete
    }

    /// Returns each of the last sixty minutes, also those in which nothing happened.
    pub(super) fn minutes(&self, now: u64) -> Vec<Minute> {
        let last = now / MINUTE_MS;
        (last.saturating_sub(MINUTES - 1)..=last)
            .map(|minute| {
                self.minutes.get(&minute).cloned().unwrap_or_else(|| Minute {
                    at: minute * MINUTE_MS,
                    ..Minute::default()
                })
            })
            .collect()
    }

    /// Returns how often each way from one state to another was gone.
    pub(super) fn moves(&self) -> BTreeMap<(&'static str, &'static str), u32> {
        let mut sums = BTreeMap::new();
        for minute in self.minutes.values() {
            for (way, count) in &minute.moves {
                *sums.entry(*way).or_default() += count;
            }
        }
        sums
    }

    /// Returns how many tasks ended with each code, the most frequent first.
    pub(super) fn codes(&self) -> Vec<(&'static str, u32)> {
        let mut sums: BTreeMap<&'static str, u32> = BTreeMap::new();
        for minute in self.minutes.values() {
            for (code, count) in &minute.codes {
                *sums.entry(code).or_default() += count;
            }
        }
        let mut codes: Vec<(&'static str, u32)> = sums.into_iter().collect();
        codes.sort_by_key(|(code, count)| (std::cmp::Reverse(*count), *code));
        codes
    }

    /// Returns how long each phase took.
    pub(super) fn took(&self) -> Vec<Took> {
        let phases = PHASES.iter().zip(&self.samples);
        phases
            .map(|(phase, samples)| {
                let mut times: Vec<u64> = samples.iter().map(|(_, ms)| *ms).collect();
                times.sort_unstable();
                let at = |percent: usize| {
                    let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
                    times.get(place).copied().unwrap_or_default()
                };
                Took {
                    phase,
                    count: times.len(),
                    median_ms: at(50),
                    p95_ms: at(95),
                    p99_ms: at(99),
                }
            })
            .collect()
    }
}

fn is_end(state: &str) -> bool {
    ["Completed", "Failed", "Exception"].contains(&state)
}

/// The time in the name of a record.
fn place(cursor: &str) -> u64 {
    cursor
        .split('-')
        .next()
        .and_then(|ms| ms.parse().ok())
        .unwrap_or_default()
}
