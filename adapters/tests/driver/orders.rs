//! Orders of operators: each is answered once, whatever becomes of its leader, and says who gave it.

use adapters::store::{Error, Op};
use engine::{Ordered, Record, StateKind, Verb};
use serde_json::{Value, json};

use super::Law;
use super::place::Place;
use super::world::{Goes, World, message};

pub(crate) const LAWS: &[(&str, Law)] = &[
    (
        "an order and its answer are one write",
        an_order_and_its_answer_are_one_write,
    ),
    (
        "an order outlives the leader that read it",
        an_order_outlives_the_leader_that_read_it,
    ),
    (
        "an order is not carried out again by the next leader",
        an_order_is_not_carried_out_again,
    ),
    (
        "a stale leader carries nothing out",
        a_stale_leader_carries_nothing_out,
    ),
    ("what is no order is answered too", what_is_no_order_is_answered),
    ("a pause outlasts its leader", a_pause_outlasts_its_leader),
];

/// An order of alice.
pub(crate) fn order(what: &Value) -> Vec<u8> {
    let order = json!({"by": "alice@laptop", "reason": "a test", "what": what});
    order.to_string().into_bytes()
}

/// Hands the orders that wait to the driver.
pub(crate) fn read(world: &mut World<'_>) -> usize {
    let orders = world.driver.as_mut().unwrap().orders();
    let count = orders.len();
    world.inputs.extend(orders);
    count
}

/// The records of orders, in order.
pub(crate) fn noted(world: &World<'_>) -> Vec<Ordered> {
    let records = world.notes.records();
    let read = records.iter().map(|bytes| rmp_serde::from_slice(bytes).unwrap());
    read.filter_map(|record| match record {
        Record::Order { order } => Some(order),
        Record::V1 { .. } => None,
    })
    .collect()
}

/// A leader with a task whose Job may be stopped.
fn with_a_task(place: &Place) -> World<'_> {
    let mut world = World::new(place);
    world.stoppable = true;
    world.goes = Goes::Created;
    world.lead();
    world.receive(&message("a", "hello"));
    world.settle();
    assert_eq!(world.state("a"), Some(StateKind::Created));
    world
}

fn cancel() -> Vec<u8> {
    order(&json!({"cancel": {"tasks": ["a"]}}))
}

fn an_order_and_its_answer_are_one_write(place: &Place) {
    let mut world = with_a_task(place);
    place.order(&order(&json!("pause")));
    place.order(&order(&json!("resume")));
    place.order(&cancel());
    assert_eq!(read(&mut world), 3);
    world.settle();
    assert_eq!(read(&mut world), 0);

    let texts: Vec<Value> = place
        .answers()
        .iter()
        .map(|answer| answer["results"][0]["text"].clone())
        .collect();
    assert_eq!(
        texts,
        [json!("paused"), json!("goes on"), json!("Created, stopping")]
    );
    for batch in &world.notes.lock().batches {
        let of = |wanted: fn(&&Op) -> bool| batch.ops.iter().filter(wanted).count();
        let pauses = of(|op| matches!(op, Op::Pause { .. }));
        let answers = of(|op| matches!(op, Op::Answer { .. }));
        assert!(answers >= pauses, "{batch:?}");
        let orders = batch
            .log
            .iter()
            .filter(|bytes| matches!(rmp_serde::from_slice(bytes.as_slice()), Ok(Record::Order { .. })));
        assert_eq!(orders.count(), pauses);
    }
    let verbs: Vec<(Verb, String, String)> = noted(&world)
        .into_iter()
        .map(|noted| (noted.verb, noted.by, noted.reason))
        .collect();
    let by = |verb| (verb, "alice@laptop".to_owned(), "a test".to_owned());
    assert_eq!(verbs, [by(Verb::Pause), by(Verb::Resume)]);
    assert_eq!(world.statuses("a"), [0, 99]);
    assert!(
        world.told("a")[1].contains("The task was cancelled by alice@laptop: a test."),
        "{:?}",
        world.told("a")
    );
}

fn an_order_outlives_the_leader_that_read_it(place: &Place) {
    let mut world = with_a_task(place);
    place.order(&cancel());
    assert_eq!(read(&mut world), 1);
    world.notes.lock().refusals.push_back(Error::Fenced);
    assert_eq!(world.try_turn(1).unwrap_err(), Error::Fenced);
    assert_eq!(place.answers(), Vec::<Value>::new());

    world.lead();
    world.step();
    assert_eq!(read(&mut world), 1);
    world.settle();
    assert_eq!(place.answers().len(), 1);
    assert_eq!(world.statuses("a"), [0, 99]);
}

fn an_order_is_not_carried_out_again(place: &Place) {
    let mut world = with_a_task(place);
    place.order(&cancel());
    place.order(&order(&json!("pause")));
    read(&mut world);
    // It is written; whatever the leader would have done then is lost with it.
    let outputs = world.turn();
    assert!(!outputs.is_empty());
    world.lead();
    world.step();
    assert_eq!(read(&mut world), 0);
    place.order(&order(&json!("resume")));
    read(&mut world);
    world.settle();
    assert_eq!(place.answers().len(), 3);
    assert_eq!(world.statuses("a"), [0, 99]);
    let verbs: Vec<Verb> = noted(&world).iter().map(|noted| noted.verb).collect();
    assert_eq!(verbs, [Verb::Pause, Verb::Resume]);
}

fn a_stale_leader_carries_nothing_out(place: &Place) {
    let mut world = with_a_task(place);
    place.order(&order(&json!("pause")));
    read(&mut world);
    let mut next = place.open();
    next.claim("pod-1_nonce").unwrap();
    assert_eq!(world.try_turn(1).unwrap_err(), Error::Fenced);
    assert_eq!(place.answers(), Vec::<Value>::new());
    assert_eq!(next.paused().unwrap(), None);
    assert_eq!(next.orders().unwrap().len(), 1);
}

fn what_is_no_order_is_answered(place: &Place) {
    let mut world = with_a_task(place);
    let anonymous = json!({"by": " ", "what": "pause"});
    let crooked = json!({"by": "a\nb", "what": "pause"});
    let long = json!({"by": "a".repeat(201), "what": "pause"});
    place.order(b"not JSON");
    place.order(&order(&json!("dance")));
    for order in [anonymous, crooked, long] {
        place.order(order.to_string().as_bytes());
    }
    read(&mut world);
    world.settle();
    let refused: Vec<bool> = place
        .answers()
        .iter()
        .map(|answer| answer["refused"].is_string() && answer["results"] == json!([]))
        .collect();
    assert_eq!(refused, [true; 5]);
    assert_eq!(noted(&world), []);
    assert_eq!(place.open().paused().unwrap(), None);
    assert_eq!(world.state("a"), Some(StateKind::Created));
}

fn a_pause_outlasts_its_leader(place: &Place) {
    let mut world = with_a_task(place);
    place.order(&order(&json!("pause")));
    read(&mut world);
    world.step();
    assert_eq!(world.driver.as_ref().unwrap().room(), 0);
    world.lead();
    world.step();
    assert_eq!(world.driver.as_ref().unwrap().room(), 0);
    place.order(&order(&json!("resume")));
    read(&mut world);
    world.step();
    assert!(world.driver.as_ref().unwrap().room() > 0);
}
