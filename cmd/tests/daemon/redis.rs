//! Faults of Redis: it is away, full, read-only, empty, paused, wrong.

use crate::stage::{COMPLETE, PLAY, QUEUE, Stage, Told, is_create_of};
use fixtures::apiserver::Answer;
use fixtures::redis::Options;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::Duration;

#[test]
fn a_redis_that_is_down_at_the_start_is_waited_for() {
    let mut stage = Stage::set();
    stage.redis.kill().unwrap();
    let mut worker = stage.worker("worker-1");
    worker.says("the store cannot be claimed, it is tried again");
    worker.answers("/readyz", 503);
    worker.is_well();
    stage.redis.restart().unwrap();
    stage.bystander();
    worker.answers("/readyz", 200);
    worker.is_well();
}
