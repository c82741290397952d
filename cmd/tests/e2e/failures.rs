//! Every way to fail that a real cluster can show: one row each, judged by what its receiver is told.
//!
//!     scripts/failures                                     # both suites, on a cluster of their own
//!     FAILURES=exit-42,no-secret scripts/failures          # some rows
//!
//! A suite has two workers, which differ in `POD_START_TIMEOUT`; a row has a namespace of its own. Rows run side by side,
//! since most of their time is waiting.

mod admission;
mod creates;
mod deletions;
mod disruptions;
mod evidence;
mod place;
mod plain;
mod programs;
mod record;
mod row;
mod starts;
mod watch;

use std::any::Any;
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use fixtures::kubernetes::{Access, Cluster};
use serde_json::{Value, json};

use self::place::{PATIENCE, Place};
use self::record::Recording;
use self::row::{Home, Patience, Row, Verdict};
use self::watch::Watch;
use crate::story::{Told, statuses};
use crate::task::Task;
use crate::world::{World, end, shared};

/// Rows at the same moment, in each suite.
const SIDE_BY_SIDE: usize = 16;
/// Names of rows, comma separated; unset: all.
const ONLY: &str = "FAILURES";
/// A file that gets one line a row: suite, row, `passed` or `FAILED`; unset: none.
const RESULTS: &str = "FAILURES_RESULTS";

#[test]
fn every_failure_is_named_with_the_permissions_that_are_needed() {
    suite("needed", &shared(), Access::Needed);
}

#[test]
fn every_failure_is_named_with_patch() {
    suite("patch", &shared(), Access::Patch);
}

/// The rows that it can show; the others are printed with the reason. `scripts/failures --embedded` runs them, without a cluster.
#[test]
fn every_failure_that_the_embedded_cluster_shows_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let cluster = Arc::new(Cluster::embedded(directory.path()).expect("it starts"));
    suite("embedded", &cluster, Access::Needed);
}

#[test]
fn every_failure_that_the_embedded_cluster_shows_is_named_with_patch() {
    let directory = tempfile::tempdir().expect("a directory");
    let cluster = Arc::new(Cluster::embedded(directory.path()).expect("it starts"));
    suite("embedded-patch", &cluster, Access::Patch);
}

/// All rows; those that wait longest come first.
fn rows() -> Vec<Row> {
    let mut rows = creates::rows();
    rows.extend(admission::rows());
    rows.extend(starts::rows());
    rows.extend(disruptions::rows());
    rows.extend(deletions::rows());
    rows.extend(programs::rows());
    rows
}

fn suite(name: &str, cluster: &Arc<Cluster>, access: Access) {
    let world = |kind: &str| World::on(Arc::clone(cluster), &format!("{kind}-{name}"), access);
    let (minute, hour) = (world("minute"), world("hour"));
    let start = |world: &World, timeout: &str| {
        let settings = [
            ("POD_START_TIMEOUT", timeout),
            ("LEADER_ELECTION_LEASE_SECONDS", "15"),
        ];
        world.worker_with(&world.lock_name, &settings)
    };
    let workers = [start(&minute, "60"), start(&hour, "3600")];
    let mut rows = wanted();
    if cluster.is_embedded() {
        for row in rows.iter() {
            if let Some(why) = row.beyond {
                eprintln!("{name} {}: not shown: {why}", row.name);
            }
        }
        rows.retain(|row| row.beyond.is_none());
    }
    let queue = Mutex::new(rows);
    let failed = Mutex::new(Vec::new());
    let watch = Watch::start(cluster);
    let all = queue.lock().expect("nobody has panicked").len();
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(row) = next(&queue) {
                    let world = match (row.patience, access, row.patched.code) {
                        // What can be stopped is judged sooner than the start timeout.
                        (_, Access::Patch, "POD_START_FAILED") | (Patience::Hour, ..) => &hour,
                        (Patience::Minute, ..) => &minute,
                    };
                    if !passes(&row, world, access, name, &watch) {
                        failed.lock().expect("rows do not panic").push(row.name);
                    }
                }
            });
        }
    });
    workers.into_iter().for_each(end);
    let failed = failed.into_inner().expect("rows do not panic");
    eprintln!("{name}: {} passed, {} failed", all - failed.len(), failed.len());
    assert!(failed.is_empty(), "{name}: {failed:?}");
    record::check_rows(&self::rows());
}

fn next(queue: &Mutex<VecDeque<Row>>) -> Option<Row> {
    queue.lock().expect("rows do not panic").pop_front()
}

fn wanted() -> VecDeque<Row> {
    let mut rows = rows();
    if let Some(only) = std::env::var(ONLY).ok().filter(|names| !names.is_empty()) {
        let only: Vec<&str> = only.split(',').collect();
        rows.retain(|row| only.contains(&row.name));
        assert_eq!(rows.len(), only.len(), "{ONLY} names rows that there are");
    }
    rows.into()
}

/// Plays a row, cleans up, and says in one line how it went.
fn passes(row: &Row, world: &World, access: Access, suite: &str, watch: &Watch) -> bool {
    let began = Instant::now();
    let place = Place::new(world, access, row.name);
    let played = catch_unwind(AssertUnwindSafe(|| play(row, &place, watch)));
    if played.is_err() {
        for kind in ["batch/v1/jobs", "pods"] {
            let there = world.cluster.get(&place.path(kind)).unwrap_or_default();
            for object in there["items"].as_array().into_iter().flatten() {
                eprintln!("--- {kind} of {suite} {}: {}", row.name, object["status"]);
            }
        }
    }
    let cleaned = catch_unwind(AssertUnwindSafe(|| {
        (row.after)(&place);
        world.cluster.delete(&place.itself());
    }));
    let seconds = began.elapsed().as_secs();
    count(suite, row, played.is_ok() && cleaned.is_ok());
    match played.and_then(|verdict| cleaned.map(|()| verdict)) {
        Ok(verdict) => {
            eprintln!(
                "{suite} {}: passed ({seconds} s): {}: {}",
                row.name,
                verdict.code(),
                verdict.message()
            );
            true
        }
        Err(panic) => {
            eprintln!("{suite} {}: FAILED ({seconds} s): {}", row.name, words(&*panic));
            false
        }
    }
}

/// Notes how a row went in one write, so that two suites can use the same file.
fn count(suite: &str, row: &Row, passed: bool) {
    let Some(path) = std::env::var_os(RESULTS).filter(|path| !path.is_empty()) else {
        return;
    };
    let word = if passed { "passed" } else { "FAILED" };
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .and_then(|mut file| file.write_all(format!("{suite} {} {word}\n", row.name).as_bytes()))
        .expect("the results can be written");
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}

fn play(row: &Row, place: &Place<'_>, watch: &Watch) -> Told {
    let world = place.world;
    match row.home {
        Home::Bound => world.cluster.create_namespace(&place.namespace, place.access),
        Home::Unbound => world.cluster.create_namespace(&place.namespace, Access::None),
        Home::Absent => {}
    }
    let webhook = world.sink.url("/callback");
    let mut task = Task::new(&world.id(row.name), &place.namespace, &webhook, row.script);
    for (field, value) in &row.fields {
        task = task.with(field, value.clone());
    }
    (row.before)(place, &mut task);
    world.push(&task);
    (row.during)(place, &task);
    let told = world.verdict(&task.id, PATIENCE);
    let frames = watch.until_now(place);
    judge(row, place, &task, &told);
    // A Job that is stopped says so, too: the others are recorded, and compared.
    if !place.world.cluster.is_embedded()
        && (place.access != Access::Patch || !row.needed.code.starts_with("POD_START_"))
    {
        let recording = Recording::new(place, &task, row.asks, &frames);
        recording.check(row.name, place.access == Access::Needed);
    }
    told.last().expect("there is a verdict").clone()
}

/// Compares what was told with what the row says, and with what is in the cluster.
fn judge(row: &Row, place: &Place<'_>, task: &Task, told: &[Told]) {
    let Verdict {
        statuses: expected,
        code,
        says,
    } = if place.access == Access::Patch {
        row.patched
    } else {
        row.needed
    };
    let verdict = told.last().expect("there is a verdict");
    assert_eq!(statuses(told), expected, "{verdict:?}");
    let job_name = place.world.job_name(task);
    let named = |part: &&str| {
        part.replace("{job}", &job_name)
            .replace("{namespace}", &place.namespace)
    };
    let says: Vec<String> = says.iter().map(named).collect();
    verdict.assert_says(code, &says.iter().map(String::as_str).collect::<Vec<_>>());
    let made = usize::from(expected.contains(&0));
    if !place.world.cluster.is_embedded() {
        assert_eq!(place.created().len(), made, "Jobs that were created");
    }
    let Some(job) = place.world.find_job(task).filter(|_| made == 1) else {
        return;
    };
    assert_eq!(told[0], Told::created(&job));
    if let (Some(pod), true) = (place.world.pods(task).first(), expected.contains(&1)) {
        assert_eq!(told[1], Told::started(pod));
    }
    if code.starts_with("POD_START_") {
        match place.access {
            Access::Patch => assert_stopped(place, task, verdict),
            Access::Needed | Access::None => assert_left(place, task, &job, verdict),
        }
    }
}

/// The Job is as it was, without a deadline or a verdict of ours, and the message says so.
fn assert_left(place: &Place<'_>, task: &Task, job: &Value, verdict: &Told) {
    let end = format!(
        "The Job was left in place and may still run; delete it with `kubectl delete job {} -n {}`.",
        place.world.job_name(task),
        place.namespace
    );
    assert!(verdict.message().ends_with(&end), "{verdict:?}");
    assert_eq!(job["spec"]["activeDeadlineSeconds"], Value::Null);
    assert_eq!(job["metadata"]["annotations"]["job-worker/verdict"], Value::Null);
}

/// The Job was stopped, and says with which verdict.
fn assert_stopped(place: &Place<'_>, task: &Task, verdict: &Told) {
    assert!(!verdict.message().contains("left in place"), "{verdict:?}");
    let job = place.until("a Job that has failed by its deadline", || {
        let job = place.world.find_job(task)?;
        let conditions = job["status"]["conditions"].as_array()?.clone();
        let ended = |c: &Value| c["type"] == "Failed" && c["reason"] == "DeadlineExceeded";
        conditions.iter().any(ended).then_some(job)
    });
    assert_eq!(job["spec"]["activeDeadlineSeconds"], 1);
    let written = job["metadata"]["annotations"]["job-worker/verdict"].as_str();
    let written: Value =
        serde_json::from_str(written.expect("the verdict is on the Job")).expect("it is JSON");
    let wanted = json!({"code": verdict.code(), "message": verdict.message()});
    assert_eq!(written, wanted);
}
