//! Watches that end before their time.

use crate::stage::{COMPLETE, Stage, Told};
use fixtures::apiserver::Ending;

/// Ends the watches while tasks are in each state; what happens right after is not missed.
fn ends(ending: Ending) -> Stage {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    stage.created("created");
    stage.started("started");
    stage.api.end_watches(ending);
    stage.life(|life| {
        life.run("created");
        life.fail("created", 1);
        life.complete("started");
    });
    let failed = Told::Failed(
        "JOB_EXECUTION_FAILED",
        "Job execution failed with exit code 1 (container main, reason Error)",
    );
    stage.ends(&[
        ("created", &[Told::Created, Told::Started, failed]),
        ("started", COMPLETE),
    ]);
    worker.is_well();
    stage
}

fn lists(stage: &Stage) -> usize {
    stage.api.requests_of("list /apis/batch/v1/jobs").len()
}

#[test]
fn a_watch_that_ends_well_is_resumed_without_a_list() {
    assert_eq!(lists(&ends(Ending::Clean)), 1);
}

#[test]
fn a_watch_that_breaks_is_begun_anew_for_the_api_server_may_keep_older_data() {
    assert_eq!(lists(&ends(Ending::Cut)), 2);
}

#[test]
fn a_watch_whose_version_is_forgotten_is_begun_anew() {
    assert_eq!(lists(&ends(Ending::Expired)), 2);
}
