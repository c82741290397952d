//! What the API server had: every Job that was ever there, by name, and every pod.
//!
//! Looks are taken all along the run, closer to each other than the shortest TTL, so that no Job comes and goes unseen.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::judge::Arrival;
use crate::plan::Task;

/// One Job object, as it was seen last.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Job {
    uid: String,
    started: Option<i64>,
    ended: Option<i64>,
}

/// One pod.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Pod {
    name: String,
    job: String,
}

/// All that was seen.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// By name; one uid after another where a name was used again.
    jobs: BTreeMap<String, Vec<Job>>,
    /// By uid.
    pods: BTreeMap<String, Pod>,
}

impl Record {
    /// Takes a look at what is there.
    pub(crate) fn note(&mut self, jobs: &[Value], pods: &[Value]) {
        for job in jobs {
            let seen = Job {
                uid: text(&job["metadata"]["uid"]),
                started: seconds(&job["status"]["startTime"]),
                ended: seconds(&job["status"]["completionTime"]),
            };
            let known = self.jobs.entry(text(&job["metadata"]["name"])).or_default();
            match known.iter_mut().find(|known| known.uid == seen.uid) {
                Some(known) => *known = seen,
                None => known.push(seen),
            }
        }
        for pod in pods {
            let seen = Pod {
                name: text(&pod["metadata"]["name"]),
                job: text(&pod["metadata"]["labels"]["job-name"]),
            };
            self.pods.insert(text(&pod["metadata"]["uid"]), seen);
        }
    }

    /// How many Jobs have had a name.
    pub(crate) fn created(&self, name: &str) -> usize {
        self.jobs.get(name).map_or(0, Vec::len)
    }

    /// The names of all Jobs that ever were.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.jobs.keys().map(String::as_str)
    }

    /// Says whether a detail speaks of the objects of this task.
    pub(crate) fn bears_out(&self, task: &Task, one: &Arrival) -> bool {
        let jobs = self.jobs.get(&task.job).map_or(&[][..], Vec::as_slice);
        match one.status {
            0 => jobs
                .iter()
                .any(|job| one.detail == json!({"jobId": job.uid, "jobName": task.job})),
            1 => self
                .pods
                .get(one.detail["podId"].as_str().unwrap_or_default())
                .is_some_and(|pod| one.detail["podName"] == pod.name.as_str() && pod.job == task.job),
            2 => jobs.iter().any(|job| {
                let whole = job.ended.zip(job.started);
                whole.is_some_and(|(end, start)| one.detail == json!({"duration": end - start}))
            }),
            _ => true,
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn seconds(time: &Value) -> Option<i64> {
    let time: jiff::Timestamp = time.as_str()?.parse().ok()?;
    Some(time.as_second())
}
