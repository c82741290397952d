//! Commands that look: `list`, `get`, `why`, `events`.

use crate::shelf::{Shelf, words};
use engine::{CreateFailed, CreateFailure, Event, Granted};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

/// Four tasks: one in each state before the end, and one that is finished and forgotten.
fn four() -> Shelf {
    let mut shelf = Shelf::new();
    shelf.take("late", "mail", "default", Duration::from_secs(10));
    shelf.take("early", "mail", "other", Duration::from_secs(7_300));
    shelf.take("running", "video", "default", Duration::from_secs(700));
    shelf.take("over", "video", "default", Duration::from_secs(900));
    shelf.create("early");
    shelf.start("running");
    shelf.complete("over");
    shelf.write();
    shelf
}

/// Returns the first column.
fn ids(text: &str) -> Vec<&str> {
    words(text)
        .into_iter()
        .filter_map(|line| line.first().copied())
        .collect()
}

#[test]
fn list_shows_what_is_asked_for_in_the_order_of_arrival() {
    let shelf = four();
    let table = shelf.prints(&["list"]);
    let rows = words(&table);
    assert_eq!(
        rows[0],
        ["ID", "STATE", "PHASE", "AGE", "SERVICE", "NAMESPACE", "CODE"]
    );
    assert_eq!(ids(&table), ["ID", "early", "running", "late"]);
    assert_eq!(
        rows[3],
        ["late", "Received", "queued", rows[3][3], "mail", "default", "-"]
    );
    let filters: [(&[&str], &[&str]); 7] = [
        (&["--state", "created,PodStarted"], &["early", "running"]),
        (&["--service", "mail"], &["early", "late"]),
        (&["-n", "other"], &["early"]),
        (&["--older-than", "1h"], &["early"]),
        (&["--newer-than", "1h30m"], &["running", "late"]),
        (&["--all", "--service", "video"], &["over", "running"]),
        (&["--state", "Failed"], &[]),
    ];
    for (filter, expected) in filters {
        let mut words = vec!["list", "--no-headers"];
        words.extend(filter);
        assert_eq!(ids(&shelf.prints(&words)), expected, "{filter:?}");
    }
}

#[test]
fn list_has_each_form() {
    let shelf = four();
    let wide = shelf.prints(&["list", "-o", "wide"]);
    assert!(wide.starts_with("ID "), "{wide}");
    assert!(
        wide.contains("WAITS FOR") && wide.contains("a free create slot"),
        "{wide}"
    );
    assert!(wide.contains("my-job-running"), "{wide}");
    let json: Value = serde_json::from_str(&shelf.prints(&["list", "-o", "json"])).expect("JSON");
    assert_eq!(json[1]["id"], "running");
    assert_eq!(json[1]["state"], "PodStarted");
    assert_eq!(json[1]["jobUid"], "uid-running");
    assert_eq!(json[1]["webhook"], "http://example.com:80/hook");
    let yaml = shelf.prints(&["list", "-o", "yaml"]);
    assert!(
        yaml.contains("id: running\n") && yaml.contains("stoppable: true\n"),
        "{yaml}"
    );
    for form in ["table", "wide", "json", "yaml"] {
        assert!(!shelf.prints(&["list", "-o", form]).contains("secret"), "{form}");
    }
}

#[test]
fn get_finds_tasks_that_live_and_those_that_are_forgotten() {
    let shelf = four();
    let one: Value = serde_json::from_str(&shelf.prints(&["get", "early", "-o", "json"])).expect("JSON");
    assert_eq!(
        (&one["id"], &one["phase"]),
        (&"early".into(), &"waiting for a pod".into())
    );
    let over = shelf.prints(&["get", "over", "--no-headers"]);
    assert_eq!(words(&over)[0][..2], ["over", "Completed"]);
    let missing = shelf.run(&["get", "late", "nobody", "--no-headers"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stdout).starts_with("late "));
    assert_eq!(
        String::from_utf8_lossy(&missing.stderr),
        "no task has the id \"nobody\"\n"
    );
}

#[test]
fn why_tells_a_life_and_what_it_waits_for() {
    let mut shelf = four();
    shelf.step("late", Event::Granted(Granted { stoppable: false }));
    shelf.step(
        "late",
        Event::CreateFailed(CreateFailed {
            why: CreateFailure::Quota,
            message: "exceeded quota: compute".to_owned(),
            retry_after_ms: None,
        }),
    );
    shelf.write();
    let late = shelf.prints(&["why", "late"]);
    for part in [
        "task late\n",
        "  job        default/my-job-late\n",
        "Taken: message of service mail for namespace default",
        "Received -> Received",
        "asks the cluster to create the Job",
        "CreateFailed: the quota is spent: exceeded quota: compute",
        "waits for its namespace, which has no quota left since ",
    ] {
        let part = part.replace("Received -> Received", "Received (gated)");
        assert!(late.contains(&part), "{part:?} is missing in:\n{late}");
    }
    let over = shelf.prints(&["why", "over"]);
    assert!(
        over.contains("PodStarted -> Completed (setting the TTL)")
            || over.contains("PodStarted -> Completed (done)"),
        "{over}"
    );
    assert!(over.contains("status 2 (complete): delivered"), "{over}");
    assert!(
        over.contains("with status 2; its id stays taken until 20"),
        "{over}"
    );
    let json: Value = serde_json::from_str(&shelf.prints(&["why", "over", "-o", "json"])).expect("JSON");
    assert_eq!(json["finished"]["status"], 2);
    assert_eq!(json["events"].as_array().map(Vec::len), Some(5));
    assert_eq!(json["events"][0]["event"], "Taken");
    assert_eq!(json["cut"], false);
    assert_eq!(shelf.run(&["why", "nobody"]).status.code(), Some(1));
}

#[test]
fn events_prints_the_log_and_follows_it() {
    let mut shelf = four();
    let table = shelf.prints(&["events", "--task", "early"]);
    let rows = words(&table);
    assert_eq!(rows[0], ["AT", "TASK", "EVENT", "FROM", "TO", "EVIDENCE"]);
    let events: Vec<&str> = rows[1..].iter().map(|row| row[2]).collect();
    assert_eq!(events, ["Taken", "Granted", "JobSeen"]);
    let mut follower = shelf
        .command(&["events", "--follow", "--task", "late", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = BufReader::new(follower.stdout.take().expect("a pipe")).lines();
    let mut next = || {
        let line = lines.next().expect("a line").expect("text");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        event["event"].as_str().expect("a name").to_owned()
    };
    assert_eq!(next(), "Taken");
    shelf.create("late");
    shelf.write();
    assert_eq!((next(), next()), ("Granted".to_owned(), "JobSeen".to_owned()));
    follower.kill().expect("a child");
    follower.wait().expect("a child");
}

#[test]
fn a_watched_list_goes_on_with_what_moves() {
    let mut shelf = four();
    let mut watcher = shelf
        .command(&["list", "--watch", "--no-headers", "--service", "mail"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = BufReader::new(watcher.stdout.take().expect("a pipe")).lines();
    let mut next = || {
        let line = lines.next().expect("a line").expect("text");
        line.split_whitespace()
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (next(), next()),
        (
            vec!["early".to_owned(), "Created".to_owned()],
            vec!["late".to_owned(), "Received".to_owned()]
        )
    );
    shelf.create("late");
    shelf.write();
    // The slot, then the Job.
    assert_eq!(next()[1], "Received");
    assert_eq!(next(), ["late", "Created"]);
    watcher.kill().expect("a child");
    watcher.wait().expect("a child");
}

#[test]
fn what_cannot_be_asked_is_told_with_its_exit_code() {
    let shelf = Shelf::new();
    let empty = shelf.run(&["list"]);
    assert_eq!((empty.status.code(), &*empty.stdout), (Some(0), &b""[..]));
    let none = shelf
        .command(&["list"])
        .env_remove("CACHE_REDIS_ENDPOINT")
        .output()
        .expect("the binary runs");
    assert_eq!(none.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&none.stderr).starts_with("CACHE_REDIS_ENDPOINT: must be set"));
    let refused = shelf
        .command(&["list"])
        .env("CACHE_REDIS_ENDPOINT", "127.0.0.1:1")
        .output()
        .expect("the binary runs");
    assert_eq!(refused.status.code(), Some(69));
}

#[test]
fn a_store_that_no_worker_has_claimed_is_suspected_to_be_the_wrong_one() {
    let shelf = four();
    let looks: [(&[&str], Option<i32>); 5] = [
        (&["list"], Some(0)),
        (&["get", "late"], Some(1)),
        (&["why", "late"], Some(1)),
        (&["events"], Some(0)),
        (&["callbacks", "list"], Some(0)),
    ];
    for (words, code) in looks {
        let output = shelf
            .command(words)
            .env("CACHE_JOB_KEY_PREFIX", "other-")
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*output.stdout),
            (code, &b""[..]),
            "{words:?}"
        );
        assert!(said.contains("CACHE_JOB_KEY_PREFIX"), "{words:?}: {said}");
    }
    let quiet = shelf.run(&["events", "--task", "nobody"]);
    assert_eq!(String::from_utf8_lossy(&quiet.stderr), "no such record\n");
}
