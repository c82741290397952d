//! A cluster as far as a task can see it: one Job at a time under its name, with its pods.

use engine::{
    Code, ContainerEnd, Digest, Event, Failure, JobEnd, JobEnded, JobJudged, JobSeen, Notice, PodEnd,
    PodFailed, PodStarted, PodWaiting, Spec, StopAnswered, TaskId, Timestamp, Uid, Waiting, WaitingKind,
};
use std::collections::BTreeMap;

/// The Jobs by task, and all that was ever true of them.
#[derive(Default)]
pub(super) struct Cluster {
    jobs: BTreeMap<TaskId, Job>,
    history: Vec<(TaskId, Fact)>,
    created: u32,
}

/// What a verdict has to rest on.
#[derive(Debug, Eq, PartialEq)]
enum Fact {
    Existed(Uid),
    Started(Uid),
    Completed,
    Failed,
    Deleted,
}

/// A Job.
pub(super) struct Job {
    pub(super) uid: Uid,
    pub(super) pods: Vec<Pod>,
    pub(super) end: Option<JobEnd>,
    pub(super) suspended: bool,
    digest: Digest,
    received_at: Timestamp,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
    judged: Option<Failure>,
}

/// A pod.
pub(super) struct Pod {
    uid: Uid,
    pub(super) started: bool,
    failed: bool,
}

impl Pod {
    pub(super) fn new(uid: &str) -> Self {
        Self {
            uid: Uid::new(uid),
            started: false,
            failed: false,
        }
    }

    pub(super) fn fail(&mut self) {
        self.failed = self.started;
    }
}

impl Job {
    pub(super) fn ends(&mut self, now: Timestamp, end: JobEnd) {
        self.end = Some(end);
        self.ended_at = Some(now);
    }
}

/// Returns condition Failed.
pub(super) fn failed(reason: &str) -> JobEnd {
    JobEnd::Failed {
        reason: reason.to_owned(),
        message: "the Job's words".to_owned(),
    }
}

impl Cluster {
    /// Returns the tasks that have a Job.
    pub(super) fn tasks(&self) -> Vec<TaskId> {
        self.jobs.keys().cloned().collect()
    }

    pub(super) fn job(&self, task: &TaskId) -> Option<&Job> {
        self.jobs.get(task)
    }

    pub(super) fn job_mut(&mut self, task: &TaskId) -> Option<&mut Job> {
        self.jobs.get_mut(task)
    }

    pub(super) fn create(&mut self, task: &TaskId, spec: &Spec, now: Timestamp) {
        self.created += 1;
        let job = Job {
            uid: Uid::new(format!("u{}", self.created)),
            pods: Vec::new(),
            end: None,
            suspended: false,
            digest: spec.digest,
            received_at: spec.received_at,
            created_at: now,
            ended_at: None,
            judged: None,
        };
        self.jobs.insert(task.clone(), job);
    }

    pub(super) fn delete(&mut self, task: &TaskId) -> Uid {
        let job = self.jobs.remove(task).expect("the Job exists");
        self.history.push((task.clone(), Fact::Deleted));
        job.uid
    }

    /// Writes a verdict to the Job, which ends it, unless it has ended.
    pub(super) fn stop(&mut self, task: &TaskId, uid: &Uid, failure: &Failure) -> Vec<Event> {
        let answered = match self.jobs.get_mut(task) {
            Some(job) if job.uid != *uid => StopAnswered::Gone,
            None => StopAnswered::Gone,
            Some(job) if job.judged.as_ref() == Some(failure) => StopAnswered::Done,
            Some(job) if job.end.is_some() => StopAnswered::Conflict,
            Some(job) => {
                job.judged = Some(failure.clone());
                job.end = Some(failed("DeadlineExceeded"));
                StopAnswered::Done
            }
        };
        let judged = (answered == StopAnswered::Done).then(|| {
            Event::JobJudged(JobJudged {
                uid: uid.clone(),
                failure: failure.clone(),
            })
        });
        judged
            .into_iter()
            .chain([Event::StopAnswered(answered)])
            .collect()
    }

    /// Brings the Job to a good end, where it has none.
    pub(super) fn finish(&mut self, task: &TaskId, now: Timestamp) {
        if let Some(job) = self.jobs.get_mut(task)
            && job.end.is_none()
        {
            job.suspended = false;
            job.ends(now, JobEnd::Complete { duration_secs: 1 });
        }
    }

    /// Returns what a look at the Job shows.
    pub(super) fn job_facts(&mut self, task: &TaskId) -> Vec<Event> {
        let Some(job) = self.jobs.get(task) else {
            return Vec::new();
        };
        let mut facts = vec![Event::JobSeen(JobSeen {
            uid: job.uid.clone(),
            digest: job.digest,
            received_at: job.received_at,
            created_at: job.created_at,
            ended_at: job.ended_at,
            suspended: job.suspended,
            stoppable: false,
            by_pod: false,
        })];
        self.history.push((task.clone(), Fact::Existed(job.uid.clone())));
        if let Some(failure) = &job.judged {
            facts.push(Event::JobJudged(JobJudged {
                uid: job.uid.clone(),
                failure: failure.clone(),
            }));
        }
        if let Some(end) = &job.end {
            let fact = match end {
                JobEnd::Complete { .. } => Fact::Completed,
                JobEnd::Failed { .. } => Fact::Failed,
            };
            self.history.push((task.clone(), fact));
            facts.push(Event::JobEnded(JobEnded {
                uid: job.uid.clone(),
                end: end.clone(),
            }));
        }
        facts
    }

    /// Returns what a look at the Job and its pods shows.
    pub(super) fn facts(&mut self, task: &TaskId) -> Vec<Event> {
        self.observations(task).concat()
    }

    /// Returns what the Job shows, and what each pod does.
    pub(super) fn observations(&mut self, task: &TaskId) -> Vec<Vec<Event>> {
        let mut all = vec![self.job_facts(task)];
        let Some(job) = self.jobs.get(task) else {
            return all;
        };
        for pod in &job.pods {
            let mut facts = vec![Event::JobSeen(JobSeen {
                uid: job.uid.clone(),
                digest: job.digest,
                received_at: job.received_at,
                created_at: Timestamp(0),
                ended_at: None,
                suspended: false,
                stoppable: false,
                by_pod: true,
            })];
            self.history.push((task.clone(), Fact::Existed(job.uid.clone())));
            let job = job.uid.clone();
            if pod.started {
                self.history.push((task.clone(), Fact::Started(pod.uid.clone())));
                facts.push(Event::PodStarted(PodStarted {
                    job: job.clone(),
                    uid: pod.uid.clone(),
                    name: format!("pod-{}", pod.uid),
                }));
            } else {
                facts.push(Event::PodWaiting(PodWaiting {
                    job: job.clone(),
                    waiting: invalid_image_name(),
                }));
            }
            if pod.failed {
                let end = PodEnd {
                    uid: pod.uid.clone(),
                    disruption: None,
                    container: Some(ContainerEnd {
                        name: "main".to_owned(),
                        exit_code: 1,
                        reason: "Error".to_owned(),
                        message: String::new(),
                    }),
                    pod_reason: None,
                };
                facts.push(Event::PodFailed(PodFailed { job, end }));
            }
            all.push(facts);
        }
        all
    }

    /// Returns what the newest pod waits for.
    pub(super) fn waiting(&self, task: &TaskId) -> Option<Waiting> {
        let job = self.jobs.get(task)?;
        job.pods.iter().rev().find(|pod| !pod.started)?;
        Some(invalid_image_name())
    }

    /// Refuses what the client is told where it was never true.
    pub(super) fn confirms(&self, task: &TaskId, notice: &Notice) {
        let was = |fact: Fact| self.history.contains(&(task.clone(), fact));
        let judged = self.jobs.get(task).and_then(|job| job.judged.as_ref());
        let holds = match notice {
            Notice::Created { job } => was(Fact::Existed(job.clone())),
            Notice::Started { pod, .. } => was(Fact::Started(pod.clone())),
            Notice::Completed { .. } => was(Fact::Completed),
            // The end that a stop brought about is told as the verdict that the stop wrote.
            Notice::Failed(_) => was(Fact::Failed) && judged.is_none(),
            Notice::Exception(failure) => match failure.code {
                Code::JobDeleted => was(Fact::Deleted),
                // A create that was never answered, and no Job: nobody can tell whether there was one.
                Code::JobResultUnknown => was(Fact::Deleted) || !self.jobs.contains_key(task),
                Code::PodStartTimeout
                | Code::PodStartFailed
                | Code::JobCreateFailed
                | Code::InternalError => true,
                Code::JobExecutionFailed
                | Code::JobOutOfMemory
                | Code::JobDeadlineExceeded
                | Code::JobDisrupted
                | Code::JobFailed
                | Code::JobAlreadyExists
                | Code::InvalidMessage
                | Code::TaskCancelled => false,
            },
        };
        assert!(holds, "{task} is told {notice:?}, which was never true");
    }
}

fn invalid_image_name() -> Waiting {
    Waiting {
        kind: WaitingKind::ImageName,
        reason: "InvalidImageName".to_owned(),
        message: String::new(),
    }
}
