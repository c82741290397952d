//! The API server and what acts behind it: Job controller, kubelet, garbage and TTL collectors.
//!
//! It knows nothing of the worker. Every change has a version and stays in the history, which watches read.

use crate::plan::{Fault, Plan};
use crate::rng::Rng;
use adapters::cluster::names::annotation;
use std::collections::{BTreeMap, BTreeSet};

/// A Job.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    /// By the API server's clock, as every time here.
    pub(crate) created: u64,
    pub(crate) version: u64,
    /// The instance label; `None` once somebody took it off.
    pub(crate) label: Option<String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) suspended: bool,
    pub(crate) deadline_secs: Option<u64>,
    pub(crate) ttl_secs: Option<u64>,
    pub(crate) started: Option<u64>,
    pub(crate) end: Option<End>,
    pub(crate) deleting: Option<u64>,
    backoff_limit: u64,
    failures: u64,
    life: Life,
}

impl Job {
    /// The task's id.
    pub(crate) fn task(&self) -> &str {
        self.annotations.get(annotation::ID).map_or("", String::as_str)
    }
}

/// The terminal condition.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) complete: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) at: u64,
}

/// A pod.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
    pub(crate) job: String,
    pub(crate) label: String,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) created: u64,
    pub(crate) state: PodState,
    pub(crate) deleting: Option<u64>,
    pub(crate) disrupted: bool,
}

/// How far a pod is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PodState {
    Unplaced,
    /// The container waits, for this reason.
    Waiting(&'static str),
    Running {
        since: u64,
    },
    Ended {
        /// `None`: it never ran.
        began: Option<u64>,
        at: u64,
        exit: i32,
        reason: &'static str,
    },
}

/// What will become of a Job, drawn when it is made.
#[derive(Clone, Debug)]
struct Life {
    suspended_for: Option<u64>,
    /// No pod is ever made.
    no_pod: bool,
    /// What its first pod waits for, and for how long; `None`: for ever.
    trouble: Option<(PodState, Option<u64>)>,
    start_after: u64,
    run: u64,
    /// How many pods fail before one succeeds.
    bad_pods: u64,
    exit: i32,
    /// Start and end come as one change.
    sudden: bool,
    /// Its bad pods fail before a container ran.
    stillborn: bool,
    foreground: bool,
}

/// One line of the history.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) what: Object,
    pub(crate) deleted: bool,
}

/// A Job or a pod, as it was.
#[derive(Clone, Debug)]
pub(crate) enum Object {
    Job(Box<Job>),
    Pod(Box<Pod>),
}

#[derive(Clone, Debug)]
enum Due {
    Resume(String),
    MakePod(String),
    Start(String),
    End(String),
    Count(String, String),
    Finish(String, bool),
    Deadline(String),
    Ttl(String),
    Remove(String),
    Collect(String),
}

/// Who deleted a Job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Deleter {
    Ttl,
    ThirdParty,
    /// Somebody who cleans up what is finished or left.
    Janitor,
}

/// What a create asks for.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) label: Option<String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) backoff_limit: u64,
    pub(crate) deadline_secs: Option<u64>,
    pub(crate) ttl_secs: Option<u64>,
}

/// What happened for good, by the Job's uid: nobody of the worker can see this.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) started: BTreeSet<String>,
    pub(crate) ended: BTreeMap<String, bool>,
    pub(crate) gone: BTreeMap<String, Deleter>,
    /// Jobs whose label was taken off, for a while or for good.
    pub(crate) unlabelled: BTreeSet<String>,
    /// Jobs that were deleted while they had no label: no watch has seen it.
    pub(crate) unseen: BTreeSet<String>,
    /// Jobs ever made, by task id, in order.
    pub(crate) made: BTreeMap<String, Vec<String>>,
    /// Job uid by pod uid.
    pub(crate) pods: BTreeMap<String, String>,
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Kube {
    pub(crate) jobs: BTreeMap<String, Job>,
    pub(crate) pods: BTreeMap<String, Pod>,
    pub(crate) history: Vec<Change>,
    pub(crate) truth: Truth,
    /// Its clock against the simulation's.
    pub(crate) clock_ahead: u64,
    pub(crate) notes: Vec<String>,
    due: BTreeMap<(u64, u64), Due>,
    counter: u64,
    now: u64,
    rng: Rng,
    odd: bool,
}

impl Kube {
    pub(crate) fn new(plan: &Plan, clock_ahead: u64) -> Self {
        Self {
            jobs: BTreeMap::new(),
            pods: BTreeMap::new(),
            history: Vec::new(),
            truth: Truth::default(),
            clock_ahead,
            notes: Vec::new(),
            due: BTreeMap::new(),
            counter: 0,
            now: 0,
            rng: Rng::new(plan.seed ^ 0x00c1_0000_0000_0007),
            odd: plan.has(Fault::Lives),
        }
    }

    pub(crate) fn next_due(&self) -> Option<u64> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Does what is due at `now`.
    pub(crate) fn advance(&mut self, now: u64) {
        self.now = now;
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let due = entry.remove();
            self.act(due);
        }
    }

    pub(crate) const fn wall(&self) -> u64 {
        self.now + self.clock_ahead
    }

    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<&Job> {
        self.jobs
            .values()
            .find(|job| job.namespace == namespace && job.name == name)
    }

    pub(crate) fn pods_of(&self, task: &str) -> Vec<Pod> {
        let of = |pod: &&Pod| pod.annotations.get(annotation::ID).is_some_and(|id| id == task);
        self.pods.values().filter(of).cloned().collect()
    }

    /// Makes a Job; `None` where the name is taken.
    pub(crate) fn create(&mut self, draft: Draft) -> Option<Job> {
        if self.find(&draft.namespace, &draft.name).is_some() {
            return None;
        }
        let life = self.draw_life();
        let uid = self.uid("j");
        let job = Job {
            name: draft.name,
            namespace: draft.namespace,
            uid: uid.clone(),
            created: self.wall(),
            version: 0,
            label: draft.label,
            annotations: draft.annotations,
            suspended: life.suspended_for.is_some(),
            deadline_secs: draft.deadline_secs,
            ttl_secs: draft.ttl_secs,
            started: None,
            end: None,
            deleting: None,
            backoff_limit: draft.backoff_limit,
            failures: 0,
            life,
        };
        self.truth
            .made
            .entry(job.task().to_owned())
            .or_default()
            .push(uid.clone());
        let suspended_for = job.life.suspended_for;
        self.jobs.insert(uid.clone(), job);
        self.changed_job(&uid, |_| {});
        match suspended_for {
            Some(ms) => self.later(ms, Due::Resume(uid.clone())),
            None => self.begin(&uid),
        }
        self.jobs.get(&uid).cloned()
    }

    /// Writes a verdict and `activeDeadlineSeconds: 1`, if the Job is as it was seen.
    pub(crate) fn stop(&mut self, uid: &str, version: u64, verdict: String) -> Result<(), u16> {
        let job = self.jobs.get(uid).ok_or(404_u16)?;
        if job.version != version {
            return Err(409);
        }
        self.changed_job(uid, |job| {
            job.annotations.insert(annotation::VERDICT.to_owned(), verdict);
            job.deadline_secs = Some(1);
        });
        self.arm_deadline(uid);
        Ok(())
    }

    pub(crate) fn set_ttl(&mut self, uid: &str, seconds: u64) -> bool {
        if !self.jobs.contains_key(uid) {
            return false;
        }
        self.changed_job(uid, |job| job.ttl_secs = Some(seconds));
        self.arm_ttl(uid);
        true
    }

    /// A person or another controller deletes a Job.
    pub(crate) fn delete(&mut self, uid: &str, who: Deleter) {
        let Some(job) = self.jobs.get(uid) else { return };
        if job.deleting.is_some() {
            return;
        }
        self.notes
            .push(format!("job {uid} of {} deleted by {who:?}", job.task()));
        self.truth.gone.insert(uid.to_owned(), who);
        if job.label.is_none() {
            self.truth.unseen.insert(uid.to_owned());
        }
        if job.life.foreground {
            let now = self.wall();
            self.changed_job(uid, |job| job.deleting = Some(now));
            self.collect(uid);
            let after = self.rng.range(500, 5_000);
            self.later(after, Due::Remove(uid.to_owned()));
        } else {
            self.remove(uid);
            let after = self.rng.range(0, 4_000);
            self.later(after, Due::Collect(uid.to_owned()));
        }
    }

    /// Takes the label off: the Job leaves every watch, whose last sight of it is the one before.
    pub(crate) fn unlabel(&mut self, uid: &str) {
        let Some(job) = self.jobs.get_mut(uid) else { return };
        if job.label.is_none() {
            return;
        }
        let before = job.clone();
        self.truth.unlabelled.insert(uid.to_owned());
        job.label = None;
        job.version += 1;
        self.history.push(Change {
            what: Object::Job(Box::new(before)),
            deleted: true,
        });
        self.notes.push(format!("job {uid} loses its label"));
    }

    /// Puts the label back.
    pub(crate) fn label_again(&mut self, uid: &str, label: &str) {
        self.changed_job(uid, |job| job.label = Some(label.to_owned()));
    }

    /// Suspends a Job for a while.
    pub(crate) fn suspend(&mut self, uid: &str) {
        let Some(job) = self.jobs.get(uid) else { return };
        if job.suspended || job.end.is_some() || job.deleting.is_some() {
            return;
        }
        self.notes.push(format!("job {uid} is suspended"));
        self.changed_job(uid, |job| {
            job.suspended = true;
            job.started = None;
        });
        self.collect(uid);
        let after = self.rng.range(2_000, 30_000);
        self.later(after, Due::Resume(uid.to_owned()));
    }

    /// A pod of the Job is evicted.
    pub(crate) fn disrupt(&mut self, uid: &str) {
        let running = self
            .pods
            .values()
            .find(|pod| pod.job == uid && matches!(pod.state, PodState::Running { .. }))
            .map(|pod| pod.uid.clone());
        if let Some(pod) = running {
            self.notes.push(format!("pod {pod} is evicted"));
            if let Some(pod) = self.pods.get_mut(&pod) {
                pod.disrupted = true;
            }
            self.end_pod(&pod, 143, "Error");
        }
    }

    fn draw_life(&mut self) -> Life {
        let odd = self.odd;
        let rng = &mut self.rng;
        let at_timeout = rng.chance(8);
        let mut life = Life {
            suspended_for: rng
                .chance(if odd { 12 } else { 2 })
                .then(|| rng.range(1_000, 90_000)),
            no_pod: rng.chance(if odd { 5 } else { 1 }),
            trouble: None,
            start_after: if at_timeout {
                rng.range(55_000, 65_000)
            } else {
                rng.range(5, 4_000)
            },
            run: if rng.chance(50) {
                rng.range(5, 3_000)
            } else {
                rng.range(1_000, 60_000)
            },
            bad_pods: if rng.chance(30) { rng.range(1, 3) } else { 0 },
            exit: *rng.pick(&[1, 3, 137]),
            sudden: rng.chance(15),
            stillborn: rng.chance(20),
            foreground: rng.chance(30),
        };
        if rng.chance(if odd { 40 } else { 8 }) {
            let state = rng
                .pick(&[
                    PodState::Unplaced,
                    PodState::Waiting("ImagePullBackOff"),
                    PodState::Waiting("InvalidImageName"),
                    PodState::Waiting("CreateContainerConfigError"),
                    PodState::Waiting("CreateContainerError"),
                ])
                .clone();
            let over = match rng.below(4) {
                0 => None,
                1 => Some(rng.range(1_000, 40_000)),
                2 => Some(rng.range(29_000, 33_000)),
                _ => Some(rng.range(55_000, 70_000)),
            };
            life.trouble = Some((state, over));
        }
        if at_timeout && rng.chance(30) {
            life.sudden = true;
        }
        life
    }

    fn uid(&mut self, kind: &str) -> String {
        self.counter += 1;
        format!("{kind}{}", self.counter)
    }

    fn later(&mut self, ms: u64, due: Due) {
        self.counter += 1;
        self.due.insert((self.now + ms, self.counter), due);
    }

    fn changed_job(&mut self, uid: &str, change: impl FnOnce(&mut Job)) {
        let Some(job) = self.jobs.get_mut(uid) else { return };
        change(job);
        job.version += 1;
        if job.label.is_some() {
            self.history.push(Change {
                what: Object::Job(Box::new(job.clone())),
                deleted: false,
            });
        }
    }

    fn changed_pod(&mut self, uid: &str, change: impl FnOnce(&mut Pod)) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        change(pod);
        self.history.push(Change {
            what: Object::Pod(Box::new(pod.clone())),
            deleted: false,
        });
    }

    fn begin(&mut self, uid: &str) {
        let now = self.wall();
        let after = self.rng.range(1, 1_500);
        self.changed_job(uid, |job| job.started = Some(now));
        self.arm_deadline(uid);
        self.later(after, Due::MakePod(uid.to_owned()));
    }

    fn arm_deadline(&mut self, uid: &str) {
        let Some(job) = self.jobs.get(uid) else { return };
        let (Some(started), Some(seconds)) = (job.started, job.deadline_secs) else {
            return;
        };
        let due = (started - self.clock_ahead + seconds * 1000).max(self.now) + self.rng.range(10, 1_500);
        self.later(due - self.now, Due::Deadline(uid.to_owned()));
    }

    fn arm_ttl(&mut self, uid: &str) {
        let Some(job) = self.jobs.get(uid) else { return };
        let (Some(end), Some(seconds)) = (&job.end, job.ttl_secs) else {
            return;
        };
        let due = (end.at - self.clock_ahead + seconds * 1000).max(self.now) + self.rng.range(10, 1_000);
        self.later(due - self.now, Due::Ttl(uid.to_owned()));
    }

    fn act(&mut self, due: Due) {
        match due {
            Due::Resume(job) => self.resume(&job),
            Due::MakePod(job) => self.make_pod(&job),
            Due::Start(pod) => self.start_pod(&pod),
            Due::End(pod) => self.end_as_planned(&pod),
            Due::Count(job, pod) => self.count(&job, &pod),
            Due::Finish(job, complete) => self.finish(&job, complete, "BackoffLimitExceeded"),
            Due::Deadline(job) => self.deadline(&job),
            Due::Ttl(job) => {
                if self.jobs.get(&job).is_some_and(|job| job.end.is_some()) {
                    self.delete(&job, Deleter::Ttl);
                }
            }
            Due::Remove(job) => self.remove(&job),
            Due::Collect(job) => self.collect(&job),
        }
    }

    fn active(&self, uid: &str) -> bool {
        self.jobs
            .get(uid)
            .is_some_and(|job| job.end.is_none() && job.deleting.is_none() && !job.suspended)
    }

    fn resume(&mut self, uid: &str) {
        if let Some(job) = self.jobs.get(uid)
            && job.suspended
            && job.end.is_none()
            && job.deleting.is_none()
        {
            self.changed_job(uid, |job| job.suspended = false);
            self.begin(uid);
        }
    }

    fn make_pod(&mut self, uid: &str) {
        let alive = self.pods.values().any(|pod| {
            pod.job == uid && pod.deleting.is_none() && !matches!(pod.state, PodState::Ended { .. })
        });
        if !self.active(uid) || alive {
            return;
        }
        let pod_uid = self.uid("p");
        let job = &self.jobs[uid];
        if job.life.no_pod {
            return;
        }
        let Some(label) = job.label.clone().or_else(|| Some("gone".to_owned())) else {
            return;
        };
        let first = job.failures == 0;
        let trouble = job.life.trouble.clone().filter(|_| first);
        let start_after = job.life.start_after;
        let mut annotations = job.annotations.clone();
        annotations.retain(|key, _| {
            [
                annotation::INSTANCE,
                annotation::ID,
                annotation::DIGEST,
                annotation::RECEIVED_AT,
            ]
            .contains(&key.as_str())
        });
        let pod = Pod {
            name: format!("{}-{pod_uid}", job.name),
            namespace: job.namespace.clone(),
            uid: pod_uid.clone(),
            job: uid.to_owned(),
            label,
            annotations,
            created: self.wall(),
            state: PodState::Waiting("ContainerCreating"),
            deleting: None,
            disrupted: false,
        };
        self.truth.pods.insert(pod_uid.clone(), uid.to_owned());
        self.pods.insert(pod_uid.clone(), pod);
        self.changed_pod(&pod_uid, |_| {});
        match trouble {
            Some((state, over)) => {
                self.changed_pod(&pod_uid, |pod| pod.state = state);
                if let Some(over) = over {
                    self.later(over, Due::Start(pod_uid));
                }
            }
            None => self.later(start_after, Due::Start(pod_uid)),
        }
    }

    fn start_pod(&mut self, uid: &str) {
        let Some(pod) = self.pods.get(uid) else { return };
        if pod.deleting.is_some() || matches!(pod.state, PodState::Ended { .. } | PodState::Running { .. }) {
            return;
        }
        let job = pod.job.clone();
        let Some(life) = self.jobs.get(&job).map(|job| job.life.clone()) else {
            return;
        };
        if !self.active(&job) {
            return;
        }
        let now = self.wall();
        if life.stillborn && self.jobs[&job].failures < life.bad_pods {
            self.end_pod(uid, 128, "StartError");
            return;
        }
        self.truth.started.insert(job.clone());
        if life.sudden {
            if let Some(pod) = self.pods.get_mut(uid) {
                pod.state = PodState::Running { since: now };
            }
            self.end_as_planned(uid);
        } else {
            self.changed_pod(uid, |pod| pod.state = PodState::Running { since: now });
            self.touch(&job);
            self.later(life.run, Due::End(uid.to_owned()));
        }
    }

    /// The Job's counts follow its pods, sooner or later: its version moves.
    fn touch(&mut self, job: &str) {
        self.changed_job(job, |_| {});
    }

    fn end_as_planned(&mut self, uid: &str) {
        let Some(job) = self.pods.get(uid).and_then(|pod| self.jobs.get(&pod.job)) else {
            return;
        };
        if job.failures < job.life.bad_pods {
            let exit = job.life.exit;
            self.end_pod(uid, exit, if exit == 137 { "OOMKilled" } else { "Error" });
        } else {
            self.end_pod(uid, 0, "Completed");
        }
    }

    fn end_pod(&mut self, uid: &str, exit: i32, reason: &'static str) {
        let now = self.wall();
        let Some(pod) = self.pods.get(uid) else { return };
        let began = match pod.state {
            PodState::Running { since } => Some(since),
            PodState::Unplaced | PodState::Waiting(_) => None,
            PodState::Ended { .. } => return,
        };
        let job = pod.job.clone();
        self.changed_pod(uid, |pod| {
            pod.state = PodState::Ended {
                began,
                at: now,
                exit,
                reason,
            };
        });
        let after = self.rng.range(1, 1_000);
        self.later(after, Due::Count(job, uid.to_owned()));
    }

    fn count(&mut self, uid: &str, pod: &str) {
        if !self.active(uid) {
            return;
        }
        let good = self
            .pods
            .get(pod)
            .is_some_and(|pod| matches!(pod.state, PodState::Ended { exit: 0, .. }));
        if good {
            let after = self.rng.range(0, 500);
            self.later(after, Due::Finish(uid.to_owned(), true));
            return;
        }
        let Some(job) = self.jobs.get_mut(uid) else { return };
        job.failures += 1;
        if job.failures > job.backoff_limit {
            let after = self.rng.range(0, 500);
            self.later(after, Due::Finish(uid.to_owned(), false));
        } else {
            let after = self.rng.range(100, 10_000);
            self.later(after, Due::MakePod(uid.to_owned()));
        }
    }

    fn finish(&mut self, uid: &str, complete: bool, reason: &str) {
        let at = self.wall();
        if !self
            .jobs
            .get(uid)
            .is_some_and(|job| job.end.is_none() && job.deleting.is_none())
        {
            return;
        }
        self.truth.ended.insert(uid.to_owned(), complete);
        self.changed_job(uid, |job| {
            job.end = Some(End {
                complete,
                reason: if complete { "" } else { reason }.to_owned(),
                message: if complete { "" } else { "it did not work" }.to_owned(),
                at,
            });
        });
        self.arm_ttl(uid);
    }

    fn deadline(&mut self, uid: &str) {
        let Some(job) = self.jobs.get(uid) else { return };
        let (Some(started), Some(seconds)) = (job.started, job.deadline_secs) else {
            return;
        };
        if !self.active(uid) || self.wall() < started + seconds * 1000 {
            return;
        }
        self.collect(uid);
        self.finish(uid, false, "DeadlineExceeded");
    }

    fn remove(&mut self, uid: &str) {
        if let Some(job) = self.jobs.remove(uid)
            && job.label.is_some()
        {
            self.history.push(Change {
                what: Object::Job(Box::new(job)),
                deleted: true,
            });
        }
    }

    /// Deletes the Job's pods.
    fn collect(&mut self, uid: &str) {
        let pods: Vec<String> = self
            .pods
            .values()
            .filter(|pod| pod.job == uid)
            .map(|pod| pod.uid.clone())
            .collect();
        for pod in pods {
            if let Some(mut pod) = self.pods.remove(&pod) {
                pod.deleting = Some(self.wall());
                self.history.push(Change {
                    what: Object::Pod(Box::new(pod)),
                    deleted: true,
                });
            }
        }
    }
}
