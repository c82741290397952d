//! What became of the tasks, counted from the outside: by the receiver, the audit log and the objects in the cluster.

use std::collections::{BTreeMap, BTreeSet};

use fixtures::kubernetes::Access;
use fixtures::sink::Request;
use serde_json::{Value, json};

use crate::plan::{Kind, Task};
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
}

/// Sorts the requests by task, each in the order of arrival.
pub(crate) fn arrivals(requests: &[Request], tasks: &[Task]) -> BTreeMap<String, Vec<Arrival>> {
    let by_path: BTreeMap<&str, &Task> = tasks.iter().map(|task| (task.path.as_str(), task)).collect();
    let mut sorted: BTreeMap<String, Vec<Arrival>> = BTreeMap::new();
    for request in requests {
        let task = by_path
            .get(request.path())
            .unwrap_or_else(|| panic!("a callback at {}", request.path()));
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        assert_eq!(body["id"], task.id, "a callback at the URL of another task");
        let of_task = sorted.entry(task.id.clone()).or_default();
        of_task.push(Arrival {
            status: body["status"].as_u64().unwrap_or(u64::MAX),
            webhook_id: request.header("webhook-id").unwrap_or_default().to_owned(),
            bytes: request.body.clone(),
            detail: body["detail"].clone(),
            accepted: task.accepted(of_task.len()),
        });
    }
    sorted
}

/// The counts of a run. All but the last three are violations where they are not 0.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Tasks without an accepted verdict.
    pub lost: usize,
    /// Tasks with two different verdicts, or with two forms of one callback.
    pub two_verdicts: usize,
    /// Tasks whose verdict is not the right one.
    pub wrong_verdict: usize,
    /// Tasks that were told something of objects that are not theirs.
    pub wrong_detail: usize,
    /// Tasks with a callback that came before the one before it was accepted, or after the verdict.
    pub out_of_order: usize,
    /// Callbacks that were never accepted although a later one was.
    pub missing: usize,
    /// Jobs whose create succeeded more than once.
    pub doubled_creates: usize,
    /// Tasks without the Job that they should have.
    pub no_job: usize,
    /// Jobs that no task has.
    pub stray_jobs: usize,
    /// Requests that deleted or changed a Job.
    pub touched: usize,
    /// Whether something is left in the queue, or a letter is there that should not be, or one is not.
    pub queue: usize,
    /// Creates that succeeded without anybody to hear the answer.
    pub unheard_creates: usize,
    /// Accepted callbacks that came again.
    pub duplicates: usize,
    /// Callbacks that arrived.
    pub arrivals: usize,
}

impl Counts {
    /// The violations by name.
    pub(crate) fn violations(&self) -> [(&'static str, usize); 11] {
        [
            ("tasks lost", self.lost),
            ("tasks with two verdicts", self.two_verdicts),
            ("wrong verdicts", self.wrong_verdict),
            ("wrong details", self.wrong_detail),
            ("callbacks out of order", self.out_of_order),
            ("callbacks missing", self.missing),
            ("Jobs created twice", self.doubled_creates),
            ("Jobs missing", self.no_job),
            ("stray Jobs", self.stray_jobs),
            ("Jobs changed or deleted", self.touched),
            ("left in the queue", self.queue),
        ]
    }
}

/// Judges a run; the words say what is wrong with which task.
pub(crate) fn judge(world: &World, tasks: &[Task], queue: &Queue) -> (Counts, Vec<String>) {
    let mut verdict = Judge {
        counts: Counts::default(),
        words: Vec::new(),
        objects: Objects::of(world),
    };
    let requests = world.sink.requests();
    verdict.counts.arrivals = requests.len();
    let arrivals = arrivals(&requests, tasks);
    for task in tasks {
        verdict.task(task, arrivals.get(&task.id).map_or(&[], Vec::as_slice));
    }
    verdict.creates(world, tasks);
    verdict.queue(tasks, queue);
    (verdict.counts, verdict.words)
}

/// The Jobs and pods of the namespace, by name and by uid.
struct Objects {
    jobs: BTreeMap<String, Value>,
    pods: BTreeMap<String, Value>,
}

impl Objects {
    fn of(world: &World) -> Objects {
        let namespace = &world.namespace;
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let pods = world.cluster.get(&path).unwrap_or_default();
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Objects {
            jobs: world
                .cluster
                .jobs(namespace)
                .into_iter()
                .map(|job| (text(&job["metadata"]["name"]), job))
                .collect(),
            pods: pods
                .into_iter()
                .map(|pod| (text(&pod["metadata"]["uid"]), pod))
                .collect(),
        }
    }

    /// Says whether a detail speaks of the objects of this task.
    fn bear_out(&self, task: &Task, one: &Arrival) -> bool {
        let job = self.jobs.get(&task.job);
        match one.status {
            0 => job.is_some_and(|job| {
                one.detail == json!({"jobId": job["metadata"]["uid"], "jobName": task.job})
            }),
            1 => self
                .pods
                .get(one.detail["podId"].as_str().unwrap_or_default())
                .is_some_and(|pod| {
                    pod["metadata"]["name"] == one.detail["podName"]
                        && pod["metadata"]["labels"]["job-name"] == task.job.as_str()
                }),
            2 => job.is_some_and(|job| {
                let status = &job["status"];
                let whole = seconds(&status["completionTime"]).zip(seconds(&status["startTime"]));
                whole.is_some_and(|(end, start)| one.detail == json!({"duration": end - start}))
            }),
            _ => true,
        }
    }
}

fn seconds(time: &Value) -> Option<i64> {
    let time: jiff::Timestamp = time.as_str()?.parse().ok()?;
    Some(time.as_second())
}

struct Judge {
    counts: Counts,
    words: Vec<String>,
    objects: Objects,
}

impl Judge {
    fn task(&mut self, task: &Task, arrivals: &[Arrival]) {
        let before = self.words.len();
        let wanted = task.kind.statuses();
        if !arrivals.iter().any(|one| one.is_verdict() && one.accepted) {
            self.counts.lost += 1;
            self.words.push(format!("{}: no verdict", task.id));
        }
        let mut firsts: Vec<&Arrival> = Vec::new();
        for (place, one) in arrivals.iter().enumerate() {
            match firsts.iter().find(|first| first.status == one.status) {
                None => {
                    let earlier = &arrivals[..place];
                    if !in_order(wanted, one.status, earlier) {
                        self.counts.out_of_order += 1;
                        self.words
                            .push(format!("{}: {} out of order", task.id, one.status));
                    }
                    firsts.push(one);
                }
                Some(first) if (&first.webhook_id, &first.bytes) != (&one.webhook_id, &one.bytes) => {
                    self.counts.two_verdicts += 1;
                    self.words
                        .push(format!("{}: {} in two forms", task.id, one.status));
                }
                Some(_) => {
                    let again = arrivals[..place]
                        .iter()
                        .any(|earlier| earlier.status == one.status && earlier.accepted);
                    self.counts.duplicates += usize::from(again);
                }
            }
        }
        self.firsts(task, &firsts, wanted);
        if self.words.len() > before {
            let told = arrivals.iter().map(|one| {
                let text = String::from_utf8_lossy(&one.bytes);
                format!("\n    {} {} {text}", one.webhook_id, one.accepted)
            });
            self.words
                .push(format!("  {:?}{}", task.kind, told.collect::<String>()));
        }
    }

    fn firsts(&mut self, task: &Task, firsts: &[&Arrival], wanted: &[u64]) {
        let told: BTreeSet<u64> = firsts.iter().map(|one| one.status).collect();
        for status in wanted.iter().filter(|status| !matches!(status, 2 | 3 | 99)) {
            if !told.contains(status) {
                self.counts.missing += 1;
                self.words.push(format!("{}: {status} is missing", task.id));
            }
        }
        let verdicts: Vec<&&Arrival> = firsts.iter().filter(|one| one.is_verdict()).collect();
        if verdicts.len() > 1 {
            self.counts.two_verdicts += 1;
            self.words
                .push(format!("{}: {} verdicts", task.id, verdicts.len()));
        }
        if let Some(verdict) = verdicts.first()
            && !is_right(task.kind, verdict)
        {
            self.counts.wrong_verdict += 1;
            self.words.push(format!("{}: {}", task.id, verdict.detail));
        }
        for one in firsts {
            if !self.objects.bear_out(task, one) {
                self.counts.wrong_detail += 1;
                self.words
                    .push(format!("{}: {} tells {}", task.id, one.status, one.detail));
            }
        }
    }

    fn creates(&mut self, world: &World, tasks: &[Task]) {
        let mut succeeded: BTreeMap<String, usize> = BTreeMap::new();
        for entry in world.cluster.audit(&world.namespace) {
            let by_worker = entry.user.starts_with("system:serviceaccount:job-worker:");
            if entry.namespace != world.namespace || entry.resource != "jobs" || !by_worker {
                continue;
            }
            match entry.verb.as_str() {
                "create" if entry.code == 201 => *succeeded.entry(entry.name).or_default() += 1,
                "create" | "get" | "list" | "watch" => {}
                "patch" if world.access == Access::Patch => {}
                _ => self.counts.touched += 1,
            }
        }
        for (job, times) in &succeeded {
            if *times > 1 {
                self.counts.doubled_creates += 1;
                self.words.push(format!("{job}: created {times} times"));
            }
        }
        let ours: BTreeSet<&str> = tasks
            .iter()
            .filter(|task| task.kind.has_job())
            .map(|task| task.job.as_str())
            .collect();
        for job in &ours {
            if !self.objects.jobs.contains_key(*job) {
                self.counts.no_job += 1;
                self.words.push(format!("{job}: is not there"));
            } else if !succeeded.contains_key(*job) {
                self.counts.unheard_creates += 1;
            }
        }
        let foreign: BTreeSet<&str> = tasks
            .iter()
            .filter(|task| task.kind == Kind::Taken)
            .map(|task| task.job.as_str())
            .collect();
        for job in self.objects.jobs.keys() {
            if !ours.contains(job.as_str()) && !foreign.contains(job.as_str()) {
                self.counts.stray_jobs += 1;
                self.words.push(format!("{job}: belongs to no task"));
            }
        }
    }

    fn queue(&mut self, tasks: &[Task], queue: &Queue) {
        let invalid = tasks.iter().filter(|task| task.kind == Kind::Invalid).count();
        let refused = queue.dead.get("INVALID_MESSAGE").copied().unwrap_or_default();
        let wanted = Queue {
            waiting: 0,
            taken: 0,
            // One that is sent twice is refused twice.
            dead: Some(refused.max(invalid))
                .filter(|letters| *letters > 0)
                .map(|letters| ("INVALID_MESSAGE".to_owned(), letters))
                .into_iter()
                .collect(),
        };
        if *queue != wanted {
            self.counts.queue += 1;
            self.words.push(format!("{queue:?}, not {wanted:?}"));
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
