//! Trouble of the API server as a whole, and of what it keeps.

use std::time::{Duration, Instant};

use fixtures::kubernetes::Access;

use super::cluster;
use super::stage::{PATIENCE, Stage};
use crate::world::eventually;

/// Runs a verb of `scripts/cluster`.
fn run(verb: &str, options: &[&str]) {
    cluster().run(verb, options).expect("the cluster can be harmed");
}

/// Lets a trouble last.
fn last(since: Instant, seconds: u64) {
    let lasted = || (since.elapsed() >= Duration::from_secs(seconds)).then_some(());
    eventually(PATIENCE, "the trouble lasts", lasted);
}

/// Waits until a watch was begun anew for a reason.
fn await_restarts(stage: &Stage, reason: &str) {
    let metric = format!("job_worker_watch_restarts_total{{reason=\"{reason}\"}}");
    eventually(PATIENCE, &format!("a watch that has {reason}"), || {
        (stage.metric(&metric) > 0.0).then_some(())
    });
}

/// Two replicas with the permissions that are needed, and one with `patch`, suffer the same.
fn stages(name: &str, lease_seconds: u64) -> [Stage; 2] {
    [
        Stage::new(&format!("{name}-needed"), Access::Needed, 2, lease_seconds),
        Stage::new(&format!("{name}-patch"), Access::Patch, 1, lease_seconds),
    ]
}

/// Plays a trouble of so many seconds that loses nothing.
fn suffer(name: &str, lease_seconds: u64, seconds: u64, trouble: impl FnOnce(&mut [Stage; 2])) {
    let mut stages = stages(name, lease_seconds);
    for stage in &mut stages {
        stage.before(Duration::from_secs(seconds));
    }
    stages.iter_mut().for_each(Stage::begins);
    trouble(&mut stages);
    for stage in &mut stages {
        stage.ends();
        stage.after();
    }
    stages.into_iter().for_each(Stage::judge);
}

#[test]
fn a_restart_of_the_api_server_is_no_more_than_a_pause() {
    suffer("restart", 15, 5, |stages| {
        run("stop-apiserver", &["--term"]);
        stages.iter_mut().for_each(Stage::during);
        for stage in stages.iter() {
            await_restarts(stage, "ended");
        }
        run("start-apiserver", &[]);
    });
}

#[test]
fn an_api_server_that_is_away_for_a_minute_ends_no_task() {
    suffer("absence", 15, 60, |stages| {
        run("stop-apiserver", &[]);
        let began = Instant::now();
        stages.iter_mut().for_each(Stage::during);
        stages.iter().for_each(Stage::assert_not_ready);
        last(began, 60);
        for stage in stages.iter() {
            assert_eq!(
                stage.metric("job_worker_leader"),
                0.0,
                "nobody leads beyond the lease"
            );
        }
        run("start-apiserver", &[]);
    });
}

#[test]
fn an_api_server_that_is_frozen_beyond_the_lease_makes_no_second_job() {
    suffer("frozen", 6, 20, |stages| {
        stages.iter_mut().for_each(Stage::during);
        run("freeze-apiserver", &[]);
        let began = Instant::now();
        stages.iter().for_each(Stage::assert_not_ready);
        last(began, 20);
        run("thaw-apiserver", &[]);
    });
}

#[test]
fn watches_that_cannot_be_resumed_begin_with_a_new_list() {
    suffer("compacted", 15, 5, |stages| {
        run("stop-apiserver", &[]);
        run("compact", &[]);
        stages.iter_mut().for_each(Stage::during);
        run("start-apiserver", &[]);
        for stage in stages.iter() {
            await_restarts(stage, "expired");
        }
    });
}
