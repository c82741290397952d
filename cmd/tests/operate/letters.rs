//! Orders about dead letters and callbacks, given to a leader that leads.

use crate::orders::{order, run};
use crate::stage::{CALM, COMPLETE, Stage, until};
use serde_json::{Value, json};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The names of the dead letters.
fn letters(stage: &Stage) -> Vec<String> {
    let list = run(stage, &["dead", "list", "--no-headers"]);
    text(&list.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

/// The events of a task, by their names.
fn events(stage: &Stage, task: &str) -> Vec<(String, String)> {
    let events = run(stage, &["events", "--task", task, "-o", "json"]);
    let read = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        (word("event"), word("evidence"))
    };
    text(&events.stdout).lines().map(read).collect()
}

#[test]
fn refused_messages_go_back_or_are_dropped() {
    let stage = Stage::set();
    let _leader = stage.leader("worker-0");
    stage.submit("a", CALM);
    stage.told("a", COMPLETE);
    until("its id is remembered alone", || {
        text(&run(&stage, &["list", "-o", "json"]).stdout) == "[]\n"
    });
    let mut other = stage.message("a", CALM);
    other["job"]["args"] = json!(["other"]);
    stage.push(other.to_string().as_bytes());
    stage.push(br#"{"id":"b"}"#);
    until("both are refused", || letters(&stage).len() == 2);
    let names = letters(&stage);

    let bulk = ["dead", "requeue", "--all-of", "DUPLICATE_ID"];
    let unasked = run(&stage, &bulk);
    assert_eq!(unasked.status.code(), Some(64), "{}", text(&unasked.stderr));
    assert!(
        text(&unasked.stderr).contains("Say --yes"),
        "{}",
        text(&unasked.stderr)
    );
    let dry = run(&stage, &[&bulk[..], &["--dry-run"]].concat());
    assert_eq!(dry.status.code(), Some(0));
    assert!(
        text(&dry.stdout).contains("would go back, task a"),
        "{}",
        text(&dry.stdout)
    );
    assert_eq!(letters(&stage), names);

    let (code, results) = order(&stage, &["dead", "requeue", "--all", "--yes"]);
    assert_eq!(code, Some(1), "{results}");
    let done = |index: usize| &results[index]["done"];
    assert_eq!((done(0), done(1)), (&json!(true), &json!(false)), "{results}");
    assert!(
        results[1]["text"]
            .as_str()
            .is_some_and(|text| text.starts_with("it would be refused again: ")),
        "{results}"
    );
    until("it is a task again", || {
        events(&stage, "a")
            .last()
            .is_some_and(|(event, _)| event != "Requeue")
    });
    let events = events(&stage, "a");
    let at = events.iter().position(|(event, _)| event == "Requeue");
    let at = at.expect("the order is in the event log");
    assert!(events[at].1.contains("by order of "), "{events:?}");
    assert_eq!(events[at + 1].0, "Taken");
    let why = text(&run(&stage, &["why", "a"]).stdout);
    assert!(
        why.contains("an order (Requeue)") && why.contains(&format!("{}, by order of ", names[0])),
        "{why}"
    );

    let (code, results) = order(&stage, &["dead", "drop", &names[1], "--by", "alice"]);
    assert_eq!(
        (code, results),
        (
            Some(0),
            json!([{"subject": names[1], "done": true, "text": "dropped"}])
        )
    );
    assert_eq!(letters(&stage), Vec::<String>::new());
    let (code, _) = order(&stage, &["dead", "drop", &names[1]]);
    assert_eq!(code, Some(1));
}

#[test]
fn a_callback_is_sent_again_under_its_id() {
    let stage = Stage::set();
    let _leader = stage.leader("worker-0");
    stage.submit("a", CALM);
    stage.told("a", COMPLETE);
    let dry = run(&stage, &["callbacks", "resend", "a", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{}", text(&dry.stderr));
    let verdicts = || {
        let of = |request: &fixtures::sink::Request| {
            let body: Value = serde_json::from_slice(&request.body).expect("JSON");
            body["status"] == 2
        };
        let requests = stage.sink.requests();
        requests
            .iter()
            .filter(|request| of(request))
            .map(|request| {
                (
                    request.header("webhook-id").map(str::to_owned),
                    request.body.clone(),
                )
            })
            .collect::<Vec<_>>()
    };
    until("it is acknowledged", || {
        text(&run(&stage, &["callbacks", "list", "-o", "json"]).stdout) == "[]\n"
    });
    assert_eq!(verdicts().len(), 1);
    let (code, results) = order(&stage, &["callbacks", "resend", "a", "--by", "alice"]);
    assert_eq!(
        (code, results),
        (
            Some(0),
            json!([{"subject": "a/2", "done": true, "text": "is sent again"}])
        )
    );
    until("it came again", || verdicts().len() == 2);
    let both = verdicts();
    assert_eq!(both[0], both[1]);
    let (code, results) = order(&stage, &["callbacks", "resend", "a", "--status", "0"]);
    assert_eq!((code, &results[0]["done"]), (Some(1), &json!(false)));
    let unknown = run(&stage, &["callbacks", "resend", "nobody"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        events(&stage, "a").contains(&("Resend".to_owned(), "a/2, by order of alice".to_owned())),
        "{:?}",
        events(&stage, "a")
    );
}
