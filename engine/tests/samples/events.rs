//! Every event, in the forms that make a difference.

#![allow(
    clippy::too_many_lines,
    reason = "a list of samples is as long as the states and events are many"
)]

use super::{LONG_AGO, NOW, PAST, spec};
use engine::{
    Adopted, Code, ContainerEnd, CreateFailed, CreateFailure, Digest, Event, Failure, Granted, JobDeleted,
    JobEnd, JobEnded, JobJudged, JobMissing, JobSeen, LookFailed, LookRefused, Looked, PodEnd, PodFailed,
    PodStarted, PodWaiting, Refusal, RefusalKind, Released, SetAside, StopAnswered, TookOver, TtlAnswered,
    Uid, Waiting, WaitingKind, Woke,
};
use std::sync::Arc;

/// Returns every event under its name, with what is special about it.
pub(crate) fn events() -> Vec<(String, Event)> {
    let list = before_the_job()
        .into_iter()
        .chain(jobs())
        .chain(pods())
        .chain(answers());
    list.map(|(what, event)| {
        let name = event.kind().name();
        let text = if what.is_empty() {
            name.to_owned()
        } else {
            format!("{name}: {what}")
        };
        (text, event)
    })
    .collect()
}

type Named = (&'static str, Event);

fn uid() -> Uid {
    Uid::new("u1")
}

fn seen() -> JobSeen {
    JobSeen {
        uid: uid(),
        digest: spec().digest,
        received_at: spec().received_at,
        created_at: LONG_AGO,
        ended_at: None,
        suspended: false,
        stoppable: false,
        by_pod: false,
    }
}

fn before_the_job() -> Vec<Named> {
    let refusal = |why| Refusal {
        why,
        message: "the API server's words".to_owned(),
    };
    let adopted = Adopted {
        spec: Arc::new(spec()),
        job: JobSeen {
            stoppable: true,
            ..seen()
        },
    };
    let failed = |why| {
        Event::CreateFailed(CreateFailed {
            why,
            message: "the API server's words".to_owned(),
            retry_after_ms: Some(2_000),
        })
    };
    let other = Digest([0xcd; 32]);
    let job = |digest, received_at, ended_at, by_pod| {
        Event::JobSeen(JobSeen {
            digest,
            received_at,
            ended_at,
            by_pod,
            ..seen()
        })
    };
    let ours = spec().digest;
    let day_ago = engine::Timestamp(NOW.0 - 86_400_000);
    vec![
        ("", Event::Taken(Arc::new(spec()))),
        ("", Event::Adopted(Box::new(adopted))),
        ("", Event::Granted(Granted { stoppable: true })),
        ("", Event::Held(refusal(RefusalKind::Forbidden))),
        ("", Event::Released(Released)),
        ("forbidden", Event::StillRefused(refusal(RefusalKind::Forbidden))),
        ("quota", Event::StillRefused(refusal(RefusalKind::Quota))),
        ("", Event::TookOver(TookOver)),
        ("", Event::Woke(Woke)),
        ("ours", Event::JobSeen(seen())),
        (
            "ours, suspended",
            Event::JobSeen(JobSeen {
                suspended: true,
                ..seen()
            }),
        ),
        ("ours, ended", job(ours, LONG_AGO, Some(PAST), false)),
        ("ours, by its pod", job(ours, LONG_AGO, None, true)),
        ("an earlier intake's", job(ours, day_ago, None, false)),
        (
            "an earlier intake's, ended long ago",
            job(ours, day_ago, Some(day_ago), false),
        ),
        ("an earlier intake's, by its pod", job(ours, day_ago, None, true)),
        ("of other content", job(other, day_ago, None, false)),
        (
            "of other content, ended",
            job(other, day_ago, Some(day_ago), false),
        ),
        (
            "another uid",
            Event::JobSeen(JobSeen {
                uid: Uid::new("u9"),
                ..seen()
            }),
        ),
        ("unknown", failed(CreateFailure::Unknown)),
        ("deferred", failed(CreateFailure::Deferred)),
        ("refused", failed(CreateFailure::Refused)),
        ("forbidden", failed(CreateFailure::Forbidden)),
        ("quota", failed(CreateFailure::Quota)),
        ("name taken", failed(CreateFailure::NameTaken)),
    ]
}

fn jobs() -> Vec<Named> {
    let ended = |end| Event::JobEnded(JobEnded { uid: uid(), end });
    let failed = |reason: &str| {
        ended(JobEnd::Failed {
            reason: reason.to_owned(),
            message: "the Job's words".to_owned(),
        })
    };
    let judged = Event::JobJudged(JobJudged {
        uid: uid(),
        failure: Failure::new(Code::PodStartTimeout, "no container started"),
    });
    vec![
        ("", judged),
        ("complete", ended(JobEnd::Complete { duration_secs: 12 })),
        ("failed", failed("BackoffLimitExceeded")),
        ("failed by its deadline", failed("DeadlineExceeded")),
        ("", Event::JobDeleted(JobDeleted { uid: uid() })),
        ("", Event::JobMissing(JobMissing)),
    ]
}

fn waits(kind: WaitingKind) -> Waiting {
    Waiting {
        kind,
        reason: "Reason".to_owned(),
        message: "the kubelet's words".to_owned(),
    }
}

fn pods() -> Vec<Named> {
    let started = |pod: &str| {
        Event::PodStarted(PodStarted {
            job: uid(),
            uid: Uid::new(pod),
            name: format!("pod-{pod}"),
        })
    };
    let waiting = |kind| {
        Event::PodWaiting(PodWaiting {
            job: uid(),
            waiting: waits(kind),
        })
    };
    let failed = |pod: &str| {
        Event::PodFailed(PodFailed {
            job: uid(),
            end: PodEnd {
                uid: Uid::new(pod),
                disruption: None,
                container: Some(ContainerEnd {
                    name: "main".to_owned(),
                    exit_code: 1,
                    reason: "Error".to_owned(),
                    message: String::new(),
                }),
                pod_reason: None,
            },
        })
    };
    vec![
        ("pod p1", started("p1")),
        ("pod p2", started("p2")),
        ("for its image", waiting(WaitingKind::Image)),
        ("for its configuration", waiting(WaitingKind::Config)),
        ("pod p1", failed("p1")),
        ("pod p2", failed("p2")),
    ]
}

fn answers() -> Vec<Named> {
    let looked = |job: Option<&str>, waiting: Option<Waiting>| {
        Event::Looked(Looked {
            job: job.map(Uid::new),
            has_pods: waiting.is_some(),
            waiting,
        })
    };
    vec![
        ("there", looked(Some("u1"), None)),
        (
            "there, waits for its configuration",
            looked(Some("u1"), Some(waits(WaitingKind::Config))),
        ),
        ("gone", looked(None, None)),
        ("another Job", looked(Some("u9"), None)),
        ("", Event::LookFailed(LookFailed)),
        (
            "",
            Event::LookRefused(LookRefused {
                message: "User cannot get resource jobs".to_owned(),
            }),
        ),
        ("done", Event::StopAnswered(StopAnswered::Done)),
        ("conflict", Event::StopAnswered(StopAnswered::Conflict)),
        ("gone", Event::StopAnswered(StopAnswered::Gone)),
        ("forbidden", Event::StopAnswered(StopAnswered::Forbidden)),
        ("unknown", Event::StopAnswered(StopAnswered::Unknown)),
        ("settled", Event::TtlAnswered(TtlAnswered::Settled)),
        ("unknown", Event::TtlAnswered(TtlAnswered::Unknown)),
        (
            "",
            Event::SetAside(SetAside {
                message: "A step panicked three times.".to_owned(),
            }),
        ),
    ]
}
