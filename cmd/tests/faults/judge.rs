//! What became of the tasks, counted from the outside: by the receiver, the API server and the queue.

use std::collections::{BTreeMap, BTreeSet};

use fixtures::sink::Request;
use serde_json::Value;

use crate::plan::{self, Kind, Task};
use crate::world::{Queue, World};

/// One callback as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arrival {
    pub status: u64,
    pub webhook_id: String,
    pub bytes: Vec<u8>,
    pub detail: Value,
    /// Answered with a 2xx.
    pub accepted: bool,
}

impl Arrival {
    /// Says whether it is a task's last callback.
    pub(crate) const fn is_verdict(&self) -> bool {
        matches!(self.status, 2 | 3 | 99)
    }

    fn code(&self) -> Option<&str> {
        self.detail["error"]["errorCode"].as_str()
    }
}

/// Reads a callback, not yet as accepted.
pub(crate) fn read<'a>(request: &Request, tasks: &'a [Task]) -> (&'a Task, Arrival) {
    let task =
        plan::at_path(tasks, request.path()).unwrap_or_else(|| panic!("a callback at {}", request.path()));
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    assert_eq!(body["id"], task.id, "a callback at the URL of another task");
    let arrival = Arrival {
        status: body["status"].as_u64().unwrap_or(u64::MAX),
        webhook_id: request.header("webhook-id").unwrap_or_default().to_owned(),
        bytes: request.body.clone(),
        detail: body["detail"].clone(),
        accepted: false,
    };
    (task, arrival)
}

/// What the README names as possible for a task whose writes Redis has lost after it had acknowledged them.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum AfterLoss {
    /// Another verdict than the first, where no Job could bear the first one out any more.
    SecondVerdict,
    /// The verdict of a task without a Job again, under another webhook-id.
    ToldAgain,
    /// The same failure in other words.
    OtherWords,
    /// Its Job was gone by its TTL, and another was made.
    AnotherJob,
}

impl AfterLoss {
    pub(crate) const ALL: [AfterLoss; 4] = [
        AfterLoss::SecondVerdict,
        AfterLoss::ToldAgain,
        AfterLoss::OtherWords,
        AfterLoss::AnotherJob,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            AfterLoss::SecondVerdict => "a second verdict",
            AfterLoss::ToldAgain => "a verdict without a Job again, under another webhook-id",
            AfterLoss::OtherWords => "a failure in other words",
            AfterLoss::AnotherJob => "another Job after the TTL",
        }
    }
}

/// The counts of a run. All but the last three are violations where they are not 0.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Tasks without an accepted verdict, or without the Job that they should have had.
    pub lost: usize,
    /// Tasks with two verdicts, with two forms of one callback, or with two Jobs.
    pub doubled: usize,
    /// Callbacks that came before the one before them was accepted, or after the verdict, or never.
    pub out_of_order: usize,
    /// Tasks with a wrong verdict, or that were told of objects that are not theirs; Jobs of nobody, Jobs changed.
    pub wrong: usize,
    /// What is left in the queue or among the dead letters.
    pub left: usize,
    /// Tasks by what lost writes have made of them.
    pub after_loss: BTreeMap<AfterLoss, usize>,
    /// Accepted callbacks that came again.
    pub duplicates: usize,
    /// Callbacks that arrived.
    pub arrivals: usize,
}

impl Counts {
    /// The violations by name.
    pub(crate) const fn violations(&self) -> [(&'static str, usize); 5] {
        [
            ("lost", self.lost),
            ("doubled", self.doubled),
            ("out of order", self.out_of_order),
            ("wrong", self.wrong),
            ("left in the queue", self.left),
        ]
    }
}

/// Judges a run; the words say what is wrong with which task.
pub(crate) fn judge(world: &World, tasks: &[Task], queue: &Queue) -> (Counts, Vec<String>) {
    let mut judge = Judge {
        world,
        counts: Counts::default(),
        words: Vec::new(),
        broken: false,
    };
    for task in tasks {
        let arrivals = world.arrivals().get(&task.id).map_or(&[][..], Vec::as_slice);
        judge.counts.arrivals += arrivals.len();
        judge.task(task, arrivals);
    }
    judge.jobs(tasks);
    judge.queue(tasks, queue);
    (judge.counts, judge.words)
}

struct Judge<'a> {
    world: &'a World,
    counts: Counts,
    words: Vec<String>,
    /// Something is wrong with the task at hand.
    broken: bool,
}

impl Judge<'_> {
    fn say(&mut self, task: &Task, what: &str) {
        self.broken = true;
        self.words.push(format!("{}: {what}", task.id));
    }

    fn task(&mut self, task: &Task, arrivals: &[Arrival]) {
        self.broken = false;
        let mut loss = BTreeSet::new();
        if !arrivals.iter().any(|one| one.is_verdict() && one.accepted) {
            self.counts.lost += 1;
            self.say(task, "no verdict");
        }
        let mut firsts: Vec<&Arrival> = Vec::new();
        for (place, one) in arrivals.iter().enumerate() {
            let of_kind =
                |first: &&&Arrival| first.status == one.status || (first.is_verdict() && one.is_verdict());
            match firsts.iter().find(of_kind) {
                None => {
                    if !in_order(task.kind.statuses(), one.status, &arrivals[..place]) {
                        self.counts.out_of_order += 1;
                        self.say(task, &format!("{} out of order", one.status));
                    }
                    firsts.push(one);
                }
                Some(first) if (&first.webhook_id, &first.bytes) != (&one.webhook_id, &one.bytes) => {
                    match self.after_loss(task, first, one) {
                        Some(kind) => drop(loss.insert(kind)),
                        None => {
                            self.counts.doubled += 1;
                            self.say(task, &format!("{} in two forms", one.status));
                        }
                    }
                }
                Some(_) => {
                    let mut earlier = arrivals[..place].iter();
                    let again = earlier.any(|earlier| earlier.bytes == one.bytes && earlier.accepted);
                    self.counts.duplicates += usize::from(again);
                }
            }
        }
        self.firsts(task, &firsts);
        for kind in loss {
            *self.counts.after_loss.entry(kind).or_default() += 1;
        }
        if self.broken {
            let hit = self.world.hit.contains(&task.id);
            let told = arrivals.iter().map(|one| {
                let text = String::from_utf8_lossy(&one.bytes);
                format!("\n    {} {} {text}", one.webhook_id, one.accepted)
            });
            let told: String = told.collect();
            self.words
                .push(format!("  {:?}, lost writes: {hit}{told}", task.kind));
        }
    }

    /// What explains two forms of a callback; `None` where a promise was broken.
    fn after_loss(&self, task: &Task, first: &Arrival, one: &Arrival) -> Option<AfterLoss> {
        if !self.world.hit.contains(&task.id) {
            return None;
        }
        let another_job = task.expires && self.world.record.created(&task.job) > 1;
        if !one.is_verdict() {
            return another_job.then_some(AfterLoss::AnotherJob);
        }
        if first.bytes == one.bytes {
            return (!task.kind.has_job()).then_some(AfterLoss::ToldAgain);
        }
        if first.code().is_some() && first.code() == one.code() {
            return Some(AfterLoss::OtherWords);
        }
        let unsupported = matches!(task.kind, Kind::NoImage | Kind::Taken) || task.expires;
        unsupported.then_some(AfterLoss::SecondVerdict)
    }

    fn firsts(&mut self, task: &Task, firsts: &[&Arrival]) {
        let told: BTreeSet<u64> = firsts.iter().map(|one| one.status).collect();
        for status in task.kind.statuses() {
            if !matches!(status, 2 | 3 | 99) && !told.contains(status) {
                self.counts.out_of_order += 1;
                self.say(task, &format!("{status} is missing"));
            }
        }
        for one in firsts {
            if one.is_verdict() && !is_right(task.kind, one) {
                self.counts.wrong += 1;
                self.say(task, &format!("verdict {}", one.detail));
            }
            if !self.world.record.bears_out(task, one) {
                self.counts.wrong += 1;
                self.say(task, &format!("{} tells {}", one.status, one.detail));
            }
        }
    }

    fn jobs(&mut self, tasks: &[Task]) {
        let mut known = BTreeSet::new();
        for task in tasks {
            known.insert(task.job.as_str());
            let created = self.world.record.created(&task.job);
            if created == 0 && task.kind.has_job() {
                self.counts.lost += 1;
                self.say(task, "no Job was ever there");
            }
            let excused = task.expires && self.world.hit.contains(&task.id);
            if created > 1 && excused {
                *self.counts.after_loss.entry(AfterLoss::AnotherJob).or_default() += 1;
            } else if created > 1 {
                self.counts.doubled += 1;
                self.say(task, &format!("{created} Jobs"));
            }
        }
        for name in self.world.record.names().filter(|name| !known.contains(name)) {
            self.counts.wrong += 1;
            self.words.push(format!("{name}: a Job of no task"));
        }
        let touched = self.world.place.touched(&self.world.namespace, self.world.access);
        if touched > 0 {
            self.counts.wrong += 1;
            self.words.push(format!("{touched} requests have changed Jobs"));
        }
    }

    fn queue(&mut self, tasks: &[Task], queue: &Queue) {
        let invalid = tasks.iter().filter(|task| task.kind == Kind::Invalid).count();
        let refused = queue.dead.get("INVALID_MESSAGE").copied().unwrap_or_default();
        // One that is sent twice is refused twice; letters that Redis has lost are gone.
        let enough = refused >= invalid || !self.world.hit.is_empty();
        let others = queue.dead.keys().any(|reason| reason != "INVALID_MESSAGE");
        if queue.waiting > 0 || queue.taken > 0 || others || !enough {
            self.counts.left += 1;
            self.words.push(format!("{queue:?}, {invalid} invalid messages"));
        }
    }
}

/// Says whether all that comes before a status was accepted before, and nothing that comes after it has come.
fn in_order(wanted: &[u64], status: u64, earlier: &[Arrival]) -> bool {
    let Some(place) = wanted.iter().position(|one| *one == status) else {
        // A wrong verdict, which is counted as such.
        return !earlier.iter().any(Arrival::is_verdict);
    };
    let accepted = |status: &u64| earlier.iter().any(|one| one.status == *status && one.accepted);
    let came = |status: &u64| earlier.iter().any(|one| one.status == *status);
    wanted[..place].iter().all(accepted) && !wanted[place + 1..].iter().any(came)
}

fn is_right(kind: Kind, verdict: &Arrival) -> bool {
    if kind.statuses().last() != Some(&verdict.status) {
        return false;
    }
    kind.error().is_none_or(|(code, part)| {
        let error = &verdict.detail["error"];
        error["errorCode"] == code
            && error["message"]
                .as_str()
                .is_some_and(|message| message.contains(&part))
    })
}
