//! What takes a minute by its rule. Side by side, so that it takes one minute together.

use crate::stage::{COMPLETE, CREATE, PLAY, Stage, Told, recorded, until_within};
use fixtures::apiserver::Ending;
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(100);

#[test]
fn a_minute_without_permission_is_a_verdict_and_a_minute_of_silence_is_not() {
    thread::scope(|scope| {
        scope.spawn(a_permission_that_is_missing_for_a_minute_is_a_verdict);
        scope.spawn(a_watch_without_a_byte_is_given_up_after_a_minute);
    });
}

fn a_permission_that_is_missing_for_a_minute_is_a_verdict() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    stage
        .api
        .rule(|request| (request.key() == CREATE).then(|| recorded!(403, "status-403-rbac")));
    stage.submit("first", PLAY);
    stage.api.wait_for(CREATE, 1);
    stage.submit("second", PLAY);
    stage.bystander();
    let message = "No Job can be created in namespace play: a permission is missing, or there is no such namespace: jobs.batch is forbidden: User \
                   \"system:serviceaccount:default:default\" cannot create resource \"jobs\" in API group \"batch\" in the \
                   namespace \"default\" (HTTP 403)";
    until_within("both have a verdict", LIMIT, || {
        ["/first", "/second"]
            .iter()
            .all(|path| !stage.callbacks(path).is_empty())
    });
    let creates = stage.api.requests_of(CREATE);
    let lasted = creates[creates.len() - 1].at - creates[0].at;
    assert!(lasted >= Duration::from_secs(58), "given up after {lasted:?}");
    let told = || [Told::Exception("JOB_CREATE_FAILED", message)];
    stage.ends(&[("first", &told()), ("second", &told())]);
    worker.is_well();
}

fn a_watch_without_a_byte_is_given_up_after_a_minute() {
    let mut stage = Stage::set();
    let mut worker = stage.leader("worker-1");
    stage.started("started");
    stage.api.end_watches(Ending::Mute);
    stage.life(|life| life.complete("started"));
    worker.is_well();
    stage.told("started", &[Told::Created, Told::Started]);
    until_within("the task is told", LIMIT, || {
        stage.callbacks("/started").len() == 3
    });
    stage.ends(&[("started", COMPLETE)]);
    worker.is_well();
}
