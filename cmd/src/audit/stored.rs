//! What the store says of its tasks, callbacks and tombstones, compared with the Jobs and with itself.

use adapters::driver::{read_callback, read_task, read_tombstone};
use adapters::store::survey::{GivenUp, Pages, Remembered, Stored};
use engine::{Closing, State, StateKind, Task, Uid};
use serde_json::Value;

use super::Error;
use super::finding::{Findings, Kind};
use super::jobs::Jobs;

/// Compares a page of tasks.
pub(super) fn tasks(
    store: &mut Pages,
    page: &[Stored],
    jobs: &Jobs,
    findings: &mut Findings,
) -> Result<(), Error> {
    let ids: Vec<&str> = page.iter().map(|task| task.id.as_str()).collect();
    let tombstones = store.tombstones_of(&ids)?;
    for (stored, tombstone) in page.iter().zip(tombstones) {
        let id = stored.id.as_str();
        if !stored.indexed {
            findings.add(Kind::TaskUnindexed, id, "it is not in the index of deadlines");
        }
        let read = match &stored.snapshot {
            Some((version, snapshot)) => read_task(snapshot, *version),
            None => Err("it is not one of ours".to_owned()),
        };
        match read {
            Err(why) => findings.add(Kind::SnapshotUnreadable, id, why),
            Ok(task) => {
                if task.state.kind() == StateKind::Received && !store.has_message(id)? {
                    findings.add(
                        Kind::MessageMissing,
                        id,
                        "it waits for its Job, and its message is gone",
                    );
                }
                task_of(id, &task, tombstone.as_ref(), jobs, findings);
            }
        }
    }
    Ok(())
}

fn task_of(id: &str, task: &Task, tombstone: Option<&Remembered>, jobs: &Jobs, findings: &mut Findings) {
    let (kind, spec) = (task.state.kind(), &task.spec);
    match (kind.is_terminal(), tombstone) {
        (true, None) => findings.add(
            Kind::TombstoneMissing,
            id,
            format!("it has ended as {}, and has no tombstone", kind.name()),
        ),
        (false, Some(_)) => findings.add(
            Kind::TombstoneEarly,
            id,
            format!("it is {}, and has a tombstone", kind.name()),
        ),
        (true, Some(_)) | (false, None) => {}
    }
    if let Some(uid) = awaited(&task.state)
        && !jobs.unread.contains(&spec.namespace)
        && !jobs.has_uid(&uid)
    {
        let found = format!(
            "it is {}, and its Job {}/{} is not there",
            kind.name(),
            spec.namespace,
            spec.job_name
        );
        findings.add(Kind::JobMissing, id, found);
    }
}

/// The Job that has to be there.
fn awaited(state: &State) -> Option<String> {
    match state {
        State::Created(_) | State::PodStarted(_) => state.job().map(Uid::to_string),
        State::Exception(end) => match &end.closing {
            Closing::LeftInPlace { uid, .. } => Some(uid.to_string()),
            Closing::Done | Closing::Ttl(_) => None,
        },
        State::Received(_) | State::Completed(_) | State::Failed(_) => None,
    }
}

/// Compares a page of the outbox.
pub(super) fn callbacks(
    store: &mut Pages,
    page: &[(String, Vec<u8>)],
    findings: &mut Findings,
) -> Result<(), Error> {
    let mut owned = Vec::new();
    for (key, entry) in page {
        match read_callback(entry) {
            Err(why) => findings.add(Kind::CallbackUnreadable, key, why),
            Ok(Some(callback)) => owned.extend(callback.task.map(|task| (key, task))),
            Ok(None) => {}
        }
    }
    let ids: Vec<&str> = owned.iter().map(|(_, task)| task.as_str()).collect();
    for ((key, task), stored) in owned.iter().zip(store.tasks_of(&ids)?) {
        if stored.is_none() {
            let found = format!("the store has no task {}", task.as_str());
            findings.add(Kind::CallbackWithoutTask, *key, found);
        }
    }
    Ok(())
}

/// Compares a page of tombstones.
pub(super) fn tombstones(store: &mut Pages, page: &[String], findings: &mut Findings) -> Result<(), Error> {
    let ids: Vec<&str> = page.iter().map(String::as_str).collect();
    let tasks = store.tasks_of(&ids)?;
    for ((id, tombstone), task) in ids.iter().zip(store.tombstones_of(&ids)?).zip(tasks) {
        let Some(tombstone) = tombstone else { continue };
        if let Err(why) = read_tombstone(&tombstone.value) {
            findings.add(Kind::TombstoneUnreadable, *id, why);
        } else if !tombstone.expires && task.is_none() {
            findings.add(
                Kind::TombstoneEndless,
                *id,
                "it does not expire, and the task is forgotten",
            );
        }
    }
    Ok(())
}

/// Compares a page of the index of deadlines.
pub(super) fn index(store: &mut Pages, page: &[String], findings: &mut Findings) -> Result<(), Error> {
    let ids: Vec<&str> = page.iter().map(String::as_str).collect();
    for (id, task) in ids.iter().zip(store.tasks_of(&ids)?) {
        if task.is_none() {
            findings.add(Kind::IndexWithoutTask, *id, "the index of deadlines names it");
        }
    }
    Ok(())
}

/// Compares a page of kept messages.
pub(super) fn messages(store: &mut Pages, page: &[String], findings: &mut Findings) -> Result<(), Error> {
    let ids: Vec<&str> = page.iter().map(String::as_str).collect();
    for (id, stored) in ids.iter().zip(store.tasks_of(&ids)?) {
        let Some(stored) = stored else {
            findings.add(
                Kind::MessageLeft,
                *id,
                "its message is kept, and there is no task",
            );
            continue;
        };
        let task = stored
            .snapshot
            .and_then(|(version, snapshot)| read_task(&snapshot, version).ok());
        if task.is_some_and(|task| task.state.kind() != StateKind::Received) {
            findings.add(
                Kind::MessageLeft,
                *id,
                "its message is kept, though its Job exists",
            );
        }
    }
    Ok(())
}

/// Compares a page of callbacks that were given up; those whose Job is gone are history.
pub(super) fn given_up(page: &[GivenUp], jobs: &Jobs, findings: &mut Findings) {
    for letter in page {
        let body: Value = serde_json::from_slice(&letter.body).unwrap_or_default();
        let id = body["id"].as_str().unwrap_or_default();
        if jobs.has_task(id) {
            let found = format!("status {} was given up: {}", body["status"], letter.reason);
            findings.add(Kind::CallbackGivenUp, id, found);
        }
    }
}
