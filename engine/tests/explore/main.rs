//! Every order of everything that can happen to one task, and a bounded part of it for two: an exhaustive search of the task machine
//! before a small cluster, with the laws checked at every transition and an end that stays within reach at every moment.
//!
//! What is under way between worker and cluster can be late, lost or doubled: messages, requests and their answers, watch events. A
//! former leader's writes are refused by the store (see the store's tests); what is left of it here are the requests that it sent.
//! A broken law is printed as a story; in `fixtures/stories` it stays.

mod acts;
mod cluster;
mod laws;
mod node;
mod search;
#[allow(dead_code, reason = "each test uses its part of it")]
#[path = "../story/mod.rs"]
mod story;
mod tell;
mod turn;

use cluster::WaitsFor;
use engine::TaskId;
use node::Setup;
use search::{Found, search};
use story::World;

const ALONE: Setup = Setup {
    name: "one task, patch, TTL",
    tasks: &["a"],
    stoppable: true,
    ttl_secs: Some(31),
    waits_for: WaitsFor::Node,
    faults: 1,
    window: false,
    horizon: 200_000,
    states_max: 120_000,
};

const NO_PATCH: Setup = Setup {
    name: "one task, no patch, TTL",
    stoppable: false,
    ..ALONE
};

const NO_IMAGE: Setup = Setup {
    name: "one task, patch, an image name that is none",
    ttl_secs: None,
    waits_for: WaitsFor::ImageName,
    ..ALONE
};

const AGAIN: Setup = Setup {
    name: "one task whose id comes again after its window",
    window: true,
    horizon: 86_600_000,
    states_max: 5_000,
    ..ALONE
};

const PAIR: Setup = Setup {
    name: "two tasks, patch",
    tasks: &["a", "b"],
    horizon: 100_000,
    states_max: 8_000,
    ..ALONE
};

/// Searches, and prints what was found.
fn holds(setup: &Setup) -> Found {
    let found = search(setup);
    eprintln!(
        "{}: {} states, {} transitions, {} ends, {} not followed; told: {:?}",
        found.setup, found.states, found.transitions, found.ends, found.cut, found.tales
    );
    if let Some((law, story)) = &found.broken {
        panic!("{}: {law}\n\n{story}", found.setup);
    }
    found
}

/// Searches all of it: only what goes on for ever, a Job that hides, is left at the horizon.
fn holds_in_every_order(setup: &Setup) -> Found {
    let found = holds(setup);
    assert!(
        found.states < setup.states_max,
        "{}: not the whole of it",
        found.setup
    );
    found
}

/// Whatever can be told in the end was told on some way.
fn tells(found: &Found, tales: &[&[u8]]) {
    for tale in tales {
        assert!(found.tales.contains_key(*tale), "{}: never {tale:?}", found.setup);
    }
}

#[test]
fn one_task_that_can_be_stopped_keeps_the_laws_in_every_order() {
    let found = holds_in_every_order(&ALONE);
    let all: [&[u8]; 7] = [
        &[0, 1, 2],
        &[0, 1, 3],
        &[0, 1, 99],
        &[0, 2],
        &[0, 3],
        &[0, 99],
        &[99],
    ];
    tells(&found, &all);
}

#[test]
fn one_task_that_cannot_be_stopped_keeps_the_laws_in_every_order() {
    let found = holds_in_every_order(&NO_PATCH);
    tells(&found, &[&[0, 1, 2], &[0, 1, 3], &[0, 99], &[99]]);
}

#[test]
fn a_pod_that_never_starts_keeps_the_laws_in_every_order() {
    tells(&holds_in_every_order(&NO_IMAGE), &[&[0, 99], &[99]]);
    let found = holds_in_every_order(&Setup {
        name: "one task, no patch, an image name that is none",
        stoppable: false,
        ..NO_IMAGE
    });
    tells(&found, &[&[0, 99], &[99]]);
}

#[test]
fn an_id_that_comes_again_is_another_task_as_far_as_the_bound_goes() {
    holds(&AGAIN);
    holds(&Setup {
        name: "the same, and its old Job stays",
        ttl_secs: None,
        ..AGAIN
    });
}

#[test]
fn one_task_with_two_faults_keeps_the_laws_as_far_as_the_bound_goes() {
    let found = holds(&Setup {
        name: "one task, no patch, two faults",
        faults: 2,
        states_max: 8_000,
        ..NO_PATCH
    });
    tells(&found, &[&[99]]);
}

#[test]
fn two_tasks_keep_the_laws_as_far_as_the_bound_goes() {
    let found = holds(&Setup {
        name: "two tasks, no patch, no fault",
        stoppable: false,
        faults: 0,
        ..PAIR
    });
    tells(&found, &[&[0, 99]]);
    holds(&PAIR);
}

#[test]
fn what_a_search_prints_is_a_story_that_goes_the_same_way() {
    let found = search(&NO_IMAGE);
    let mut crashes = 0;
    for (story, stored) in &found.samples {
        let mut world = World::new(turn::policy());
        for line in story.lines().filter(|line| !line.starts_with(['#', '-'])) {
            world.line(line);
        }
        let task = world.engine.task(&TaskId::new("a")).expect("the story takes it");
        assert_eq!(&story::stored(task), stored, "{story}");
        crashes += u32::from(story.contains("crash"));
    }
    assert!(found.samples.len() > 20, "{} samples", found.samples.len());
    assert!(crashes > 0, "no sample has another worker");
}
