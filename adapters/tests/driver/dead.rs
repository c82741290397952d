//! Orders about dead letters and callbacks: done once, in the write of their answer, and only where it makes sense.

use adapters::driver::{Input, read_callback};
use adapters::store::{Error, Loaded, Op};
use adapters::webhook::{Answer, Failure};
use engine::{Record, Verb};
use serde_json::{Value, json};

use super::Law;
use super::orders::{noted, order, read};
use super::place::{Place, Stone};
use super::world::{Goes, Heard, World, message};

pub(crate) const LAWS: &[(&str, Law)] = &[
    (
        "a refused message goes back as a new one",
        a_refused_message_goes_back,
    ),
    ("a message goes back once", a_message_goes_back_once),
    (
        "what would be refused again stays",
        what_would_be_refused_again_stays,
    ),
    ("what is dropped is gone", what_is_dropped_is_gone),
    (
        "a callback given up is sent again as it was",
        a_callback_given_up_is_sent_again,
    ),
    (
        "a callback told is sent again as it was",
        a_callback_told_is_sent_again,
    ),
    (
        "a callback that waits is tried at once",
        a_callback_that_waits_is_tried_at_once,
    ),
    (
        "a status 0 or 1 is not sent after what follows",
        a_status_is_not_sent_after_what_follows,
    ),
];

/// Gives an order, and returns the results of its answer.
fn ordered(world: &mut World<'_>, what: &Value) -> Vec<(bool, String)> {
    world.place.order(&order(what));
    read(world);
    world.step();
    let answer = world.place.answers().pop().unwrap();
    let results = answer["results"].as_array().unwrap();
    let result = |result: &Value| {
        let text = result["text"].as_str().unwrap();
        (result["done"] == true, text.to_owned())
    };
    results.iter().map(result).collect()
}

fn requeue(places: &[String], task: Option<&str>) -> Value {
    let letters: Vec<Value> = places
        .iter()
        .map(|place| json!({"place": place, "task": task}))
        .collect();
    json!({"requeue": {"letters": letters}})
}

/// A task that has ended, and a message with its id and other content.
fn with_a_letter(place: &Place) -> World<'_> {
    let mut world = World::new(place);
    world.lead();
    world.receive(&message("a", "hello"));
    world.settle();
    world.delete("a");
    world.receive(&message("a", "other"));
    world.settle();
    assert_eq!(place.letter_places().len(), 1);
    assert_eq!(place.stone("a"), Stone::Expiring);
    world
}

fn a_refused_message_goes_back(place: &Place) {
    let mut world = with_a_letter(place);
    let letters = place.letter_places();
    let results = ordered(&mut world, &requeue(&letters, Some("a")));
    assert_eq!(results, [(true, "back in the queue, task a".to_owned())]);
    assert_eq!(place.letter_places(), Vec::<String>::new());
    assert_eq!(place.stone("a"), Stone::Missing);
    world.settle();

    assert_eq!(world.creates.len(), 2);
    let args = &world.creates[1].1["spec"]["template"]["spec"]["containers"][0]["args"];
    assert_eq!(args, &json!(["other"]));
    let ids: std::collections::BTreeSet<&String> =
        world.heard.iter().map(|heard| &heard.webhook_id).collect();
    assert_eq!((world.heard.len(), ids.len()), (6, 6));
    assert_eq!(place.stone("a"), Stone::Expiring);
    let orders = noted(&world);
    let [order] = &orders[..] else {
        panic!("{orders:?}")
    };
    assert_eq!(
        (order.verb, order.task.as_ref().map(engine::TaskId::as_str)),
        (Verb::Requeue, Some("a"))
    );
    assert_eq!(order.subject, format!("message/{}", letters[0]));
}

fn a_message_goes_back_once(place: &Place) {
    let mut world = with_a_letter(place);
    let letters = place.letter_places();
    // The leader that reads it first is no leader any more when it writes.
    place.order(&order(&requeue(&letters, Some("a"))));
    assert_eq!(read(&mut world), 1);
    world.notes.lock().refusals.push_back(Error::Fenced);
    assert_eq!(world.try_turn(1).unwrap_err(), Error::Fenced);
    assert_eq!(
        (place.letter_places(), place.stone("a")),
        (letters.clone(), Stone::Expiring)
    );

    world.lead();
    world.step();
    // Given twice, it is done once.
    place.order(&order(&requeue(&letters, Some("a"))));
    assert_eq!(read(&mut world), 2);
    world.step();
    let done: Vec<bool> = place
        .answers()
        .iter()
        .map(|answer| answer["results"][0]["done"] == true)
        .collect();
    // Of two servers, the leader cannot look at the letter: the queue moves it once all the same.
    assert_eq!(done, [true, !place.joint]);
    assert_eq!(place.source.depth().unwrap().waiting, 1);
    assert_eq!(place.letter_places(), Vec::<String>::new());
    // The leader dies before anybody has heard the answer: the next one finds nothing to do.
    world.lead();
    world.step();
    assert_eq!(read(&mut world), 0);
    world.settle();
    assert_eq!(world.creates.len(), 2);
    for batch in &world.notes.lock().batches {
        let of = |wanted: fn(&&Op) -> bool| batch.ops.iter().filter(wanted).count();
        let moved = of(|op| matches!(op, Op::Requeue { .. }));
        assert!(moved <= of(|op| matches!(op, Op::Answer { .. })), "{batch:?}");
    }
}

fn what_would_be_refused_again_stays(place: &Place) {
    let mut world = World::new(place);
    world.goes = Goes::Created;
    world.lead();
    world.receive(&message("a", "hello"));
    world.receive(&message("a", "other"));
    world.receive(br#"{"id":"b"}"#);
    world.receive(b"nothing");
    world.settle();
    let letters = place.letter_places();
    assert_eq!(letters.len(), 3);
    // The task is alive; where the leader can, it reads the message itself.
    let results = ordered(&mut world, &requeue(&letters[..1], Some("a")));
    assert_eq!(
        results,
        [(
            false,
            "a task with its id a is still there; see `job-worker why`".to_owned()
        )]
    );
    let results = ordered(&mut world, &requeue(&letters[1..], None));
    assert!(results.iter().all(|(done, _)| !done), "{results:?}");
    if place.joint {
        assert!(
            results[0].1.starts_with("it would be refused again: "),
            "{results:?}"
        );
        let none = ordered(&mut world, &requeue(&["1-1".to_owned()], Some("c")));
        assert_eq!(none, [(false, "no dead letter has this name".to_owned())]);
    }
    assert_eq!(place.letter_places(), letters);
    assert_eq!(noted(&world), []);
    let crooked = order(&requeue(&["*".to_owned()], Some("c")));
    place.order(&crooked);
    read(&mut world);
    world.step();
    assert!(place.answers().pop().unwrap()["refused"].is_string());
}

/// A task whose receiver wants nothing: three callbacks are dead.
fn with_dead_callbacks(place: &Place) -> World<'_> {
    let mut world = World::new(place);
    world.receivers_answer = false;
    world.lead();
    world.receive(&message("a", "hello"));
    for _ in 0..40 {
        world.now += 100;
        world.progress();
        world.step();
        for (key, _) in std::mem::take(&mut world.sent) {
            world.inputs.push_back(Input::Webhook(key, Answer::Gone));
        }
    }
    assert_eq!(place.callback_places().len(), 3);
    assert_eq!(world.heard.len(), 1, "the first was answered 410");
    world.receivers_answer = true;
    world
}

fn what_is_dropped_is_gone(place: &Place) {
    let mut world = with_dead_callbacks(place);
    world.receive(b"nothing");
    world.settle();
    let (letters, callbacks) = (place.letter_places(), place.callback_places());
    let what = json!({"drop": {"messages": letters, "callbacks": callbacks[..2]}});
    let results = ordered(&mut world, &what);
    assert!(results.iter().all(|(done, _)| *done), "{results:?}");
    assert_eq!(place.letter_places(), Vec::<String>::new());
    assert_eq!(place.callback_places(), callbacks[2..]);
    let verbs: Vec<Verb> = noted(&world).iter().map(|order| order.verb).collect();
    assert_eq!(verbs, [Verb::Drop; 3]);
    let again = ordered(
        &mut world,
        &json!({"drop": {"messages": [], "callbacks": callbacks[..1]}}),
    );
    assert_eq!(again, [(false, "no dead letter has this name".to_owned())]);
}

fn a_callback_given_up_is_sent_again(place: &Place) {
    let mut world = with_dead_callbacks(place);
    let kept = place
        .open()
        .dead_callbacks(&[&place.callback_places()[2]])
        .unwrap();
    let kept = kept[0].clone().unwrap();
    let field = |name: &str| {
        let (_, value) = kept.iter().find(|(field, _)| field == name).unwrap();
        String::from_utf8(value.clone()).unwrap()
    };
    let verdict = place.callback_places()[2].clone();
    let what = json!({"resend": {"callbacks": [{"dead": {"place": verdict}}, {"dead": {"place": verdict}}]}});
    place.order(&order(&what));
    read(&mut world);
    let outputs = world.turn();
    // It is written before it is sent, and a next leader sends it; whoever audits the store misses no task for it.
    assert_eq!(place.callback_places().len(), 2);
    let mut owed = Vec::new();
    let mut each = |loaded| {
        if let Loaded::Entry { entry, .. } = loaded {
            owed.push(read_callback(&entry).unwrap());
        }
    };
    place.open().load(&mut each).unwrap();
    assert_eq!(owed, [None]);
    drop(outputs);
    world.lead();
    world.settle();
    let sent = Heard {
        url: field("url"),
        webhook_id: field("webhook-id"),
        body: field("body"),
    };
    assert_eq!(world.heard[1..], [sent]);
    assert_eq!(world.stored(), (Vec::new(), Vec::new()));
    let answer = place.answers().pop().unwrap();
    assert_eq!(
        (&answer["results"][0]["done"], &answer["results"][1]["done"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(noted(&world).len(), 1);
}

fn a_callback_told_is_sent_again(place: &Place) {
    let mut world = World::new(place);
    world.lead();
    world.receive(&message("a", "hello"));
    world.settle();
    let told = world.heard.clone();
    assert_eq!(told.len(), 3);
    let last = place.record_places().pop().unwrap();
    let what = |status: u8| json!({"resend": {"callbacks": [{"told": {"record": last, "status": status}}]}});
    assert_eq!(
        ordered(&mut world, &what(2)),
        [(true, "is sent again".to_owned())]
    );
    world.settle();
    assert_eq!(world.heard[3..], told[2..]);
    assert_eq!(
        ordered(&mut world, &what(0)),
        [(false, "no such callback".to_owned())]
    );
    let orders = noted(&world);
    assert_eq!(orders.len(), 1);
    assert_eq!(
        (orders[0].verb, orders[0].subject.as_str()),
        (Verb::Resend, "a/2")
    );
}

fn a_callback_that_waits_is_tried_at_once(place: &Place) {
    let mut world = World::new(place);
    world.receivers_answer = false;
    world.goes = Goes::Created;
    world.lead();
    world.receive(&message("a", "hello"));
    let mut key = None;
    for _ in 0..200 {
        world.now += 1_000;
        world.step();
        for (sent, _) in std::mem::take(&mut world.sent) {
            key = Some(sent.to_string());
            let failed = Answer::Failed {
                reason: Failure::Status,
                status: Some(500),
                retry_after: None,
            };
            world.inputs.push_back(Input::Webhook(sent, failed));
        }
    }
    let tries = world.heard.len();
    world.step();
    assert!(
        world.next_wake().unwrap() > world.now + 10_000,
        "the wait has grown"
    );
    let what = json!({"resend": {"callbacks": [{"owed": {"key": key.unwrap()}}]}});
    let results = ordered(&mut world, &what);
    assert_eq!(
        results,
        [(true, "is tried at once, after those before it".to_owned())]
    );
    assert_eq!(world.heard.len(), tries + 1);
    assert_eq!(world.heard[tries], world.heard[0]);
    let again = ordered(&mut world, &what);
    assert_eq!(again, [(false, "it is being sent".to_owned())]);
    let unknown = json!({"resend": {"callbacks": [{"owed": {"key": "t:b@1/0"}}]}});
    assert_eq!(
        ordered(&mut world, &unknown),
        [(false, "no such callback".to_owned())]
    );
}

fn a_status_is_not_sent_after_what_follows(place: &Place) {
    let mut world = with_dead_callbacks(place);
    let first = place.callback_places()[0].clone();
    let what = json!({"resend": {"callbacks": [{"dead": {"place": first}}]}});
    let results = ordered(&mut world, &what);
    assert!(!results[0].0, "{results:?}");
    assert_eq!(place.callback_places().len(), 3);

    // The Job runs: its start is the last that was told.
    let mut world = World::new(place);
    world.goes = Goes::Created;
    world.lead();
    world.receive(&message("b", "hello"));
    world.settle();
    let created = place
        .record_places()
        .into_iter()
        .rfind(|record| {
            let bytes = place.open().record(record).unwrap().unwrap();
            matches!(rmp_serde::from_slice(&bytes), Ok(Record::V1 { transition, .. })
                if transition.task.as_str() == "b" && !transition.notices.is_empty())
        })
        .unwrap();
    let what = json!({"resend": {"callbacks": [{"told": {"record": created, "status": 0}}]}});
    assert_eq!(ordered(&mut world, &what), [(true, "is sent again".to_owned())]);
    world.settle();
    world.progress();
    world.settle();
    assert_eq!(world.statuses("b"), [0, 1]);
    let results = ordered(&mut world, &what);
    assert!(!results[0].0, "{results:?}");
}
