//! What it starts is killed, and started again.

use crate::stage::{Dev, until};
use std::collections::BTreeMap;
use std::fs;

/// `JOB_WORKER_DEV_TASKS=1000` sends so many and kills the daemon 22 times; it takes about a minute.
#[test]
fn a_daemon_that_is_killed_again_and_again_is_started_again_and_forgets_nothing() {
    let tasks = std::env::var("JOB_WORKER_DEV_TASKS").map_or(20, |tasks| tasks.parse().expect("a number"));
    let between_kills = (tasks / 22).max(7);
    let mut dev = Dev::up(&[("LEADER_ELECTION_LEASE_SECONDS", "1")]);
    let started = dev.directory.path().join("started");
    let mut expected = BTreeMap::new();
    for number in 0..tasks {
        let id = format!("task-{number}");
        let (script, last) = match number % 5 {
            0 => ("exit 3", 3),
            _ => ("exit 0", 2),
        };
        dev.submit(
            &id,
            &format!("echo {id} >>'{}'; sleep 1; {script}", started.display()),
        );
        expected.insert(id, vec![0, 1, last]);
        if number % between_kills == between_kills / 2 {
            dev.kill_the_daemon();
        }
    }
    let verdicts = || {
        dev.told()
            .values()
            .filter(|told| told.iter().any(|status| *status > 1))
            .count()
    };
    until("each task has its verdict", || verdicts() == tasks);
    assert_eq!(dev.told(), expected);
    let started = fs::read_to_string(started).expect("the tasks have written it");
    let mut once: Vec<&str> = started.lines().collect();
    once.sort_unstable();
    assert!(
        once.iter().eq(expected.keys()),
        "each program was started once: {once:?}"
    );
    dev.signal("INT");
    assert_eq!(dev.ended().code(), Some(0));
    dev.left_nothing();
}

#[test]
fn a_redis_server_that_is_killed_is_started_again_with_its_data() {
    let mut dev = Dev::up(&[]);
    let go = dev.directory.path().join("go");
    let waits = format!("until [ -e '{}' ]; do sleep 0.1; done", go.display());
    dev.submit("before", &waits);
    until("it runs", || {
        dev.told().get("before").is_some_and(|told| told == &[0, 1])
    });
    dev.kill("redis-server");
    until("it is started again", || {
        dev.read("stdout").contains("redis-server is there again")
    });
    fs::write(go, "").expect("a file");
    dev.submit("after", "exit 0");
    until("both have their verdict", || {
        let told = dev.told();
        ["before", "after"]
            .iter()
            .all(|id| told.get(*id).is_some_and(|told| told == &[0, 1, 2]))
    });
    dev.signal("INT");
    assert_eq!(dev.ended().code(), Some(0));
    dev.left_nothing();
}
