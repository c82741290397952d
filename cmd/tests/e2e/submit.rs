//! `job-worker submit`: a producer for people.

use std::process::{Command, Output};

use crate::story::statuses;
use crate::task::Task;
use crate::world::{SOON, World, binary, end};

fn submit(world: &World, task: &Task, more: &[&str]) -> Output {
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(file.path(), task.message.to_string()).expect("it can be written");
    Command::new(binary())
        .arg("submit")
        .arg(file.path())
        .args(more)
        .env_clear()
        .envs(world.environment("submitter"))
        .output()
        .expect("cargo has built the binary")
}

#[test]
fn a_file_is_submitted_and_runs() {
    let world = World::new("submit");
    let worker = world.worker("worker-0");
    let task = world.task("submit", "true");
    let output = submit(&world, &task, &[]);
    assert!(output.status.success(), "{output:?}");
    world.verdict(&task.id, SOON);
    end(worker);
    world.assert_completed(&task);
}

#[test]
fn with_a_new_id_the_same_file_runs_again() {
    let world = World::new("submit-new");
    let worker = world.worker("worker-0");
    let task = world.task("submit-new", "true");
    for _ in 0..2 {
        let output = submit(&world, &task, &["--new-id"]);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let id = said
            .split_whitespace()
            .find(|word| uuid::Uuid::parse_str(word).is_ok())
            .unwrap_or_else(|| panic!("the new id is said: {output:?}"));
        world.verdict(id, SOON);
        assert_eq!(statuses(&world.told(id)), [0, 1, 2]);
    }
    end(worker);
    assert_eq!(world.told(&task.id), []);
    assert_eq!(world.creates().len(), 2);
}

#[test]
fn a_file_that_breaks_a_rule_is_refused_before_it_is_sent() {
    let world = World::new("submit-bad");
    let task = world.task("submit-bad", "true").with("backoffLimit", -1);
    let output = submit(&world, &task, &[]);
    assert!(!output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("job.backoffLimit"),
        "{output:?}"
    );
    let waiting: u64 = redis::Commands::llen(&mut world.queue(), crate::world::QUEUE).unwrap();
    assert_eq!(waiting, 0);
}
