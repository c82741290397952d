//! Tasks such as the worker holds by the thousand, and the facts that a watch brings of them.

use std::sync::Arc;

use engine::states::{Created, Phase, StartClock};
use engine::{
    Digest, Event, JobEnd, JobEnded, JobSeen, PodStarted, PodWaiting, Spec, State, Task, TaskId, Timestamp,
    Uid, Waiting, WaitingKind,
};

/// When every task was taken.
pub(crate) const BEGAN: Timestamp = Timestamp(1_800_000_000_000);
/// The moment of every step.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_060_000);

/// The id of a task: as long as a UUID.
pub(crate) fn id(number: usize) -> TaskId {
    TaskId::new(format!("{number:08x}-4337-4786-a195-9b25cec28a44"))
}

fn job(number: usize) -> Uid {
    Uid::new(format!("{number:08x}-1111-4222-8333-944445555666"))
}

/// What a task is.
pub(crate) fn spec(number: usize) -> Spec {
    Spec {
        digest: Digest([u8::try_from(number % 256).unwrap_or(0); 32]),
        namespace: "default".to_owned(),
        job_name: format!("bench-{number:016x}"),
        service: "bench".to_owned(),
        webhook: Some("http://webhook.example.com/callback".to_owned()),
        traceparent: None,
        received_at: BEGAN,
        start_timeout_secs: 600,
        active_deadline_secs: Some(3_600),
        ttl_secs: Some(60),
    }
}

/// A task whose Job exists and waits for its pod.
pub(crate) fn created(number: usize) -> Task {
    Task {
        seq: 1,
        spec: Arc::new(spec(number)),
        state: State::Created(Created {
            uid: job(number),
            stoppable: false,
            start: StartClock::Running {
                by: BEGAN.plus_secs(600),
            },
            waiting: None,
            pod: None,
            retried: false,
            phase: Phase::Following,
        }),
    }
}

/// How many facts [`fact`] tells of a task.
pub(crate) const FACTS: usize = 6;

/// Every second one moves nothing.
pub(crate) const STILL: [usize; 3] = [0, 3, 4];

/// What a watch brings of a task, in order: the echo of the create, a pod that waits, its start, the Job again, the
/// pod again, the end.
pub(crate) fn fact(number: usize, which: usize) -> Event {
    match which {
        0 | 3 => Event::JobSeen(JobSeen {
            uid: job(number),
            digest: spec(number).digest,
            received_at: BEGAN,
            created_at: BEGAN,
            ended_at: None,
            suspended: false,
            stoppable: false,
            by_pod: false,
        }),
        1 => Event::PodWaiting(PodWaiting {
            job: job(number),
            waiting: Waiting {
                kind: WaitingKind::Other,
                reason: "ContainerCreating".to_owned(),
                message: String::new(),
            },
        }),
        2 | 4 => Event::PodStarted(PodStarted {
            job: job(number),
            uid: Uid::new(format!("{number:08x}-7777-4888-8999-000011112222")),
            name: format!("bench-{number:016x}-abcde"),
        }),
        _ => Event::JobEnded(JobEnded {
            uid: job(number),
            end: JobEnd::Complete { duration_secs: 1 },
        }),
    }
}

/// The numbers below `count`, each once, in an order that no cache foresees.
pub(crate) fn shuffled(count: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..count).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let place = usize::try_from(state >> 33).unwrap_or(0) % (last + 1);
        numbers.swap(last, place);
    }
    numbers
}
