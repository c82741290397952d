//! The tasks of a run, and what has to become of each.

use adapters::cluster::names::{self, Instance};
use fixtures::sink::{Reply, Script, Sink};
use serde_json::{Value, json};

use crate::chance::Chance;

const PREFIX: &str = "faults";
/// Where an image name is that says how a pod of the embedded cluster fares.
const SCRIPTED: &str = "scripted.invalid";

/// What all tasks of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Pods play what the name of their image says.
    pub scripted: bool,
    /// `ttlSecondsAfterFinished`.
    pub ttl: Option<u32>,
    /// Some tasks have an image without a proper name; each lasts more than 30 s.
    pub no_image: bool,
}

/// What a task does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Its container ends with 0.
    Ok,
    /// Its container ends with this code.
    Failing(u8),
    /// The name of its Job is taken by one that is not ours.
    Taken,
    /// The name of its image is none.
    NoImage,
    /// Its message breaks a rule.
    Invalid,
}

impl Kind {
    /// The statuses that the receiver is told, in their order.
    pub(crate) const fn statuses(self) -> &'static [u64] {
        match self {
            Kind::Ok => &[0, 1, 2],
            Kind::Failing(_) => &[0, 1, 3],
            Kind::NoImage => &[0, 99],
            Kind::Taken | Kind::Invalid => &[99],
        }
    }

    /// The error code of the verdict, and a part of its message.
    pub(crate) fn error(self) -> Option<(&'static str, String)> {
        match self {
            Kind::Ok => None,
            Kind::Failing(code) => Some(("JOB_EXECUTION_FAILED", format!("exit code {code} "))),
            Kind::Taken => Some(("JOB_ALREADY_EXISTS", String::new())),
            Kind::NoImage => Some(("POD_START_FAILED", String::new())),
            Kind::Invalid => Some(("INVALID_MESSAGE", String::new())),
        }
    }

    /// Says whether a Job of it is created.
    pub(crate) const fn has_job(self) -> bool {
        matches!(self, Kind::Ok | Kind::Failing(_) | Kind::NoImage)
    }
}

/// One task.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub id: String,
    pub kind: Kind,
    /// The path of its webhook, which no other task has.
    pub path: String,
    /// What the receiver answers to the first requests; 200 to all others.
    pub replies: Vec<Reply>,
    /// The name of its Job.
    pub job: String,
    /// Its Job goes by itself some time after its end.
    pub expires: bool,
    pub message: Value,
}

impl Task {
    /// Says whether the receiver answers the n-th request, counted from 0, with a 2xx.
    pub(crate) fn accepted(&self, nth: usize) -> bool {
        self.replies
            .get(nth)
            .is_none_or(|reply| *reply == Reply::status(200))
    }
}

/// The Job of somebody else that has the name of a task's Job; it never runs.
pub(crate) fn foreign_job(task: &Task) -> Value {
    let container = json!({"name": "main", "image": "busybox:latest"});
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": task.job},
        "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    })
}

/// Plans so many tasks in a namespace.
pub(crate) fn tasks(
    count: usize,
    terms: Terms,
    chance: &mut Chance,
    instance: &Instance,
    sink: &Sink,
) -> Vec<Task> {
    (0..count)
        .map(|number| task(number, terms, chance, instance, sink))
        .collect()
}

/// The task whose webhook has this path.
pub(crate) fn at_path<'a>(tasks: &'a [Task], path: &str) -> Option<&'a Task> {
    let number: usize = path.strip_prefix("/task/")?.parse().ok()?;
    tasks.get(number)
}

/// The receiver's script for these tasks.
pub(crate) fn replies(tasks: &[Task], sink: &Sink) {
    for task in tasks {
        let after = std::iter::once(Reply::status(200));
        sink.set(&task.path, task.replies.iter().cloned().chain(after));
    }
}

/// An empty script: every path answers 200 until it is told otherwise.
pub(crate) fn script() -> Script {
    Script::default()
}

fn task(number: usize, terms: Terms, chance: &mut Chance, instance: &Instance, sink: &Sink) -> Task {
    let kind = kind(chance, terms.no_image);
    // One namespace for each run, which the lock is named after.
    let namespace = instance.lock_name.as_str();
    let id = format!("{namespace}-{number}");
    let path = format!("/task/{number}");
    let mut job = json!({"prefixName": PREFIX, "namespace": namespace});
    if let Some(ttl) = terms.ttl {
        job["ttlSecondsAfterFinished"] = ttl.into();
    }
    if terms.scripted {
        job["image"] = image(kind, chance).into();
    } else {
        job["image"] = "busybox:latest".into();
        job["command"] = json!(["/bin/sh", "-c", shell(kind, chance.below(6))]);
    }
    match kind {
        Kind::NoImage => job["image"] = "Busybox::latest".into(),
        Kind::Invalid => job["image"] = Value::Null,
        Kind::Ok | Kind::Failing(_) | Kind::Taken => {}
    }
    Task {
        replies: flaws(chance),
        job: names::job_name(instance, namespace, &id, PREFIX),
        message: json!({"id": id, "service": "faults", "webhook": {"url": sink.url(&path)}, "job": job}),
        id,
        kind,
        path,
        expires: terms.ttl.is_some(),
    }
}

/// A life of a second or two, or none at all.
fn image(kind: Kind, chance: &mut Chance) -> String {
    let life = match kind {
        Kind::Failing(code) => format!("exit-{code}"),
        Kind::Ok | Kind::Taken | Kind::NoImage | Kind::Invalid => "ok".to_owned(),
    };
    let (start, run) = (chance.below(300), chance.below(4) * chance.below(700));
    format!("{SCRIPTED}/{life}?start={start}ms&run={run}ms")
}

fn kind(chance: &mut Chance, no_image: bool) -> Kind {
    match chance.below(100) {
        0..60 => Kind::Ok,
        60..85 => Kind::Failing(u8::try_from(1 + chance.below(100)).unwrap_or(1)),
        85..93 => Kind::Taken,
        93..97 if no_image => Kind::NoImage,
        _ => Kind::Invalid,
    }
}

fn shell(kind: Kind, seconds: u64) -> String {
    let code = match kind {
        Kind::Failing(code) => code,
        Kind::Ok | Kind::Taken | Kind::NoImage | Kind::Invalid => 0,
    };
    // A script of PID 1 would not be ended by a signal while it waits; none is sent here.
    if seconds == 0 {
        format!("exit {code}")
    } else {
        format!("sleep {seconds}; exit {code}")
    }
}

/// Every fourth receiver does not take everything at once.
fn flaws(chance: &mut Chance) -> Vec<Reply> {
    let ok = || Reply::status(200);
    match chance.below(16) {
        0 => vec![Reply::status(503)],
        1 => vec![Reply::Close],
        2 => vec![ok(), Reply::status(500)],
        3 => vec![ok(), ok(), Reply::status(503), Reply::Close],
        _ => Vec::new(),
    }
}
