//! `/metrics`, as the tools of Prometheus read it.

use crate::place::Place;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// Runs promtool with this standard input.
pub(crate) fn promtool(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is in the package prometheus, which scripts/test installs");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(stdin).expect("promtool reads its input");
    drop(input);
    child.wait_with_output().expect("it ends")
}

#[test]
fn promtool_finds_no_fault_in_the_metrics_of_a_busy_worker() {
    let place = Place::busy();
    let text = place.metrics();
    for family in [
        "job_worker_queue_wait_seconds_count 3",
        "job_worker_create_seconds_count 3",
        "job_worker_pod_start_seconds_count 3",
        "job_worker_run_seconds_count{state=\"Failed\"} 1",
        "job_worker_tasks{phase=\"following\",state=\"PodStarted\"} 1",
        "job_worker_dependency_up{dependency=\"store\"} 1",
        "job_worker_epoch 1",
    ] {
        assert!(
            text.lines().any(|line| line == family),
            "{family} is not in {text}"
        );
    }
    let output = promtool(&["check", "metrics"], text.as_bytes());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn promtool_does_find_a_fault() {
    let output = promtool(
        &["check", "metrics"],
        b"# TYPE wrong_total gauge\nwrong_total 1\n",
    );
    assert!(!output.status.success(), "{output:?}");
}
