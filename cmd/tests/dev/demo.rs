//! The demonstration, which quickstart runs: right, wrong, and without an answer.

use crate::stage::{Dev, until};

#[test]
fn the_demonstration_ends_well_and_leaves_nothing_behind() {
    let mut dev = Dev::start(&["--demo"], &[]);
    assert_eq!(dev.ended().code(), Some(0));
    let stdout = dev.read("stdout");
    assert!(stdout.contains("demonstration: 6 callbacks compared, all as they have to be"));
    assert!(!stdout.contains('\x1b'), "a file is no terminal");
    assert_eq!(dev.read("stderr"), "");
    dev.left_nothing();
}

#[test]
fn a_demonstration_with_a_wrong_callback_fails_and_says_which() {
    let mut dev = Dev::start(&["--demo", "--image", "scripted.invalid/ok"], &[]);
    assert_eq!(dev.ended().code(), Some(1));
    let stderr = dev.read("stderr");
    assert!(
        stderr.contains(
            ": callback 3 should be {\"detail\":{\"error\":{\"errorCode\":\"JOB_EXECUTION_FAILED\""
        ),
        "{stderr}"
    );
    assert!(
        !stderr.contains("worked-example-"),
        "only one of the two is wrong: {stderr}"
    );
    // What happened can be looked at.
    assert!(dev.place().join("worker.log").exists());
    until("no process is left", || dev.processes().is_empty());
}

#[test]
fn a_demonstration_with_a_missing_callback_fails() {
    let image = ["--demo", "--image", "registry.invalid/missing"];
    let mut dev = Dev::start(&image, &[("POD_START_TIMEOUT", "2")]);
    assert_eq!(dev.ended().code(), Some(1));
    assert!(dev.read("stderr").contains("and is nothing"));
    until("no process is left", || dev.processes().is_empty());
}
