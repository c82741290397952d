//! A task in every state and phase.

#![allow(
    clippy::too_many_lines,
    reason = "a list of samples is as long as the states and events are many"
)]

use super::received::received;
use super::{FUTURE, LONG_AGO, NOW, PAST, spec};
use engine::states::{
    Completed, Created, Exception, Failed, Overdue, Phase, PodStarted, StartClock, Ttl, Wait,
};
use engine::{Closing, Code, ContainerEnd, Failure, JobEnd, PodEnd, State, Task, Uid, Waiting, WaitingKind};
use std::sync::Arc;

/// A task, and how it differs from the first one of its phase.
pub(crate) struct Sample {
    /// Empty for the first one of its phase.
    pub(crate) variant: &'static str,
    pub(crate) task: Task,
}

/// Returns a task in every state and phase; the first one of a phase is as full as it can be.
pub(crate) fn states() -> Vec<Sample> {
    let states = received()
        .into_iter()
        .chain(created())
        .chain(pod_started())
        .chain(ends());
    states
        .map(|(variant, state)| Sample {
            variant,
            task: Task {
                seq: 7,
                spec: Arc::new(spec()),
                state,
            },
        })
        .collect()
}

pub(super) type Named = (&'static str, State);

pub(super) fn failure(code: Code) -> Failure {
    Failure::new(code, "what happened and what to do")
}

fn uid() -> Uid {
    Uid::new("u1")
}

fn pod() -> PodEnd {
    PodEnd {
        uid: Uid::new("p1"),
        disruption: Some("EvictionByEvictionAPI: evicted".to_owned()),
        container: Some(ContainerEnd {
            name: "main".to_owned(),
            exit_code: 42,
            reason: "Error".to_owned(),
            message: "no such table".to_owned(),
        }),
        pod_reason: Some("Evicted: the node was low on memory".to_owned()),
    }
}

fn complete() -> JobEnd {
    JobEnd::Complete { duration_secs: 12 }
}

fn job_failed() -> JobEnd {
    JobEnd::Failed {
        reason: "BackoffLimitExceeded".to_owned(),
        message: "Job has reached the specified backoff limit".to_owned(),
    }
}

fn created() -> Vec<Named> {
    let base = Created {
        uid: uid(),
        stoppable: true,
        start: StartClock::Running { by: FUTURE },
        waiting: Some(Box::new(Wait {
            what: Waiting {
                kind: WaitingKind::Config,
                reason: "CreateContainerConfigError".to_owned(),
                message: "configmap not found".to_owned(),
            },
            since: PAST,
        })),
        pod: Some(Box::new(pod())),
        retried: false,
        phase: Phase::Following,
    };
    let plain = Created {
        stoppable: false,
        waiting: None,
        pod: None,
        ..base.clone()
    };
    let started = |start| Created {
        start,
        ..plain.clone()
    };
    let phase = |phase| Created {
        phase,
        ..base.clone()
    };
    let overdue = |why, look_at| Phase::Overdue {
        why,
        look_at,
        refused_since: None,
    };
    let plain_overdue = Created {
        phase: overdue(Overdue::Timeout, None),
        ..plain.clone()
    };
    let unwatched_overdue = Created {
        start: StartClock::Running { by: PAST },
        phase: Phase::Unwatched {
            look_at: None,
            refused_since: None,
        },
        ..plain.clone()
    };
    let hopeless = Created {
        waiting: base.waiting.clone().map(|wait| {
            Box::new(Wait {
                since: LONG_AGO,
                ..*wait
            })
        }),
        ..base.clone()
    };
    let list = vec![
        ("", base.clone()),
        ("overdue", started(StartClock::Running { by: PAST })),
        ("hopeless", hopeless),
        (
            "without a start clock",
            started(StartClock::Unarmed { suspended: false }),
        ),
        (
            "",
            Created {
                start: StartClock::Stopped { left_ms: 300_000 },
                ..base.clone()
            },
        ),
        (
            "without a start clock",
            started(StartClock::Unarmed { suspended: true }),
        ),
        (
            "",
            phase(Phase::Settling {
                end: job_failed(),
                look_at: Some(FUTURE),
                refused_since: None,
            }),
        ),
        (
            "looking",
            phase(Phase::Settling {
                end: job_failed(),
                look_at: None,
                refused_since: None,
            }),
        ),
        (
            "complete",
            phase(Phase::Settling {
                end: complete(),
                look_at: Some(PAST),
                refused_since: None,
            }),
        ),
        (
            "complete, looking",
            phase(Phase::Settling {
                end: complete(),
                look_at: None,
                refused_since: None,
            }),
        ),
        (
            "",
            phase(Phase::Missing {
                deleted: true,
                look_at: None,
                refused_since: None,
            }),
        ),
        (
            "only by a list, due",
            phase(Phase::Missing {
                deleted: false,
                look_at: Some(PAST),
                refused_since: None,
            }),
        ),
        (
            "",
            phase(Phase::Unwatched {
                look_at: Some(FUTURE),
                refused_since: None,
            }),
        ),
        (
            "looking",
            phase(Phase::Unwatched {
                look_at: None,
                refused_since: None,
            }),
        ),
        ("looking, overdue", unwatched_overdue),
        ("refused for long", phase(refused_looks(None))),
        ("refused for long", phase(refused_looks(Some(job_failed())))),
        (
            "complete, refused for long",
            phase(refused_looks(Some(complete()))),
        ),
        ("", phase(overdue(Overdue::Hopeless, None))),
        ("put off", phase(overdue(Overdue::Timeout, Some(PAST)))),
        ("not stoppable", plain_overdue),
        (
            "",
            phase(Phase::Stopping {
                failure: failure(Code::PodStartTimeout),
                retry_at: None,
            }),
        ),
        (
            "put off",
            phase(Phase::Stopping {
                failure: failure(Code::PodStartFailed),
                retry_at: Some(PAST),
            }),
        ),
        (
            "cancelled",
            phase(Phase::Stopping {
                failure: failure(Code::TaskCancelled),
                retry_at: None,
            }),
        ),
    ];
    list.into_iter()
        .map(|(name, created)| (name, State::Created(created)))
        .collect()
}

/// A look is under way after refusals that began long ago.
fn refused_looks(end: Option<JobEnd>) -> Phase {
    match end {
        Some(end) => Phase::Settling {
            end,
            look_at: None,
            refused_since: Some(LONG_AGO),
        },
        None => Phase::Missing {
            deleted: true,
            look_at: None,
            refused_since: Some(LONG_AGO),
        },
    }
}

fn pod_started() -> Vec<Named> {
    let base = PodStarted {
        uid: uid(),
        stoppable: true,
        pod: Some(Box::new(pod())),
        retried: true,
        phase: Phase::Following,
    };
    let only = PodStarted {
        retried: false,
        ..base.clone()
    };
    let not_stoppable = PodStarted {
        stoppable: false,
        ..base.clone()
    };
    let none = PodStarted {
        pod: None,
        ..only.clone()
    };
    let phase = |phase| PodStarted {
        phase,
        ..base.clone()
    };
    let list = vec![
        ("", base.clone()),
        ("its only pod failed", only.clone()),
        ("no pod failed", none),
        (
            "",
            phase(Phase::Settling {
                end: job_failed(),
                look_at: Some(PAST),
                refused_since: None,
            }),
        ),
        (
            "looking",
            phase(Phase::Settling {
                end: job_failed(),
                look_at: None,
                refused_since: None,
            }),
        ),
        (
            "looking, a pod failed meanwhile",
            PodStarted {
                phase: Phase::Settling {
                    end: job_failed(),
                    look_at: None,
                    refused_since: None,
                },
                ..only
            },
        ),
        (
            "",
            phase(Phase::Missing {
                deleted: false,
                look_at: None,
                refused_since: None,
            }),
        ),
        (
            "deleted, put off",
            phase(Phase::Missing {
                deleted: true,
                look_at: Some(FUTURE),
                refused_since: None,
            }),
        ),
        (
            "",
            phase(Phase::Unwatched {
                look_at: Some(FUTURE),
                refused_since: None,
            }),
        ),
        (
            "looking",
            phase(Phase::Unwatched {
                look_at: None,
                refused_since: None,
            }),
        ),
        ("not stoppable", not_stoppable),
        (
            "",
            phase(Phase::Stopping {
                failure: failure(Code::TaskCancelled),
                retry_at: None,
            }),
        ),
        (
            "put off",
            phase(Phase::Stopping {
                failure: failure(Code::TaskCancelled),
                retry_at: Some(PAST),
            }),
        ),
    ];
    let refused = [None, Some(job_failed())];
    let refused = refused.map(|end| ("refused for long", phase(refused_looks(end))));
    list.into_iter()
        .chain(refused)
        .map(|(name, started)| (name, State::PodStarted(started)))
        .collect()
}

fn ends() -> Vec<Named> {
    let ttl = |retry_at| {
        Closing::Ttl(Ttl {
            uid: uid(),
            seconds: 60,
            retry_at,
        })
    };
    let closings = || vec![("", Closing::Done), ("", ttl(Some(NOW))), ("asked", ttl(None))];
    let completed = closings()
        .into_iter()
        .map(|(name, closing)| (name, State::Completed(Completed { closing })));
    let failed = closings().into_iter().map(|(name, closing)| {
        let failure = failure(Code::JobExecutionFailed);
        (name, State::Failed(Failed { failure, closing }))
    });
    let left = (
        "",
        Closing::LeftInPlace {
            uid: uid(),
            stoppable: true,
        },
    );
    let exception = closings().into_iter().chain([left]).map(|(name, closing)| {
        let failure = failure(Code::PodStartTimeout);
        (name, State::Exception(Exception { failure, closing }))
    });
    completed.chain(failed).chain(exception).collect()
}
