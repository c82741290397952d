//! Recorded inputs run again: the same decisions, whenever the worker is restarted in between.

use std::collections::BTreeMap;

use engine::{Notice, Policy, Record, Transition};
use event_log::{Counts, Difference, Fields, Item, Reader, Rerun};

use crate::lives::{file, file_of, of_stories, of_walks, with_orders};
use crate::story::recorded;

/// Events of the long log; `scripts/bench replay` has 100,000.
const EVENTS: usize = 10_000;
/// Events whose tasks are restarted after each of them.
const PREFIX_EVENTS: usize = 2_000;

/// Runs a file again, and returns what differed.
pub(crate) fn differences(mut rerun: Rerun, file: &[u8]) -> (Counts, Vec<Difference>) {
    let mut reader = Reader::new(file).expect("a log");
    let mut all = Vec::new();
    while let Some(item) = reader.next().expect("nothing is damaged") {
        match item {
            Item::Record { offset, bytes } => all.extend(rerun.record(offset, bytes).expect("a record")),
            Item::Policy(policy) => rerun.set_policy(policy),
        }
    }
    (rerun.counts(), all)
}

#[test]
fn a_long_log_is_decided_again_as_recorded_with_a_restart_before_each_step() {
    let mut lives = of_stories();
    lives.extend(of_walks(EVENTS));
    let tasks = lives
        .iter()
        .filter(|transition| transition.from.is_none())
        .count();
    let file = file(&lives);
    for rerun in [
        Rerun::new(Policy::default()),
        Rerun::with_restarts(Policy::default()),
    ] {
        let (counts, differing) = differences(rerun, &file);
        assert_eq!(differing, []);
        let whole = Counts {
            events: lives.len() as u64,
            tasks: tasks as u64,
            ..Counts::default()
        };
        assert_eq!(counts, whole);
    }
}

#[test]
fn a_task_that_is_restarted_after_any_of_its_events_comes_to_the_same_end() {
    let mut by_task: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for transition in of_walks(PREFIX_EVENTS) {
        let records = by_task.entry(transition.task.to_string()).or_default();
        records.push(recorded(&transition));
    }
    for (task, records) in &by_task {
        for restart in 0..records.len() {
            // The first record says where the task is; what follows has to come out as recorded.
            let mut rerun = Rerun::new(Policy::default());
            for record in &records[restart..] {
                assert_eq!(rerun.record(0, record), Ok(None), "{task} from event {restart}");
            }
        }
    }
}

#[test]
fn the_policy_is_a_part_of_the_log() {
    let lives = of_walks(PREFIX_EVENTS);
    let other = Policy {
        lease_ms: 1_000,
        ..Policy::default()
    };
    let (_, differing) = differences(Rerun::new(other), &file(&lives));
    assert!(
        !differing.is_empty(),
        "the doubt about a create is a part of a state"
    );
}

#[test]
fn a_record_that_says_the_policy_stands_above_the_header() {
    let mut records: Vec<Vec<u8>> = Vec::new();
    for transition in of_walks(PREFIX_EVENTS) {
        let policy = records.is_empty().then(Policy::default);
        let record = Record::V1 { transition, policy };
        records.push(rmp_serde::to_vec_named(&record).expect("plain data"));
    }
    let other = Policy {
        lease_ms: 1_000,
        ..Policy::default()
    };
    let (_, differing) = differences(Rerun::new(other), &file_of(records));
    assert_eq!(differing, []);
}

#[test]
fn a_log_that_begins_in_the_middle_is_followed_from_there() {
    let lives = of_walks(PREFIX_EVENTS);
    let (counts, differing) = differences(Rerun::new(Policy::default()), &file(&lives[500..]));
    assert_eq!(differing, []);
    assert!(counts.midway > 0 && counts.gaps == 0, "{counts:?}");
}

#[test]
fn a_gap_in_a_life_is_counted_and_it_goes_on_behind_it() {
    let life = one_life();
    let with_gap: Vec<Transition> = [&life[..2], &life[3..]].concat();
    let (counts, differing) = differences(Rerun::new(Policy::default()), &file(&with_gap));
    assert_eq!(differing, []);
    assert_eq!((counts.gaps, counts.midway, counts.tasks), (1, 0, 1));
}

#[test]
fn a_decision_that_is_not_the_recorded_one_is_named_once_with_both() {
    let mut life = one_life();
    let (index, notice) = life
        .iter_mut()
        .enumerate()
        .find_map(|(index, transition)| Some((index, transition.notices.first_mut()?)))
        .expect("the client is told");
    *notice = Notice::Completed { duration_secs: 7 };
    let (counts, differing) = differences(Rerun::new(Policy::default()), &file(&life));
    assert_eq!((counts.different, differing.len()), (1, 1));
    let Difference {
        event, seq, parts, ..
    } = &differing[0];
    assert_eq!((*event, *seq), (index as u64 + 1, life[index].after.seq));
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].name, "notices");
    assert_eq!(
        parts[0].recorded,
        serde_json::json!([{"Completed": {"duration_secs": 7}}])
    );
    assert_ne!(parts[0].replayed, parts[0].recorded);
}

type Change = fn(&mut Transition);

#[test]
fn each_part_of_a_transition_is_compared() {
    let life = one_life();
    let last = life.len() - 1;
    let changes: [(&str, Change); 4] = [
        ("spec", |transition| {
            let other = of_stories().into_iter().map(|other| other.after.spec);
            let other = other.into_iter().find(|spec| *spec != transition.after.spec);
            transition.after.spec = other.expect("tasks differ");
        }),
        ("state", |transition| {
            transition.after.state = one_life()[0].after.state.clone();
        }),
        ("from", |transition| {
            transition.from = Some(engine::StateKind::Exception)
        }),
        ("notices", |transition| {
            transition.notices.push(Notice::Completed { duration_secs: 7 });
        }),
    ];
    for (part, change) in changes {
        let mut changed = life.clone();
        change(&mut changed[last]);
        let (_, differing) = differences(Rerun::new(Policy::default()), &file(&changed));
        let names: Vec<&str> = differing
            .iter()
            .flat_map(|one| &one.parts)
            .map(|part| part.name)
            .collect();
        assert_eq!(names, [part]);
    }
    // An effect cannot be given to a transition: one is taken out of the bytes.
    let mut records: Vec<Vec<u8>> = life.iter().map(recorded).collect();
    let index = life
        .iter()
        .position(|transition| transition.recorded_effect().is_some())
        .expect("something is asked of the world");
    let effect = Fields::of(&records[index]).expect("a record").effect.len();
    let end = records[index].len() - effect;
    records[index].truncate(end);
    records[index].push(0xc0);
    let (_, differing) = differences(Rerun::new(Policy::default()), &file_of(records));
    assert_eq!(differing.len(), 1);
    assert_eq!(differing[0].parts[0].name, "effect");
}

#[test]
fn other_bytes_of_the_same_meaning_are_the_same_decision() {
    let records = one_life().into_iter().map(|transition| {
        let mut value = serde_json::to_value(Record::from(transition)).expect("plain data");
        value["transition"]["after"]["spec"]["later"] = 1.into();
        rmp_serde::to_vec_named(&value).expect("plain data")
    });
    let (counts, differing) = differences(Rerun::new(Policy::default()), &file_of(records));
    assert_eq!(differing, []);
    assert!(counts.older > 0);
}

/// The life of one task, from its message to its end.
pub(crate) fn one_life() -> Vec<Transition> {
    of_stories()
        .into_iter()
        .filter(|transition| transition.task.as_str() == "happy-life/a")
        .collect()
}

#[test]
fn orders_move_no_task_and_are_counted() {
    let life = one_life();
    let records = with_orders(life.clone());
    let orders = (records.len() - life.len()) as u64;
    assert!(orders >= 6);
    for rerun in [
        Rerun::new(Policy::default()),
        Rerun::with_restarts(Policy::default()),
    ] {
        let (counts, differing) = differences(rerun, &file_of(records.clone()));
        assert_eq!(differing, []);
        let whole = Counts {
            events: life.len() as u64 + orders,
            tasks: 1,
            orders,
            ..Counts::default()
        };
        assert_eq!(counts, whole);
    }
}
