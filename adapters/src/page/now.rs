//! The overview as the page gets it: one JSON object.

use std::collections::BTreeMap;

use engine::{EventKind, MOVES, StateKind};
use serde::Serialize;
use serde_json::{Value, json};

use super::Settings;
use super::hour::Hour;
use crate::driver::pause::Paused;
use crate::source::Depth;
use crate::view::{CallbackView, DeadCallbackView, LetterView, Moment, TaskView};

/// Tasks and callbacks that are listed, each.
const ROWS_MAX: usize = 200;

/// What was found in the store.
pub(super) struct Found {
    pub(super) tasks: Vec<TaskView>,
    pub(super) callbacks: Vec<CallbackView>,
    /// The newest refused messages.
    pub(super) letters: Vec<LetterView>,
    pub(super) dead_callbacks: Vec<DeadCallbackView>,
    pub(super) leader: Option<(String, String)>,
    /// Who paused the intake.
    pub(super) paused: Option<Paused>,
}

/// Describes everything.
pub(super) fn json(
    settings: &Settings,
    at: u64,
    found: &Found,
    depth: &Result<Depth, String>,
    hour: &Hour,
) -> String {
    let leader = found.leader.as_ref().map(|(epoch, holder)| {
        // The holder's name is that of its pod, and a nonce.
        let pod = holder.rsplit_once('_').map_or(holder.as_str(), |(pod, _)| pod);
        json!({ "epoch": epoch, "pod": pod })
    });
    let paused = found
        .paused
        .as_ref()
        .map(|paused| json!({ "by": paused.by, "reason": paused.reason, "since": Moment(paused.since_ms) }));
    let queue = match depth {
        Ok(depth) => json!({ "waiting": depth.waiting, "taken": depth.taken, "dead": depth.dead }),
        Err(error) => json!({ "error": error }),
    };
    let codes: Vec<Value> = hour
        .codes()
        .into_iter()
        .map(|(code, count)| json!({ "code": code, "count": count }))
        .collect();
    json!({
        "at": Moment(at),
        "version": settings.version,
        "replica": settings.replica,
        "leader": leader,
        "queue": queue,
        "paused": paused,
        "tasksMax": settings.tasks_max,
        "tasks": found.tasks.len(),
        "places": places(&found.tasks),
        "oldest": rows(found.tasks.iter().filter(|task| !is_end(task.state))),
        "callbacks": found.callbacks.len(),
        "oldestCallbacks": rows(found.callbacks.iter()),
        "deadCallbacks": found.dead_callbacks.len(),
        "newestDeadCallbacks": rows(found.dead_callbacks.iter().rev()),
        "newestLetters": found.letters,
        "hour": {
            "complete": hour.complete(),
            "minutes": hour.minutes(at),
            "took": hour.took(),
            "codes": codes,
        },
        "states": StateKind::ALL.map(StateKind::name),
        "ways": ways(hour),
    })
    .to_string()
}

fn rows<T: Serialize>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.take(ROWS_MAX).collect()
}

fn is_end(state: &str) -> bool {
    StateKind::ALL
        .iter()
        .any(|kind| kind.is_terminal() && kind.name() == state)
}

/// How many tasks are where.
fn places(tasks: &[TaskView]) -> Vec<Value> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for task in tasks {
        *counts.entry((task.state, task.phase)).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|((state, phase), count)| json!({ "state": state, "phase": phase, "count": count }))
        .collect()
}

/// Every way from one state to another that the table has, with its events and how often it was gone.
fn ways(hour: &Hour) -> Vec<Value> {
    let mut ways: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::from([
        (("", StateKind::Received.name()), vec![EventKind::Taken.name()]),
        (("", StateKind::Created.name()), vec![EventKind::Adopted.name()]),
    ]);
    for row in MOVES.iter().filter(|row| row.from != row.to) {
        let events = ways.entry((row.from.name(), row.to.name())).or_default();
        if !events.contains(&row.on.name()) {
            events.push(row.on.name());
        }
    }
    let gone = hour.moves();
    ways.into_iter()
        .map(|((from, to), events)| {
            let count = gone.get(&(from, to)).copied().unwrap_or_default();
            json!({ "from": from, "to": to, "events": events, "count": count })
        })
        .collect()
}
