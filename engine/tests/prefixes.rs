//! A restart anywhere changes nothing, and a recorded log runs again to the same bytes.
//!
//! Each transition is made again by a task that was stored and read just before it; so, by induction, whatever comes before or after a
//! restart at any prefix is the same. `SEED=n` runs one walk and shows it.

#[allow(dead_code, reason = "each test uses its part of it")]
mod story;
mod walk;

use engine::{Advance, Record, Task, TaskId, Transition};
use std::collections::BTreeMap;
use story::{Story, World, recorded, restored, stored};
use walk::Walk;

const SEEDS: u64 = 500;
const TURNS: u32 = 150;

#[test]
fn a_story_goes_on_after_a_restart_at_any_moment() {
    for story in Story::all() {
        let (world, _) = story.run();
        runs_again(&story.name, &world);
    }
}

#[test]
fn a_random_life_keeps_the_laws_and_goes_on_after_a_restart_at_any_moment() {
    let one = std::env::var_os("SEED").map(|seed| seed.to_string_lossy().parse().expect("a number"));
    for seed in one.map_or(0..SEEDS, |seed| seed..seed + 1) {
        let mut walk = Walk::new(seed);
        for _ in 0..TURNS {
            walk.turn();
        }
        walk.heal();
        runs_again(&format!("seed {seed}"), &walk.world);
    }
}

/// Makes every transition again, and hears again whatever changed nothing.
fn runs_again(name: &str, world: &World) {
    let policy = world.engine.policy();
    let mut tasks: BTreeMap<TaskId, Vec<u8>> = BTreeMap::new();
    let mut unmoved = world.unmoved.iter().peekable();
    for (index, transition) in world.moved.iter().enumerate() {
        while let Some((_, at, id, event)) = unmoved.next_if(|(before, ..)| *before <= index) {
            if let Some(bytes) = tasks.get(id) {
                let answer = restored(bytes).advance(*at, id, event.clone(), policy);
                assert!(
                    !matches!(answer, Ok(Advance::Moved(..))),
                    "{name}: {event:?} changed nothing before and does now"
                );
            }
        }
        let Transition { task, at, event, .. } = transition;
        let again = match tasks.get(task) {
            None => Task::begin(*at, task, event.clone(), policy).expect("it began a task before"),
            Some(bytes) => match restored(bytes).advance(*at, task, event.clone(), policy) {
                Ok(Advance::Moved(again, _)) => *again,
                other => panic!("{name}: {event:?} moved {task} before, now it is {other:?}"),
            },
        };
        let line = recorded(transition);
        assert_eq!(recorded(&again), line, "{name}: {again:?} was {transition:?}");
        let read: Record = rmp_serde::from_slice(&line).expect("a record reads as it was written");
        assert_eq!(read, Record::from(again));
        tasks.insert(task.clone(), stored(&transition.after));
    }
    for (id, task) in world.engine.tasks() {
        assert_eq!(
            tasks.get(id),
            Some(&stored(task)),
            "{name}: the log ends where {id} is"
        );
    }
}
