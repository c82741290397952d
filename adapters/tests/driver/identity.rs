//! Whose an id is: copies, duplicates, refused and poisoned messages.

use adapters::driver::DUPLICATE_ID;
use adapters::message::SIZE_MAX;
use engine::StateKind;

use super::Law;
use super::place::{Letter, Place, Stone};
use super::world::{Goes, World, id, message, message_in};

pub(crate) const LAWS: &[(&str, Law)] = &[
    ("a copy is dropped, alive or finished", a_copy_is_dropped),
    (
        "other content under the id is a dead letter",
        other_content_is_a_dead_letter,
    ),
    (
        "a copy in the turn that forgets its task is a copy",
        a_copy_meets_its_last_turn,
    ),
    ("copies of a waiting task do not pile up", copies_do_not_pile_up),
    ("an id is free after its window", an_id_is_free_after_its_window),
    (
        "an invalid message is answered once",
        an_invalid_message_is_answered_once,
    ),
    (
        "no answer where a task owns the id",
        no_answer_where_a_task_owns_the_id,
    ),
    (
        "a message that is too large is not read",
        a_message_that_is_too_large_is_not_read,
    ),
    ("poison is set aside", poison_is_set_aside),
    (
        "a message that waits for its Job is no poison",
        a_waiting_message_is_no_poison,
    ),
    (
        "a namespace that is not listed is refused",
        a_namespace_that_is_not_listed_is_refused,
    ),
    ("a damaged snapshot keeps its id", a_damaged_snapshot_keeps_its_id),
];

fn letter(reason: &str, raw: &[u8]) -> Letter {
    Letter {
        reason: reason.to_owned(),
        raw: raw.to_vec(),
    }
}

fn taken(world: &World<'_>) -> u64 {
    world.place.source.depth().unwrap().taken
}

fn a_copy_is_dropped(place: &Place) {
    let mut world = World::new(place);
    world.lead();
    let raw = message("a", "x");
    world.receive(&raw);
    world.receive(&raw);
    world.step();
    world.receive(&raw);
    world.settle();
    world.receive(&raw);
    world.settle();
    assert_eq!((world.creates.len(), world.heard.len()), (1, 3));
    assert_eq!((place.letters(), taken(&world)), (Vec::new(), 0));
    assert!(
        world.metric("job_worker_messages_duplicate_total 3"),
        "{}",
        world.metrics.render()
    );
}

fn other_content_is_a_dead_letter(place: &Place) {
    let mut world = World::new(place);
    world.lead();
    world.receive(&message("a", "x"));
    world.step();
    world.receive(&message("a", "y"));
    world.settle();
    world.receive(&message("a", "z"));
    world.settle();
    assert_eq!(
        place.letters(),
        [
            letter(DUPLICATE_ID, &message("a", "y")),
            letter(DUPLICATE_ID, &message("a", "z"))
        ]
    );
    assert_eq!(
        (world.statuses("a"), world.heard.len(), taken(&world)),
        (vec![0, 1, 2], 3, 0)
    );
}

fn a_copy_meets_its_last_turn(place: &Place) {
    let mut world = World::new(place);
    world.lead();
    world.receive(&message("a", "x"));
    while world.heard.len() < 3 {
        world.now += 100;
        world.progress();
        world.step();
    }
    assert_eq!(world.inputs.len(), 1, "the answer to the last callback");
    world.receive(&message("a", "x"));
    world.receive(&message("a", "y"));
    world.step();
    assert_eq!(world.stored(), (Vec::new(), Vec::new()));
    world.settle();
    assert_eq!(place.letters(), [letter(DUPLICATE_ID, &message("a", "y"))]);
    assert_eq!((world.creates.len(), world.heard.len(), taken(&world)), (1, 3, 0));
}

fn copies_do_not_pile_up(place: &Place) {
    let mut world = World::new(place);
    world.goes = Goes::Nowhere;
    world.lead();
    world.step();
    for _ in 0..20 {
        world.receive(&message("a", "x"));
    }
    world.step();
    world.step();
    assert_eq!(
        taken(&world),
        u64::from(!place.joint),
        "one stays until the Job exists"
    );
    world.lead();
    world.step();
    world.receive(&message("a", "x"));
    world.step();
    assert_eq!(taken(&world), u64::from(!place.joint));
}

fn an_id_is_free_after_its_window(place: &Place) {
    let mut world = World::new(place);
    world.lead();
    world.receive(&message("a", "x"));
    world.settle();
    let first = world.heard.clone();
    world.jobs.clear();
    place.forget_stone("a");
    assert_eq!(place.stone("a"), Stone::Missing);
    world.receive(&message("a", "y"));
    world.settle();
    assert_eq!((world.creates.len(), world.heard.len()), (2, 6));
    assert_eq!(place.letters(), Vec::new());
    let again =
        |heard: &super::world::Heard| first.iter().any(|before| before.webhook_id == heard.webhook_id);
    assert!(
        !world.heard[3..].iter().any(again),
        "another incarnation has other webhook-ids"
    );
}

const INVALID: &[u8] =
    br#"{"id":"a","service":"example","webhook":{"url":"http://receiver.test/a"},"job":{}}"#;

fn an_invalid_message_is_answered_once(place: &Place) {
    let mut world = World::new(place);
    world.lead();
    world.receive(INVALID);
    world.settle();
    let [heard] = &world.heard[..] else {
        panic!("{:?}", world.heard)
    };
    assert!(
        heard
            .body
            .starts_with(r#"{"id":"a","status":99,"detail":{"error":{"errorCode":"INVALID_MESSAGE","#)
    );
    assert_eq!(place.letters(), [letter("INVALID_MESSAGE", INVALID)]);
    let first = heard.clone();
    world.receive(INVALID);
    world.settle();
    assert_eq!(
        world.heard,
        [first.clone(), first.clone()],
        "a redelivery has the same bytes"
    );
    // The id stays free, and its task's callbacks have other ids.
    world.receive(&message("a", "x"));
    world.settle();
    assert_eq!(world.statuses("a"), [99, 0, 1, 2]);
    assert!(
        world.heard[2..]
            .iter()
            .all(|heard| heard.webhook_id != first.webhook_id)
    );

    let unanswerable = br#"{"id":"b","service":"example","job":{}}"#;
    world.receive(unanswerable);
    world.settle();
    assert_eq!((world.heard.len(), taken(&world)), (5, 0));
    assert_eq!(
        place.letters().pop(),
        Some(letter("INVALID_MESSAGE", unanswerable))
    );
}

fn no_answer_where_a_task_owns_the_id(place: &Place) {
    let mut world = World::new(place);
    world.goes = Goes::Nowhere;
    world.lead();
    world.receive(&message("a", "x"));
    world.step();
    world.step();
    let mut states = vec![world.state("a")];
    world.receive(INVALID);
    world.step();
    let adapters::cluster::Request::Create { task, spec, .. } = world.requests.pop().unwrap() else {
        panic!()
    };
    world.create(&task, &spec);
    world.receive(INVALID);
    world.step();
    states.push(world.state("a"));
    world.progress();
    world.receive(INVALID);
    world.step();
    states.push(world.state("a"));
    world.progress();
    world.receive(INVALID);
    world.step();
    states.push(world.state("a"));
    world.settle();
    world.receive(INVALID);
    world.settle();
    use StateKind::{Completed, Created, PodStarted, Received};
    assert_eq!(states, [Received, Created, PodStarted, Completed].map(Some));
    assert_eq!((world.statuses("a"), world.heard.len()), (vec![0, 1, 2], 3));
    assert_eq!(place.letters().len(), 5);
}

fn a_message_that_is_too_large_is_not_read(place: &Place) {
    let mut world = World::new(place);
    world.lead();
    let raw = message("a", &"x".repeat(SIZE_MAX));
    world.receive(&raw);
    world.settle();
    assert_eq!(place.letters(), [letter("INVALID_MESSAGE", &raw)]);
    assert_eq!(
        (world.heard.len(), world.stored().0.len(), taken(&world)),
        (0, 0, 0)
    );
}

fn poison_is_set_aside(place: &Place) {
    let mut world = World::new(place);
    let raw = message("a", "x");
    place.push(&raw);
    world.take();
    for _ in 0..3 {
        // Each of these leaders dies of it.
        world.lead();
    }
    world.settle();
    assert_eq!(place.letters(), [letter("INTERNAL_ERROR", &raw)]);
    assert_eq!((world.creates.len(), taken(&world)), (0, 0));
}

fn a_waiting_message_is_no_poison(place: &Place) {
    let mut world = World::new(place);
    world.goes = Goes::Nowhere;
    world.lead();
    world.receive(&message("a", "x"));
    world.step();
    for _ in 0..5 {
        world.lead();
        world.step();
    }
    assert_eq!(place.letters(), Vec::new());
    world.goes = Goes::Ended;
    world.lead();
    world.settle();
    assert_eq!((world.statuses("a"), taken(&world)), (vec![0, 1, 2], 0));
}

fn a_namespace_that_is_not_listed_is_refused(place: &Place) {
    let mut world = World::new(place);
    world.lead();
    world.receive(&message_in("team", "a", "x"));
    world.settle();
    world.namespaces = Some(vec!["default".to_owned()]);
    world.lead();
    // A copy is a copy, whatever the list says since.
    world.receive(&message_in("team", "a", "x"));
    world.settle();
    assert_eq!((place.letters(), world.heard.len()), (Vec::new(), 3));
    let raw = message_in("team", "b", "x");
    world.receive(&raw);
    world.settle();
    assert_eq!(place.letters(), [letter("INVALID_MESSAGE", &raw)]);
    let told = world.told("b");
    assert!(
        told[0].contains("job.namespace: must be one of default"),
        "{told:?}"
    );
}

fn a_damaged_snapshot_keeps_its_id(place: &Place) {
    if !place.damage("a", b"not a snapshot") {
        return;
    }
    let mut world = World::new(place);
    assert_eq!(world.lead().unreadable, 1);
    assert!(world.metric("job_worker_unreadable_snapshots 1"));
    world.receive(&message("a", "x"));
    world.receive(&message("b", "x"));
    world.settle();
    assert_eq!(world.statuses("b"), [0, 1, 2]);
    assert_eq!(place.letters(), [letter(DUPLICATE_ID, &message("a", "x"))]);
    // A Job of it is nobody's business.
    let mut job = world.jobs[&id("b")].clone();
    job.end = None;
    job.ended_at = None;
    world.say(job.report(&id("a")));
    world.step();
    let stored: Vec<String> = world.stored().0.into_iter().map(|(id, _)| id).collect();
    assert_eq!(stored, ["a"]);
    assert_eq!(world.heard.len(), 3);
}
