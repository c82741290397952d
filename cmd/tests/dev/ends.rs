//! How it ends: told to, killed, or for want of something.

use crate::stage::{Dev, until};

#[test]
fn sigterm_ends_everything_and_what_the_pods_run() {
    let mut dev = Dev::up(&[]);
    dev.submit("long", "sleep 300");
    until("it runs", || {
        dev.told().get("long").is_some_and(|told| told == &[0, 1])
    });
    assert!(dev.processes().iter().any(|process| process.contains("sleep")));
    dev.signal("TERM");
    assert_eq!(dev.ended().code(), Some(0));
    dev.left_nothing();
}

#[test]
fn a_sigkill_of_it_leaves_nothing_behind_either() {
    let mut dev = Dev::up(&[]);
    dev.submit("long", "sleep 300");
    until("it runs", || {
        dev.told().get("long").is_some_and(|told| told == &[0, 1])
    });
    dev.child.kill().expect("a child");
    dev.ended();
    dev.left_nothing();
}

#[test]
fn a_missing_redis_server_is_said_with_the_command_that_brings_it() {
    let bin = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::symlink("/bin/sh", bin.path().join("sh")).expect("a link");
    let mut dev = Dev::start(&[], &[("PATH", &bin.path().to_string_lossy())]);
    assert_eq!(dev.ended().code(), Some(69));
    let stderr = dev.read("stderr");
    assert!(stderr.contains("apt-get install redis-server"), "{stderr}");
}

#[test]
fn a_refused_setting_ends_it_with_the_fault() {
    let mut dev = Dev::start(&[], &[("POLLING_INTERVAL", "soon")]);
    assert_eq!(dev.ended().code(), Some(78));
    assert!(
        dev.read("stderr")
            .contains("POLLING_INTERVAL=\"soon\": must be a whole number of seconds")
    );
    dev.left_nothing();
}
