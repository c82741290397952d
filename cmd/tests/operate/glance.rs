//! Dead letters, callbacks, and everything at a glance.

use crate::shelf::{Shelf, words};
use adapters::source::list::List;
use adapters::source::{DeadLetter, Source as _};
use adapters::store::{Batch, Op};
use serde_json::{Value, json};
use std::time::Duration;

/// Refuses messages as a leader does: one whose id can be read, one that is no JSON.
fn refuse(shelf: &Shelf) {
    let list = List::new(&shelf.target(0), "queue-", "worker-0").expect("a queue");
    for (raw, reason, detail) in [
        (
            &br#"{"id": "bad", "service": "example"}"#[..],
            "INVALID_MESSAGE",
            "job: must be given; service: no",
        ),
        (b"nonsense \x1b[2J", "INTERNAL_ERROR", "set aside"),
    ] {
        list.push(raw).expect("a message");
        let taken = list.take(1, Duration::from_secs(1)).expect("a queue");
        list.dead_letter(&DeadLetter {
            receipt: taken[0].receipt.clone(),
            raw: raw.to_vec(),
            reason: reason.to_owned(),
            detail: detail.to_owned(),
            at_ms: 1_764_000_000_000,
        })
        .expect("a dead letter");
    }
}

/// Owes two callbacks of `tried`, the first of which failed twice, one of `new`, and gives up one of `given-up`.
fn owe(shelf: &mut Shelf) {
    let entry = |task: &str, rank: u8, attempts: u32| {
        json!({
            "v": "1",
            "key": {"owner": format!("t:{task}@17"), "rank": rank},
            "task": task,
            "url": "http://user:pass@receiver.example/hook?token=secret",
            "webhook_id": format!("msg_{task}"),
            "body": [123, 125],
            "traceparent": null,
            "schedule": {"attempts": attempts, "owed_at": 1_764_000_000_000_u64, "due": 4_000_000_000_000_u64, "not_before": 0},
        })
    };
    let push = |task: &str, rank: u8, attempts| Op::OutPush {
        key: format!("t:{task}@17/{rank}"),
        entry: crate::shelf::encode(&entry(task, rank, attempts)),
    };
    let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let dead = Op::OutDead {
        key: "t:given-up@17/0".to_owned(),
        dead: vec![
            field("key", "t:given-up@17/0"),
            field("url", "http://receiver.example/hook?token=secret"),
            field("webhook-id", "msg_given-up"),
            field("body", "{}"),
            field("reason", "11 attempts failed"),
        ],
    };
    let ops = vec![
        push("tried", 0, 2),
        push("tried", 1, 0),
        push("new", 0, 0),
        push("given-up", 0, 11),
        dead,
    ];
    shelf.commit(&Batch { ops, log: Vec::new() });
}

#[test]
fn dead_letters_are_listed_and_shown() {
    let mut shelf = Shelf::new();
    refuse(&shelf);
    owe(&mut shelf);
    let table = shelf.prints(&["dead", "list"]);
    let rows = words(&table);
    assert_eq!(rows[0], ["LETTER", "AGE", "TASK", "REASON"]);
    let column = |index: usize| rows[1..].iter().map(|row| row[index]).collect::<Vec<_>>();
    assert_eq!(column(2), ["bad", "-", "given-up"]);
    assert_eq!(column(3), ["INVALID_MESSAGE", "INTERNAL_ERROR", "11"]);
    let filtered = shelf.prints(&["dead", "list", "--no-headers", "--kind", "callback", "-o", "wide"]);
    assert_eq!(filtered.lines().count(), 1);
    assert!(
        filtered.contains("http://receiver.example:80/hook") && !filtered.contains("secret"),
        "{filtered}"
    );
    let by_reason = shelf.prints(&["dead", "list", "--reason", "INVALID_MESSAGE", "-o", "json"]);
    let by_reason: Value = serde_json::from_str(&by_reason).expect("JSON");
    assert_eq!(
        (by_reason.as_array().map(Vec::len), &by_reason[0]["kind"]),
        (Some(1), &json!("message"))
    );
    assert!(
        !by_reason.to_string().contains("service\\\":"),
        "the message itself is not listed"
    );

    let shown = shelf.prints(&["dead", "show", rows[1][0]]);
    assert!(
        shown.contains("fault      job: must be given\nfault      service: no\n"),
        "{shown}"
    );
    let raw = shelf.run(&["dead", "show", rows[2][0], "--raw"]);
    assert_eq!(raw.stdout, b"nonsense \x1b[2J");
    let callback = shelf.prints(&["dead", "show", rows[3][0], "-o", "yaml"]);
    assert!(
        callback.contains("reason: 11 attempts failed\n") && !callback.contains("secret"),
        "{callback}"
    );
    assert_eq!(shelf.run(&["dead", "show", "message/1-1"]).status.code(), Some(1));
    assert_eq!(shelf.run(&["dead", "show", "1-1"]).status.code(), Some(64));
}

#[test]
fn callbacks_that_are_owed_are_listed() {
    let mut shelf = Shelf::new();
    owe(&mut shelf);
    let table = shelf.prints(&["callbacks", "list"]);
    let rows = words(&table);
    assert_eq!(rows[0], ["TASK", "STATUS", "FAILED", "AGE", "NEXT", "URL"]);
    let mut tasks: Vec<&str> = rows[1..].iter().map(|row| row[0]).collect();
    tasks.sort_unstable();
    assert_eq!(tasks, ["new", "tried", "tried"]);
    let next = |status: &str| {
        let row = rows.iter().find(|row| row[..2] == ["tried", status]);
        row.expect("it is owed")[4..6].join(" ")
    };
    assert_eq!(next("1"), "after 0");
    assert!(next("0").starts_with("in "), "{}", next("0"));
    let failing = shelf.prints(&["callbacks", "list", "--failing", "--no-headers", "-o", "wide"]);
    let failing = words(&failing);
    assert_eq!(
        (failing.len(), failing[0][0], failing[0][2]),
        (1, "tried", "2/11")
    );
    assert_eq!(failing[0].last(), Some(&"msg_tried"));
    let one = shelf.prints(&["callbacks", "list", "--task", "new", "-o", "json"]);
    assert!(!one.contains("secret") && !one.contains("pass"), "{one}");
    let one: Value = serde_json::from_str(&one).expect("JSON");
    assert_eq!((&one[0]["task"], &one[0]["status"]), (&json!("new"), &json!(0)));
}

#[test]
fn top_looks_once_in_a_pipe() {
    let mut shelf = Shelf::new();
    refuse(&shelf);
    owe(&mut shelf);
    shelf.take("one", "mail", "default", Duration::from_secs(5));
    shelf.take("two", "mail", "default", Duration::from_secs(2));
    shelf.start("one");
    shelf.complete("two");
    shelf.write();
    let text = shelf.prints(&["top"]);
    for line in [
        "leader     worker-0_a (term 1)",
        "queue      0 waiting, 0 taken, 2 dead letters",
        "callbacks  3 owed, 1 of them failed before, the oldest for ",
        "namespaces default 1",
        "failing    http://receiver.example:80 1",
        "PodStarted       1",
    ] {
        assert!(text.contains(line), "{line:?} is missing in:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "a pipe gets no control characters");
    let json: Value = serde_json::from_str(&shelf.prints(&["top", "-o", "json"])).expect("JSON");
    assert_eq!(json["lastMinute"]["taken"], 2);
    assert_eq!(json["lastMinute"]["completed"], 1);
    assert_eq!(json["tasks"]["PodStarted"], 1);
    assert_eq!(json["oldest"]["id"], "one");
}
