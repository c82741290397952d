//! Leaders that end anywhere, stale ones, stores that lost writes, Jobs without a task.

use std::collections::BTreeMap;

use adapters::cluster::{Report, Request, Scope};
use adapters::driver::Output;
use adapters::store::Error;
use engine::{Event, JobDeleted, JobEnded, Looked, Refusal, RefusalKind, StateKind, Timestamp};

use super::Law;
use super::place::{Place, Stone};
use super::world::{Goes, Heard, START, World, complete, id, message, message_in};

pub(crate) const LAWS: &[(&str, Law)] = &[
    ("a leader may end anywhere", a_leader_may_end_anywhere),
    (
        "what is owed is asked once at a takeover",
        what_is_owed_is_asked_once,
    ),
    ("timers wait for the lists", timers_wait_for_the_lists),
    ("a stale leader is fenced", a_stale_leader_is_fenced),
    (
        "a store that lost writes ends the leader",
        a_store_that_lost_writes_ends_the_leader,
    ),
    ("a Job without a task is adopted", a_job_without_a_task_is_adopted),
    (
        "a Job that ended long ago is left",
        a_job_that_ended_long_ago_is_left,
    ),
    (
        "a Job left in place keeps its id until it is gone",
        a_job_left_in_place_keeps_its_id,
    ),
    (
        "a Job made during a list is not missing in it",
        a_job_made_during_a_list_is_not_missing,
    ),
    ("nothing wants turns without end", nothing_wants_turns_without_end),
    (
        "a refused namespace is asked for again",
        a_refused_namespace_is_asked_for_again,
    ),
    (
        "creates keep the order of arrival",
        creates_keep_the_order_of_arrival,
    ),
];

const INVALID: &[u8] =
    br#"{"id":"bad","service":"example","webhook":{"url":"http://receiver.test/bad"},"job":{}}"#;

/// How a leader ends in a turn.
#[derive(Clone, Copy, Debug)]
enum End {
    /// After the turn's work was handed out.
    Carried,
    /// After the write: nothing of what it wanted was done.
    Lost,
    /// After everything was taken in, before the turn.
    Before,
}

/// Plays a life of several tasks; in turn `at` the leader ends and another one begins.
fn play<'a>(place: &'a Place, at: Option<(usize, End)>) -> (World<'a>, usize) {
    let mut world = World::new(place);
    world.lead();
    for raw in [
        message("a", "x"),
        message("b", "x"),
        INVALID.to_vec(),
        message("a", "x"),
        message("b", "y"),
    ] {
        place.push(&raw);
    }
    let mut turns = 0;
    for _ in 0..60 {
        world.now += 100;
        world.progress();
        world.take();
        turns += 1;
        match at.filter(|(turn, _)| *turn == turns).map(|(_, end)| end) {
            None => world.step(),
            Some(end) => {
                match end {
                    End::Carried => world.step(),
                    End::Lost => drop(world.turn()),
                    End::Before => {}
                }
                world.lead();
            }
        }
        let done = world.stored() == (Vec::new(), Vec::new()) && world.inputs.is_empty();
        if done && turns > 3 && at.is_none_or(|(turn, _)| turns > turn) {
            return (world, turns);
        }
    }
    panic!("not done: {at:?} {:?}", world.stored());
}

/// Each callback, with its one webhook-id.
fn callbacks(world: &World<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for Heard { webhook_id, body, .. } in &world.heard {
        let before = found.insert(body.clone(), webhook_id.clone());
        assert!(
            before.is_none_or(|before| before == *webhook_id),
            "two ids for {body}"
        );
    }
    found
}

fn a_leader_may_end_anywhere(place: &Place) {
    let fresh = || place.sibling();
    let calm = fresh();
    let (world, turns) = play(&calm, None);
    let bodies: Vec<String> = callbacks(&world).into_keys().collect();
    let letters = sorted(calm.letters());
    assert_eq!((bodies.len(), letters.len()), (7, 2), "{bodies:?}");
    for turn in 1..=turns {
        for end in [End::Carried, End::Lost, End::Before] {
            let place = fresh();
            let (world, _) = play(&place, Some((turn, end)));
            let found: Vec<String> = callbacks(&world).into_keys().collect();
            assert_eq!(found, bodies, "turn {turn}, {end:?}");
            assert_eq!(sorted(place.letters()), letters, "turn {turn}, {end:?}");
            assert_eq!(place.source.depth().unwrap().taken, 0, "turn {turn}, {end:?}");
            for task in ["a", "b"] {
                let mut names: Vec<String> = Vec::new();
                for (of, job) in &world.creates {
                    if *of == id(task) {
                        names.push(job["metadata"]["name"].to_string());
                    }
                }
                names.dedup();
                assert_eq!(names.len(), 1, "turn {turn}, {end:?}");
                assert_eq!(world.statuses(task), [0, 1, 2], "turn {turn}, {end:?}");
            }
        }
    }
}

fn sorted(letters: Vec<super::place::Letter>) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = letters
        .into_iter()
        .map(|letter| (letter.reason, letter.raw))
        .collect();
    all.sort();
    all
}

/// Begins a task and leaves its create unanswered.
fn creating(place: &Place) -> World<'_> {
    let mut world = World::new(place);
    world.goes = Goes::Nowhere;
    world.lead();
    world.step();
    world.receive(&message("a", "x"));
    world.step();
    world.step();
    assert_eq!(world.creates.len(), 1);
    world
}

/// Begins a task and makes its Job.
fn created(place: &Place) -> World<'_> {
    let mut world = creating(place);
    let Some(Request::Create { task, spec, .. }) = world.requests.pop() else {
        panic!()
    };
    world.create(&task, &spec);
    world.step();
    world.step();
    assert_eq!(world.state("a"), Some(StateKind::Created));
    world
}

fn what_is_owed_is_asked_once(place: &Place) {
    let mut world = creating(place);
    world.lead();
    world.step();
    world.step();
    assert_eq!(world.creates.len(), 2);
    assert_eq!(world.creates[0], world.creates[1]);

    let other = place.sibling();
    let mut world = created(&other);
    let job = world.jobs.remove(&id("a")).unwrap();
    world.now += 1_000;
    world.lead();
    let looks = |outputs: &[Output]| {
        let look = |output: &&Output| matches!(output, Output::Cluster(Request::Look { .. }));
        outputs.iter().filter(look).count()
    };
    let outputs = world.turn();
    assert_eq!(looks(&outputs), 1, "the list does not hold its Job: {outputs:?}");
    world.jobs.insert(id("a"), job);
}

fn timers_wait_for_the_lists(place: &Place) {
    let mut world = created(place);
    let uid = world.jobs[&id("a")].uid.clone();
    world.facts("a", vec![Event::JobEnded(JobEnded { uid, end: complete() })]);
    world.step();
    world.claim();
    world.now += 3_600_000;
    let outputs = world.turn();
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::Cluster(Request::Look { .. })))
    );
    world.relist();
    world.say(Report::Synced);
    let outputs = world.turn();
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Cluster(Request::Look { .. }))),
        "{outputs:?}"
    );
}

fn a_stale_leader_is_fenced(place: &Place) {
    let mut stale = created(place);
    let mut fresh = World::new(place);
    fresh.jobs = stale.jobs.clone();
    fresh.lead();
    let before = fresh.stored();
    stale.progress();
    stale.receive(&message("b", "x"));
    assert_eq!(
        stale.try_turn(usize::MAX).map(|outputs| outputs.len()),
        Err(Error::Fenced)
    );
    assert_eq!(fresh.stored(), before);
    let beat = stale.driver.as_mut().unwrap().beat(std::time::Instant::now());
    assert_eq!(beat, Err(Error::Fenced));
    fresh.leftovers();
    fresh.settle();
    assert_eq!(stale.statuses("a"), [0]);
    assert_eq!(
        (fresh.statuses("a"), fresh.statuses("b")),
        (vec![1, 2], vec![0, 1, 2])
    );
}

fn a_store_that_lost_writes_ends_the_leader(place: &Place) {
    let Some(store) = place.memory() else { return };
    let mut world = World::new(place);
    world.lead();
    world.step();
    let image = store.image();
    world.receive(&message("a", "x"));
    world.step();
    store.restore(image);
    world.receive(&message("b", "x"));
    let answer = world.try_turn(usize::MAX).map(|outputs| outputs.len());
    assert!(matches!(answer, Err(Error::Rollback { .. })), "{answer:?}");
}

/// Makes the store forget a task whose Job exists.
fn orphaned<'a>(from: &Place, place: &'a Place) -> World<'a> {
    let mut world = World::new(place);
    world.jobs = created(from).jobs;
    world.now = START + 1_000;
    world
}

fn a_job_without_a_task_is_adopted(place: &Place) {
    let mut world = orphaned(&place.sibling(), place);
    world.lead();
    world.settle();
    assert_eq!((world.statuses("a"), world.creates.len()), (vec![0, 1, 2], 0));
    // Its tombstone says that somebody has its verdict.
    world.lead();
    world.settle();
    assert_eq!((world.heard.len(), world.stored().0.len()), (3, 0));
    // The last object of a Job that is gone begins nothing.
    let mut world = orphaned(&place.sibling(), place);
    let spec = &mut world.jobs.get_mut(&id("a")).unwrap().spec;
    spec.job_name.push('0');
    let job = world.jobs[&id("a")].clone();
    place.forget_stone("a");
    world.jobs.clear();
    world.lead();
    world.step();
    world.jobs.insert(id("a"), job);
    world.delete("a");
    world.step();
    assert_eq!(world.stored(), (Vec::new(), Vec::new()));
}

fn a_job_that_ended_long_ago_is_left(place: &Place) {
    let mut world = orphaned(&place.sibling(), place);
    let job = world.jobs.get_mut(&id("a")).unwrap();
    job.end = Some(complete());
    job.ended_at = Some(Timestamp(START));
    world.now = START + world.policy.dedup_window_ms / 2 + 1;
    world.goes = Goes::Nowhere;
    world.lead();
    world.step();
    assert_eq!(world.stored().0.len(), 0);
    assert!(
        world.metric(r#"job_worker_orphan_jobs_total{outcome="left"} 1"#),
        "{}",
        world.metrics.render()
    );
}

fn a_job_left_in_place_keeps_its_id(place: &Place) {
    let mut world = created(place);
    let uid = world.jobs[&id("a")].uid.clone();
    world.now += 601_000;
    let outputs = world.turn();
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Cluster(Request::Look { .. }))),
        "{outputs:?}"
    );
    let looked = Looked {
        job: Some(uid.clone()),
        waiting: None,
        has_pods: false,
    };
    world.facts("a", vec![Event::Looked(looked)]);
    world.step();
    world.step();
    assert_eq!(world.statuses("a"), [0, 99]);
    assert_eq!(
        (place.stone("a"), world.state("a")),
        (Stone::Lasting, Some(StateKind::Exception))
    );
    world.lead();
    world.step();
    world.receive(&message("a", "x"));
    world.step();
    assert_eq!((place.stone("a"), world.stored().0.len()), (Stone::Lasting, 1));
    let job = world.jobs.remove(&id("a")).unwrap();
    world.say(Report::Job {
        task: id("a"),
        facts: vec![Event::JobSeen(job.seen()), Event::JobDeleted(JobDeleted { uid })],
        adoption: Some(Box::new(job.spec)),
    });
    world.step();
    assert_eq!(
        (place.stone("a"), world.stored()),
        (Stone::Expiring, (Vec::new(), Vec::new()))
    );
}

fn a_job_made_during_a_list_is_not_missing(place: &Place) {
    let mut world = creating(place);
    let Some(Request::Create { task, spec, .. }) = world.requests.pop() else {
        panic!()
    };
    let relisted = |began_at: u64| Report::Relisted {
        scope: Scope::All,
        jobs: std::collections::BTreeSet::new(),
        began_at: Timestamp(began_at),
    };
    world.now += 1_000;
    let began_at = world.now;
    world.now += 1_000;
    world.create(&task, &spec);
    world.step();
    world.say(relisted(began_at));
    let outputs = world.turn();
    assert!(
        !outputs
            .iter()
            .any(|output| matches!(output, Output::Cluster(Request::Look { .. }))),
        "{outputs:?}"
    );
    world.carry(outputs);
    world.say(relisted(world.now + 1));
    let outputs = world.turn();
    assert!(
        outputs
            .iter()
            .any(|output| matches!(output, Output::Cluster(Request::Look { .. }))),
        "{outputs:?}"
    );
}

fn nothing_wants_turns_without_end(place: &Place) {
    let mut world = World::new(place);
    world.goes = Goes::Nowhere;
    world.policy.creates_max = 1;
    world.lead();
    world.step();
    world.receive(&message_in("full", "a", "x"));
    world.step();
    world.step();
    // The namespace is closed by a create, and its probe has no slot while another create is not answered.
    world.facts(
        "a",
        vec![Event::CreateFailed(engine::CreateFailed {
            why: engine::CreateFailure::Quota,
            message: "exceeded quota".to_owned(),
            retry_after_ms: None,
        })],
    );
    world.receive(&message("b", "x"));
    world.step();
    world.step();
    world.now += 60_000;
    for _ in 0..3 {
        world.step();
    }
    let wake = world.next_wake();
    assert!(
        wake.is_none_or(|wake| wake > world.now),
        "{wake:?} is not after {}",
        world.now
    );

    // The delivery threads have no room.
    let other = place.sibling();
    let mut world = created(&other);
    world.receivers_answer = false;
    world.progress();
    world.step();
    let (key, _) = world.sent.pop().unwrap();
    world
        .driver
        .as_mut()
        .unwrap()
        .not_sent(Timestamp(world.now), &key);
    world.step();
    assert_eq!(world.sent.len(), 0, "not at once");
    assert!(world.next_wake().unwrap() > world.now);
    world.now += 1_000;
    world.step();
    assert_eq!(world.sent.len(), 1);
}

fn a_refused_namespace_is_asked_for_again(place: &Place) {
    let mut world = World::new(place);
    world.goes = Goes::Nowhere;
    world.lead();
    world.step();
    world.receive(&message_in("closed", "a", "x"));
    world.turn();
    let refused = || Report::NamespaceRefused {
        namespace: "closed".to_owned(),
        refusal: Refusal {
            why: RefusalKind::Forbidden,
            message: "this worker watches 256 namespaces one by one".to_owned(),
        },
    };
    let mut asked = 0;
    world.say(refused());
    for _ in 0..80 {
        world.now += 1_000;
        for output in world.turn() {
            if matches!(output, Output::Cluster(Request::Prepare { .. })) {
                asked += 1;
                world.say(refused());
            } else if matches!(output, Output::Send(..)) {
                world.carry(vec![output]);
            }
        }
    }
    assert!((4..8).contains(&asked), "{asked}");
    assert_eq!(world.statuses("a"), [99]);
    assert!(
        world.told("a")[0].contains("JOB_CREATE_FAILED"),
        "{:?}",
        world.told("a")
    );
}

fn creates_keep_the_order_of_arrival(place: &Place) {
    let mut world = World::new(place);
    world.goes = Goes::Nowhere;
    world.policy.creates_max = 1;
    world.lead();
    world.step();
    for name in ["c", "b", "a"] {
        world.now += 1;
        world.receive(&message(name, "x"));
        world.step();
    }
    world.goes = Goes::Ended;
    world.lead();
    world.settle();
    let mut order: Vec<&str> = world.creates.iter().map(|(task, _)| task.as_str()).collect();
    order.dedup();
    assert_eq!(order, ["c", "b", "a"]);
}
