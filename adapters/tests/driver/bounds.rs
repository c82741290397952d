//! Batches of legal size that never cut what belongs together, and stores that refuse.

use adapters::cluster::Report;
use adapters::driver::Input;
use adapters::message::SIZE_MAX;
use adapters::store::{BYTES_MAX, Batch, Error, OPS_MAX, Op};
use adapters::webhook::{Answer, Failure};
use engine::{Refusal, RefusalKind};
use std::collections::BTreeSet;

use super::Law;
use super::place::Place;
use super::world::{Goes, World, id, message, message_in};

pub(crate) const LAWS: &[(&str, Law)] = &[
    (
        "two thousand messages in one turn are legal batches",
        many_messages,
    ),
    (
        "a crowd that is let go at once is legal batches",
        a_crowd_is_let_go,
    ),
    (
        "a verdict and its callback are one write",
        a_verdict_and_its_callback_are_one_write,
    ),
    ("the largest message is taken", the_largest_message_is_taken),
    (
        "a store that refuses is waited for",
        a_store_that_refuses_is_waited_for,
    ),
    ("patience ends", patience_ends),
    ("the bound of tasks is kept", the_bound_of_tasks_is_kept),
    (
        "intake waits for a receiver that answers, and never for a dead one",
        intake_waits_for_a_receiver_that_answers,
    ),
];

fn legal(batches: &[Batch]) {
    for batch in batches {
        assert!(batch.ops.len() <= OPS_MAX && batch.log.len() <= OPS_MAX);
        assert!(batch.ops.len() == 1 || batch.size() <= BYTES_MAX);
    }
}

/// A world with so many tasks that wait for a namespace which may not be watched.
fn crowd(place: &Place, tasks: usize) -> World<'_> {
    let mut world = World::new(place);
    world.goes = Goes::Nowhere;
    world.policy.tasks_max = 10_000;
    world.lead();
    world.step();
    for number in 0..tasks {
        world
            .place
            .push(&message_in("closed", &format!("t{number:04}"), "x"));
    }
    while world.place.source.depth().unwrap().waiting > 0 {
        world.take();
    }
    world.turn();
    refuse(&mut world);
    world.turn();
    world
}

fn refuse(world: &mut World<'_>) {
    world.say(Report::NamespaceRefused {
        namespace: "closed".to_owned(),
        refusal: Refusal {
            why: RefusalKind::Forbidden,
            message: "jobs is forbidden".to_owned(),
        },
    });
}

fn many_messages(place: &Place) {
    let world = crowd(place, 2000);
    legal(&world.notes.lock().batches);
    let (tasks, callbacks) = world.stored();
    assert_eq!((tasks.len(), callbacks.len()), (2000, 0));
    assert!(
        tasks.iter().all(|(_, version)| *version == 2),
        "held: {:?}",
        tasks[0]
    );
    let taken = world.place.source.depth().unwrap().taken;
    assert_eq!(taken, if place.joint { 0 } else { 2000 });
}

fn a_crowd_is_let_go(place: &Place) {
    let mut world = crowd(place, 1500);
    world.say(Report::NamespaceReady {
        namespace: "closed".to_owned(),
        stoppable: false,
    });
    let outputs = world.turn();
    legal(&world.notes.lock().batches);
    assert_eq!(outputs.len(), world.policy.creates_max, "{outputs:?}");
    let queued = world.stored().0;
    let granted = queued.iter().filter(|(_, version)| *version == 4).count();
    assert_eq!((queued.len(), granted), (1500, world.policy.creates_max));
}

fn a_verdict_and_its_callback_are_one_write(place: &Place) {
    let mut world = crowd(place, 600);
    world.now += engine::FORBIDDEN_FINAL_MS;
    // An odd number of operations before them, so that a cut by count alone would fall between two that belong together.
    world.receive(&message("first", "x"));
    refuse(&mut world);
    world.turn();
    let noted = world.notes.lock();
    legal(&noted.batches);
    let mut verdicts = 0;
    for batch in &noted.batches {
        for op in &batch.ops {
            let Op::Move {
                task,
                tombstone: Some(_),
                ..
            } = op
            else {
                continue;
            };
            verdicts += 1;
            let owed =
                |op: &Op| matches!(op, Op::OutPush { key, .. } if key.starts_with(&format!("t:{task}@")));
            assert!(
                batch.ops.iter().any(owed),
                "{task} has a verdict and nobody owes its callback"
            );
        }
    }
    assert_eq!(verdicts, 600);
}

fn the_largest_message_is_taken(place: &Place) {
    let mut world = World::new(place);
    world.lead();
    let empty = message("a", "").len();
    let raw = message("a", &"x".repeat(SIZE_MAX - empty));
    assert_eq!(raw.len(), SIZE_MAX);
    world.receive(&raw);
    world.receive(&message("b", &"y".repeat(SIZE_MAX - empty)));
    world.settle();
    legal(&world.notes.lock().batches);
    assert_eq!(
        (world.statuses("a"), world.statuses("b")),
        (vec![0, 1, 2], vec![0, 1, 2])
    );
}

fn a_store_that_refuses_is_waited_for(place: &Place) {
    let mut world = World::new(place);
    world.lead();
    world.step();
    world.receive(&message("a", "x"));
    let busy = || Error::WrongType { key: "k".to_owned() };
    world.notes.lock().refusals.extend([busy(), busy()]);
    world.notes.lock().deaf.push_back(busy());
    world.step();
    assert!(world.notes.lock().refusals.is_empty());
    world.settle();
    assert_eq!(world.statuses("a"), [0, 1, 2]);
    assert_eq!(place.source.depth().unwrap().taken, 0);
}

fn patience_ends(place: &Place) {
    let mut world = World::new(place);
    world.lead();
    world.step();
    world.receive(&message("a", "x"));
    let busy = Error::WrongType { key: "k".to_owned() };
    world.notes.lock().refusals.extend(vec![busy.clone(); 5]);
    assert_eq!(world.try_turn(2).map(|outputs| outputs.len()), Err(busy.clone()));
    // The leader gives up; the next one finds the message among the leftovers.
    world.notes.lock().refusals.clear();
    world.lead();
    world.settle();
    assert_eq!(world.statuses("a"), [0, 1, 2]);

    world.receive(&message("b", "x"));
    world
        .notes
        .lock()
        .refusals
        .push_back(Error::Invalid("a mistake of the caller"));
    let answer = world.try_turn(usize::MAX).map(|outputs| outputs.len());
    assert_eq!(answer, Err(Error::Invalid("a mistake of the caller")));
}

fn the_bound_of_tasks_is_kept(place: &Place) {
    let mut world = World::new(place);
    world.policy.tasks_max = 3;
    world.goes = Goes::Nowhere;
    world.claim();
    assert_eq!(
        world.driver.as_ref().unwrap().room(),
        0,
        "nothing is taken before the first lists"
    );
    world.lead();
    world.step();
    for (name, left) in [("a", 2), ("b", 1), ("c", 0)] {
        world.receive(&message(name, "x"));
        world.step();
        assert_eq!(world.driver.as_ref().unwrap().room(), left);
    }
    world.receive(&message("d", "x"));
    world.step();
    assert_eq!(world.driver.as_ref().unwrap().room(), 0);
    let Some(adapters::cluster::Request::Create { task, spec, .. }) = world.requests.pop() else {
        panic!()
    };
    world.create(&task, &spec);
    world.goes = Goes::Ended;
    world.progress();
    world.progress();
    world.step();
    assert_eq!(
        world.driver.as_ref().unwrap().room(),
        0,
        "four were begun, one has ended"
    );
    world.driver.as_mut().unwrap().drain();
    assert!(world.jobs.contains_key(&id("c")) || world.jobs.len() == 1);
}

/// Callbacks to one receiver beyond which intake waits: half of what a dead one may be owed.
const CROWD: usize = 5_000;

fn intake_waits_for_a_receiver_that_answers(place: &Place) {
    let mut world = World::new(place);
    world.receivers_answer = false;
    world.lead();
    world.step();
    let open = world.policy.tasks_max;
    let room = |world: &World<'_>| world.driver.as_ref().unwrap().room();
    // A message that is refused owes a callback and has no Job.
    let count = CROWD + 10;
    for number in 0..count {
        place.push(&message_in("-", &format!("t{number}"), "x"));
    }
    while place.source.depth().unwrap().waiting > 0 {
        world.take();
        world.step();
    }
    assert_eq!(room(&world), 0, "{count} callbacks wait");

    answer_one(
        &mut world,
        Answer::Failed {
            reason: Failure::Status,
            status: Some(500),
            retry_after: None,
        },
    );
    assert_eq!(room(&world), open, "a receiver that fails is not waited for");
    answer_one(&mut world, Answer::Delivered { status: 200 });
    assert_eq!(room(&world), 0, "it answers again, and is behind");

    world.receivers_answer = true;
    while !world.sent.is_empty() {
        answer_one(&mut world, Answer::Delivered { status: 200 });
    }
    world.now += 60_000;
    world.step();
    while !world.inputs.is_empty() {
        world.step();
    }
    assert_eq!(room(&world), open, "it has caught up");
    let heard: BTreeSet<&str> = world
        .heard
        .iter()
        .map(|heard| heard.webhook_id.as_str())
        .collect();
    assert_eq!(heard.len(), count, "no callback was given up");
    assert!(world.stored().1.is_empty(), "all are delivered");
}

fn answer_one(world: &mut World<'_>, answer: Answer) {
    let (key, _) = world.sent.pop().unwrap();
    world.inputs.push_back(Input::Webhook(key, answer));
    world.step();
}
