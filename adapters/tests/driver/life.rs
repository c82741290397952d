//! One task from its message to its last callback.

use adapters::cluster::Request;
use adapters::driver::Output;
use adapters::store::Op;
use engine::{Event, Policy, Record, StateKind};

use super::Law;
use super::place::{Letter, Place, Stone};
use super::world::{Goes, World, id, message};

pub(crate) const LAWS: &[(&str, Law)] = &[
    ("a task lives", a_task_lives),
    ("its message is settled when the law says", its_message_is_settled),
    (
        "nothing is done before it is written",
        nothing_is_done_before_it_is_written,
    ),
];

fn a_task_lives(place: &Place) {
    let mut world = World::new(place);
    world.lead();
    world.receive(&message("a", "hello"));
    world.settle();

    let name = world.jobs[&id("a")].spec.job_name.clone();
    assert_eq!(
        world.told("a"),
        [
            format!(r#"{{"id":"a","status":0,"detail":{{"jobId":"uid of {name}","jobName":"{name}"}}}}"#),
            format!(r#"{{"id":"a","status":1,"detail":{{"podId":"pod of a","podName":"{name}-x"}}}}"#),
            r#"{"id":"a","status":2,"detail":{"duration":7}}"#.to_owned(),
        ]
    );
    assert_eq!(world.heard.len(), 3);
    let [(task, job)] = &world.creates[..] else {
        panic!("{:?}", world.creates)
    };
    assert_eq!(
        (task, &job["metadata"]["name"]),
        (&id("a"), &name.as_str().into())
    );
    assert_eq!(
        job["spec"]["template"]["spec"]["containers"][0]["args"],
        serde_json::json!(["hello"])
    );
    assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 60);

    assert_eq!(world.stored(), (Vec::new(), Vec::new()));
    assert_eq!(place.stone("a"), Stone::Expiring);
    assert!(!world.kept_message("a"));
    assert_eq!(place.source.depth().unwrap().taken, 0);
    assert_eq!(place.letters(), Vec::<Letter>::new());

    let moves: Vec<(Option<StateKind>, StateKind)> = world
        .notes
        .records()
        .iter()
        .map(|record| {
            let Record::V1 { transition, policy } = rmp_serde::from_slice(record).unwrap() else {
                panic!("nobody gives an order");
            };
            // The first one of a term says by what numbers all of them were decided.
            assert_eq!(policy, transition.from.is_none().then(Policy::default));
            (transition.from, transition.after.state.kind())
        })
        .collect();
    assert_eq!(
        moves,
        [
            (None, StateKind::Received),
            (Some(StateKind::Received), StateKind::Received),
            (Some(StateKind::Received), StateKind::Created),
            (Some(StateKind::Created), StateKind::PodStarted),
            (Some(StateKind::PodStarted), StateKind::Completed),
        ]
    );
    assert!(
        world.metric("messages_processed_total 1"),
        "{}",
        world.metrics.render()
    );
    assert!(
        world.metric("messages_failed_total 0"),
        "{}",
        world.metrics.render()
    );
    its_phases_are_measured(&world);
}

fn its_phases_are_measured(world: &World<'_>) {
    for line in [
        "job_worker_queue_wait_seconds_count 1",
        "job_worker_create_seconds_count 1",
        "job_worker_pod_start_seconds_count 1",
        r#"job_worker_run_seconds_count{state="Completed"} 1"#,
        "job_worker_callback_delay_seconds_count 3",
        "job_worker_callbacks_oldest_seconds 0",
        "job_worker_tasks_max 1000",
        r#"job_worker_tasks{phase="queued",state="Received"} 0"#,
        r#"job_worker_tasks{phase="following",state="PodStarted"} 0"#,
        r#"job_worker_tasks{phase="done",state="Completed"} 0"#,
    ] {
        assert!(world.metric(line), "{line}: {}", world.metrics.render());
    }
}

fn its_message_is_settled(place: &Place) {
    let mut world = World::new(place);
    world.goes = Goes::Nowhere;
    world.lead();
    world.step();
    world.receive(&message("a", "hello"));
    world.step();
    world.step();
    let taken = |world: &World<'_>| world.place.source.depth().unwrap().taken;
    assert_eq!(world.creates.len(), 1);
    assert!(world.kept_message("a"));
    assert_eq!(taken(&world), u64::from(!place.joint));

    let Some(Request::Create { task, spec, .. }) = world.requests.last().cloned() else {
        panic!()
    };
    world.create(&task, &spec);
    world.step();
    assert_eq!(taken(&world), 0);
    assert!(!world.kept_message("a"));
}

fn nothing_is_done_before_it_is_written(place: &Place) {
    let mut world = World::new(place);
    world.goes = Goes::Nowhere;
    world.lead();
    world.step();
    world.receive(&message("a", "hello"));
    world.step();
    let outputs = world.turn();
    assert!(
        matches!(&outputs[..], [Output::Cluster(Request::Create { .. })]),
        "{outputs:?}"
    );
    let last = world.notes.ops().pop();
    assert!(matches!(&last, Some(Op::Move { expect: 1, .. })), "{last:?}");

    let (_, create) = world.creates.first().cloned().unzip();
    assert_eq!(create, None);
    world.carry(outputs);
    let Some(Request::Create { task, spec, .. }) = world.requests.last().cloned() else {
        panic!()
    };
    world.create(&task, &spec);
    let outputs = world.turn();
    let sent = outputs
        .iter()
        .filter(|output| matches!(output, Output::Send(..)))
        .count();
    assert_eq!(sent, 1, "{outputs:?}");
    assert_eq!(world.stored().1.len(), 1);
    world.carry(outputs);
    // The Job starts without a word of the watch: nothing is said about it.
    world.facts("a", vec![Event::Woke(engine::Woke)]);
    world.step();
    assert_eq!(world.statuses("a"), [0]);
}
