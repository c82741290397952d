//! `job-worker render`.

use std::path::Path;

use serde_json::{Value, json};

use crate::{message, run, text};

const IN_DEFAULT: [&str; 4] = [
    "--instance-namespace",
    "default",
    "--received-at",
    "1700000000123",
];

fn rendered(file: &str, flags: &[&str], environment: &[(&str, &str)], stdin: &[u8]) -> Value {
    let arguments = [&["render", file], flags].concat();
    let output = run(&arguments, environment, stdin);
    assert_eq!(text(output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    serde_saphyr::from_str(&text(output.stdout)).expect("it prints YAML")
}

fn worked_example() -> String {
    message("valid/worked-example.json").display().to_string()
}

#[test]
fn the_worked_example_is_the_job_that_the_daemon_creates() {
    let snapshot = Path::new(env!("CARGO_MANIFEST_DIR")).join(
        "../adapters/src/cluster/snapshots/adapters__cluster__manifest__tests__the_job_of_the_worked_example.snap",
    );
    let snapshot = std::fs::read_to_string(snapshot).expect("the manifest's own test has a snapshot");
    let (_, created) = snapshot.rsplit_once("---\n").expect("a snapshot has a head");
    let created: Value = serde_json::from_str(created).expect("it is JSON");
    assert_eq!(rendered(&worked_example(), &IN_DEFAULT, &[], b""), created);
}

#[test]
fn with_patch_the_ttl_is_left_for_later() {
    let mut created = rendered(&worked_example(), &IN_DEFAULT, &[], b"");
    let patched = rendered(
        &worked_example(),
        &[&IN_DEFAULT[..], &["--patch"]].concat(),
        &[],
        b"",
    );
    let spec = created["spec"].as_object_mut().expect("a Job has a spec");
    assert_eq!(spec.remove("ttlSecondsAfterFinished"), Some(json!(60)));
    let limits = &mut created["metadata"]["annotations"]["job-worker/limits"];
    let mut numbers: Value = serde_json::from_str(limits.as_str().expect("limits are text")).expect("JSON");
    numbers["stoppable"] = json!(true);
    assert_eq!(limits_of(&patched), numbers);
    *limits = patched["metadata"]["annotations"]["job-worker/limits"].clone();
    assert_eq!(patched, created);
}

fn limits_of(job: &Value) -> Value {
    let text = job["metadata"]["annotations"]["job-worker/limits"].as_str();
    serde_json::from_str(text.expect("limits are text")).expect("JSON")
}

#[test]
fn the_instance_comes_from_flags_before_the_environment() {
    let environment = [("POD_NAMESPACE", "jobs"), ("LEADER_ELECTION_LOCK_NAME", "lock")];
    let instance = |flags: &[&str]| {
        let job = rendered(&worked_example(), flags, &environment, b"");
        job["metadata"]["annotations"]["job-worker/instance"].clone()
    };
    assert_eq!(instance(&[]), "jobs/lock");
    assert_eq!(instance(&["--lock-name", "other"]), "jobs/other");
    assert_eq!(instance(&["--instance-namespace", "other"]), "other/lock");
}

#[test]
fn no_text_becomes_another_value_in_yaml() {
    let texts = [
        "yes",
        "y",
        "null",
        "~",
        "true",
        "1e3",
        "0x1F",
        "012",
        "1:30",
        "2001-01-01",
        ".inf",
        "=",
        "<<",
        "- x",
        "# c",
        " a",
        "a ",
        "a: b",
        "a #b",
        "a\nb\n",
        "\n",
        "\na\n\n",
        "\t",
        "\u{2028}",
        "\u{85}",
        "\u{feff}",
        "é",
        "",
        "'",
        "\"",
        "\\",
        "%",
        "@",
        "!x",
        "&x",
        "*x",
        "{",
        "[",
        "?",
        "|",
        "a\r\nb",
        "\u{7}",
        "  deeper\nback\n",
    ];
    let message = json!({"id": "a", "service": "s", "job":
        {"prefixName": "p", "namespace": "n", "image": "i", "command": texts.as_slice(), "args": [texts.join(" ").repeat(9)]}});
    let job = rendered("-", &IN_DEFAULT, &[], message.to_string().as_bytes());
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["command"], message["job"]["command"]);
    assert_eq!(container["args"], message["job"]["args"]);
}

#[test]
fn every_fault_is_a_line_on_stderr_and_the_exit_code_is_65() {
    let file = message("invalid/env-ref-item-empty.json");
    let refused = run(
        &["render", &file.display().to_string()],
        &[("POD_NAMESPACE", "default")],
        b"",
    );
    let faults =
        std::fs::read_to_string(file.with_extension("expect")).expect("it stands beside the message");
    let faults: Vec<&str> = faults.lines().filter(|line| !line.contains("answer")).collect();
    assert_eq!(text(refused.stderr).lines().collect::<Vec<_>>(), faults);
    assert_eq!(
        (text(refused.stdout), refused.status.code()),
        (String::new(), Some(65))
    );
}

#[test]
fn a_namespace_that_is_not_watched_is_a_fault() {
    let refused = run(
        &["render", &worked_example()],
        &[("POD_NAMESPACE", "jobs"), ("WATCH_NAMESPACES", "a,b")],
        b"",
    );
    assert_eq!(
        text(refused.stderr),
        "job.namespace: must be one of a, b, got \"default\"\n"
    );
    assert_eq!(refused.status.code(), Some(65));
}

#[test]
fn without_the_workers_namespace_there_is_no_name() {
    let refused = run(&["render", &worked_example()], &[], b"");
    assert_eq!(
        text(refused.stderr),
        "POD_NAMESPACE: must be set: it is the namespace of the Lease, and the default one to watch\n"
    );
    assert_eq!(refused.status.code(), Some(78));
    let missing = run(&["render", "missing.json"], &[("POD_NAMESPACE", "jobs")], b"");
    assert_eq!(missing.status.code(), Some(66));
}
