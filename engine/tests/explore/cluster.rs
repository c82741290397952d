//! One Job under a task's name as the cluster holds it, and the facts that its sight gives.

use crate::story::BEGIN;
use engine::{
    Code, ContainerEnd, Digest, Event, Failure, JobEnd, JobEnded, JobJudged, JobSeen, PodEnd, PodFailed,
    PodStarted, PodWaiting, Timestamp, Uid, Waiting, WaitingKind,
};

/// A Job and its only pod.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Job {
    pub(crate) uid: u8,
    /// The first byte of the digest in its annotation.
    pub(crate) digest: u8,
    /// Milliseconds since the story began, as every time here.
    pub(crate) received_at: u64,
    pub(crate) created_at: u64,
    pub(crate) stoppable: bool,
    pub(crate) ttl_secs: Option<u32>,
    pub(crate) pod: Pod,
    pub(crate) end: Option<(u64, End)>,
    /// The verdict that a stop wrote.
    pub(crate) judged: Option<(&'static str, String)>,
}

/// How far the pod is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Pod {
    None,
    Waiting(WaitsFor),
    Started,
    Failed,
}

/// What keeps the pod from starting.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum WaitsFor {
    /// A node, which may come.
    Node,
    /// An image whose name is none: it never comes.
    ImageName,
}

/// How the Job ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum End {
    Complete,
    BackoffLimitExceeded,
    DeadlineExceeded,
}

impl Job {
    pub(crate) fn uid(&self) -> Uid {
        uid(self.uid)
    }

    /// Returns when the TTL removes it.
    pub(crate) fn expires_at(&self) -> Option<u64> {
        Some(self.end?.0 + u64::from(self.ttl_secs?) * 1_000)
    }

    /// Returns what the pod waits for.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        let Pod::Waiting(what) = self.pod else {
            return None;
        };
        let (kind, reason) = match what {
            WaitsFor::Node => (WaitingKind::Scheduling, "Unschedulable"),
            WaitsFor::ImageName => (WaitingKind::ImageName, "InvalidImageName"),
        };
        Some(Waiting {
            kind,
            reason: reason.to_owned(),
            message: String::new(),
        })
    }

    /// Returns what a sight of the Job shows.
    pub(crate) fn facts(&self) -> Vec<Event> {
        let mut facts = vec![self.seen(false)];
        if let Some((code, message)) = &self.judged {
            let code = Code::parse(code).expect("a code of the list");
            facts.push(Event::JobJudged(JobJudged {
                uid: self.uid(),
                failure: Failure::new(code, message.clone()),
            }));
        }
        let end = self.end.map(|(_, end)| match end {
            End::Complete => JobEnd::Complete { duration_secs: 1 },
            End::BackoffLimitExceeded => failed("BackoffLimitExceeded"),
            End::DeadlineExceeded => failed("DeadlineExceeded"),
        });
        facts.extend(end.map(|end| Event::JobEnded(JobEnded { uid: self.uid(), end })));
        facts
    }

    /// Returns what a sight of the pod shows.
    pub(crate) fn pod_facts(&self) -> Vec<Event> {
        if self.pod == Pod::None {
            return Vec::new();
        }
        let job = self.uid();
        let mut facts = vec![self.seen(true)];
        facts.push(match self.waiting() {
            Some(waiting) => Event::PodWaiting(PodWaiting {
                job: job.clone(),
                waiting,
            }),
            None => Event::PodStarted(PodStarted {
                job: job.clone(),
                uid: Uid::new("p1"),
                name: "pod-p1".to_owned(),
            }),
        });
        if self.pod == Pod::Failed {
            let container = Some(ContainerEnd {
                name: "main".to_owned(),
                exit_code: 1,
                reason: "Error".to_owned(),
                message: String::new(),
            });
            let end = PodEnd {
                uid: Uid::new("p1"),
                disruption: None,
                container,
                pod_reason: None,
            };
            facts.push(Event::PodFailed(PodFailed { job, end }));
        }
        facts
    }

    fn seen(&self, by_pod: bool) -> Event {
        Event::JobSeen(JobSeen {
            uid: self.uid(),
            digest: Digest([self.digest; 32]),
            received_at: moment(self.received_at),
            created_at: moment(self.created_at),
            ended_at: self.end.map(|(at, _)| moment(at)).filter(|_| !by_pod),
            suspended: false,
            stoppable: self.stoppable && !by_pod,
            by_pod,
        })
    }
}

/// Names the Job of a number.
pub(crate) fn uid(number: u8) -> Uid {
    Uid::new(format!("u{number}"))
}

/// Returns the moment that is `ms` after the begin of the story.
pub(crate) fn moment(ms: u64) -> Timestamp {
    BEGIN.plus_ms(ms)
}

fn failed(reason: &str) -> JobEnd {
    JobEnd::Failed {
        reason: reason.to_owned(),
        message: "the Job's words".to_owned(),
    }
}
