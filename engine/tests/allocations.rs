//! How often a step asks the allocator: exact counts, the same on every machine.

#[allow(dead_code, reason = "each test uses its part of it")]
mod samples;

use allocation_counter::measure;
use engine::{
    Engine, Event, FirstFormat, JobEnd, JobEnded, JobSeen, Outcome, PodStarted, Policy, Rejected, Snapshot,
    StateKind, Step, TaskId, Uid,
};
use samples::{NOW, PAST, events, id, spec, states};
use std::hint::black_box;

/// Steps once, and returns what came of it with the number of allocations.
fn stepped(engine: &mut Engine, task: &TaskId, event: Event) -> (Result<Outcome, Rejected>, u64) {
    let mut outcome = None;
    let cost = measure(|| outcome = Some(engine.step(NOW, task, black_box(event))));
    (outcome.expect("it was run"), cost.count_total)
}

#[test]
fn a_step_that_moves_nothing_allocates_nothing() {
    let mut still = 0;
    for sample in states() {
        for (name, event) in events() {
            let mut engine = Engine::new(Policy::default());
            engine.restore(id(), sample.task.clone());
            let (outcome, count) = stepped(&mut engine, &id(), event);
            if matches!(outcome, Ok(Outcome::Moved(_))) {
                continue;
            }
            still += 1;
            let (state, phase) = (sample.task.state.kind().name(), sample.task.state.phase());
            assert_eq!(
                count, 0,
                "{name} in {state} ({phase} {}) moves nothing",
                sample.variant
            );
        }
    }
    assert!(still > 500, "only {still} pairs were tried");
}

#[test]
fn an_event_for_a_task_that_nobody_has_allocates_nothing() {
    let mut engine = Engine::new(Policy::default());
    for (name, event) in events() {
        let (_, count) = stepped(&mut engine, &id(), event);
        assert_eq!(count, 0, "{name}");
    }
}

/// The most allocations of each step of a life without trouble: take, grant, Job seen, pod started, Job ended.
const LIFE: [u64; 5] = [3, 4, 3, 4, 3];

#[test]
fn a_life_allocates_no_more_than_it_did() {
    let mut engine = Engine::new(Policy::default());
    drop(engine.namespace_ready(NOW, &spec().namespace, false));
    let mut counts = [0; 5];
    // The second life meets maps that have their places already.
    for name in ["first", "second"] {
        let task = TaskId::new(name);
        let spec = std::sync::Arc::new(spec());
        counts = [
            moved(|| engine.take(NOW, task.clone(), spec.clone())),
            moved(|| engine.admit(NOW)),
            moved_by(&mut engine, &task, Event::JobSeen(seen())),
            moved_by(&mut engine, &task, Event::PodStarted(started())),
            moved_by(&mut engine, &task, Event::JobEnded(ended())),
        ];
        engine.forget(&task);
    }
    for (step, (count, most)) in counts.iter().zip(LIFE).enumerate() {
        assert!(*count <= most, "step {step}: {counts:?}, at most {LIFE:?}");
    }
}

/// Tasks of the next test.
const MANY: usize = 10_000;
/// The most bytes of a task that the engine asks the allocator for: those of its id, its words and its place.
const BYTES: i64 = 980;

#[test]
fn a_task_in_flight_occupies_no_more_than_it_did() {
    let mut engine = Engine::new(Policy::default());
    let stored = states()
        .into_iter()
        .find(|sample| sample.task.state.kind() == StateKind::Created)
        .map(|sample| rmp_serde::to_vec_named(&Snapshot::from(sample.task)).expect("it has a stored form"))
        .expect("there is a task that is Created");
    let cost = measure(|| {
        for number in 0..MANY {
            let task: FirstFormat = rmp_serde::from_slice(&stored).expect("it was stored");
            let id = TaskId::new(format!("{number:08x}-43d8-4786-a195-9b25cec28a44"));
            engine.restore(id, task.into());
        }
    });
    assert_eq!(engine.tasks().count(), MANY);
    let bytes = cost.bytes_current / i64::try_from(MANY).expect("a small number");
    assert!(bytes <= BYTES, "{bytes} bytes a task, at most {BYTES}");
}

fn moved(step: impl FnOnce() -> Result<Step, Rejected>) -> u64 {
    let mut outcome = None;
    let cost = measure(|| outcome = Some(step()));
    let step = outcome.expect("it was run").expect("it is not rejected");
    assert!(!step.is_empty(), "it moves");
    cost.count_total
}

fn moved_by(engine: &mut Engine, task: &TaskId, event: Event) -> u64 {
    let (outcome, count) = stepped(engine, task, event);
    assert!(matches!(outcome, Ok(Outcome::Moved(_))), "it moves: {outcome:?}");
    count
}

fn job() -> Uid {
    Uid::new("j1")
}

fn seen() -> JobSeen {
    JobSeen {
        uid: job(),
        digest: spec().digest,
        received_at: spec().received_at,
        created_at: PAST,
        ended_at: None,
        suspended: false,
        stoppable: false,
        by_pod: false,
    }
}

fn started() -> PodStarted {
    PodStarted {
        job: job(),
        uid: Uid::new("p1"),
        name: "job-x".to_owned(),
    }
}

fn ended() -> JobEnded {
    JobEnded {
        uid: job(),
        end: JobEnd::Complete { duration_secs: 1 },
    }
}
