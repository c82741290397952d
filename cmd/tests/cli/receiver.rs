//! What a receiver of callbacks is given to start from: the example receiver, and the functions that verify signatures.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adapters::webhook::secrets::Secrets;
use adapters::webhook::{Answer, Clock, Delivery, Failure, Guard, Pool, Settings};
use serde_json::{Value, json};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const BODY: &str = r#"{"id":"für","status":2,"detail":{"duration":3}}"#;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/deploy/example-receiver")
}

/// One call of `verify`, and what it has to answer.
struct Case {
    name: &'static str,
    secret: &'static str,
    timestamp: u64,
    signature: String,
    body: &'static str,
    valid: bool,
}

fn cases() -> Vec<Case> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is later than 1970")
        .as_secs();
    let sign = |secrets: &str, timestamp| {
        let secrets = Secrets::parse(secrets).expect("they are secrets");
        secrets.signature("msg_1", timestamp, BODY.as_bytes())
    };
    let case = |name, secret, signed: &str, timestamp, valid| Case {
        name,
        secret,
        timestamp,
        signature: sign(signed, timestamp),
        body: BODY,
        valid,
    };
    let both = format!("{OTHER}\n{SECRET}");
    vec![
        case("signed", SECRET, SECRET, now, true),
        case("signed by two secrets, ours the second", SECRET, &both, now, true),
        case("signed by another secret", SECRET, OTHER, now, false),
        case("signed long ago", SECRET, SECRET, now - 3600, false),
        case("signed in the future", SECRET, SECRET, now + 3600, false),
        Case {
            body: r#"{"id":"für","status":3}"#,
            ..case("another body", SECRET, SECRET, now, false)
        },
        Case {
            timestamp: now - 1,
            signature: sign(SECRET, now),
            ..case("another time", SECRET, SECRET, now, false)
        },
        Case {
            signature: String::new(),
            ..case("not signed", SECRET, SECRET, now, false)
        },
    ]
}

/// Lets a program in another language verify every case; it prints `true` or `false` for each.
fn verified_by(command: &mut Command, name: &str) {
    let cases = cases();
    let input: Vec<Value> = cases
        .iter()
        .map(|case| {
            json!({"secret": case.secret, "body": case.body, "headers": {"webhook-id": "msg_1",
                "webhook-timestamp": case.timestamp.to_string(), "webhook-signature": case.signature}})
        })
        .collect();
    command
        .env("CASES", Value::from(input).to_string())
        .current_dir(folder());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            let required = std::env::var_os("JOB_WORKER_ALL_LANGUAGES").is_some();
            assert!(!required, "{name} could not be run: {error}");
            eprintln!("{name} is not installed: its snippet was not run");
            return;
        }
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let answers = String::from_utf8(output.stdout).expect("it prints UTF-8");
    let answers: Vec<(&str, &str)> = cases.iter().map(|case| case.name).zip(answers.lines()).collect();
    let expected: Vec<(&str, &str)> = cases
        .iter()
        .map(|case| (case.name, if case.valid { "true" } else { "false" }))
        .collect();
    assert_eq!(answers, expected);
}

#[test]
fn the_python_snippet_tells_our_signatures_from_others() {
    let program = "import json, os, verify\n\
                   for case in json.loads(os.environ['CASES']):\n    \
                   print(str(verify.verify(case['secret'], case['headers'], case['body'].encode())).lower())\n";
    verified_by(Command::new("python3").args(["-B", "-c", program]), "python3");
}

#[test]
fn the_node_snippet_tells_our_signatures_from_others() {
    let program = "import { verify } from './verify.mjs';\n\
                   for (const { secret, headers, body } of JSON.parse(process.env.CASES)) {\n  \
                   console.log(verify(secret, headers, Buffer.from(body)));\n}\n";
    verified_by(
        Command::new("node").args(["--input-type=module", "--eval", program]),
        "node",
    );
}

#[test]
fn the_go_snippet_tells_our_signatures_from_others() {
    let module = tempfile::tempdir().expect("there is room");
    let write = |name: &str, text: &str| {
        let path = module.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("there is room");
        std::fs::write(path, text).expect("there is room");
    };
    let snippet = std::fs::read_to_string(folder().join("verify/verify.go")).expect("it is there");
    write("go.mod", "module example\n\ngo 1.19\n");
    write("verify/verify.go", &snippet);
    write(
        "main.go",
        r#"package main

import (
	"encoding/json"
	"example/verify"
	"fmt"
	"os"
	"time"
)

func main() {
	var cases []struct {
		Secret, Body string
		Headers      map[string]string
	}
	if err := json.Unmarshal([]byte(os.Getenv("CASES")), &cases); err != nil {
		panic(err)
	}
	for _, c := range cases {
		header := func(name string) string { return c.Headers[name] }
		fmt.Println(verify.Verify(c.Secret, header, []byte(c.Body), time.Now()))
	}
}
"#,
    );
    let mut go = Command::new("go");
    go.args(["run", "-C"]).arg(module.path()).arg(".");
    go.envs([("GOFLAGS", "-mod=mod"), ("GOTOOLCHAIN", "local")]);
    verified_by(&mut go, "go");
}

/// The running example receiver; it ends with the value.
struct Receiver {
    child: Child,
    port: u16,
}

impl Receiver {
    fn start() -> Receiver {
        let mut child = Command::new("python3")
            .args(["-B", "receiver.py", "0"])
            .env("WEBHOOK_SECRET", SECRET)
            .current_dir(folder())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        output.read_line(&mut line).expect("it says where it listens");
        // What it prints later is nobody's concern, but its pipe must not fill up.
        std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
        let port = line
            .strip_prefix("listening on port ")
            .and_then(|rest| rest.split(',').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{line}"));
        Receiver { child, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// The last status that it keeps of a task.
    fn last(&self, id: &str) -> Value {
        use std::io::Write as _;
        let mut connection = std::net::TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        write!(connection, "GET /tasks/{id} HTTP/1.0\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("it speaks HTTP");
        serde_json::from_str(body).unwrap_or(Value::Null)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing of it is left.
        match self.child.kill().and_then(|()| self.child.wait()) {
            Ok(_) | Err(_) => {}
        }
    }
}

/// Delivers as the daemon does, one after the other, and returns the answers.
fn delivered(url: &str, secret: &str, callbacks: &[(&str, Value)]) -> Vec<Answer> {
    let directory = tempfile::tempdir().expect("there is room");
    let secrets = directory.path().join("secrets");
    std::fs::write(&secrets, secret).expect("there is room");
    let guard = Guard::with_default_deny(vec!["127.0.0.0/8".parse().expect("a network")]);
    let settings = Settings {
        secret_file: Some(secrets),
        threads: 1,
        ..Settings::new(guard, Clock::new(|| 0))
    };
    let (answers, answered) = mpsc::channel();
    let pool = Pool::start(&settings, move |_, answer| {
        answers.send(answer).expect("the test waits for it");
    })
    .expect("the settings are usable");
    let mut all = Vec::new();
    for (webhook_id, body) in callbacks {
        let delivery = Delivery {
            key: String::new(),
            url: url.to_owned(),
            webhook_id: (*webhook_id).to_owned(),
            body: body.to_string().into_bytes(),
            traceparent: None,
            begin_by: None,
        };
        pool.send(delivery).expect("the queue is empty");
        all.push(
            answered
                .recv_timeout(Duration::from_secs(60))
                .expect("it is answered"),
        );
    }
    all
}

#[test]
fn the_example_receiver_keeps_the_last_status_and_a_late_repeat_changes_nothing() {
    let receiver = Receiver::start();
    let status = |status: u32| json!({"id": "a", "status": status, "detail": {"n": status}});
    let answers = delivered(
        &receiver.url(),
        SECRET,
        &[
            ("a.0", status(0)),
            ("a.1", status(1)),
            ("a.2", status(2)),
            ("a.1", status(1)),
        ],
    );
    assert_eq!(answers, vec![Answer::Delivered { status: 204 }; 4]);
    assert_eq!(receiver.last("a"), status(2));
}

#[test]
fn the_example_receiver_refuses_what_another_has_signed() {
    let receiver = Receiver::start();
    let answers = delivered(
        &receiver.url(),
        OTHER,
        &[("a.0", json!({"id": "a", "status": 0, "detail": {}}))],
    );
    let refused = Answer::Failed {
        reason: Failure::Status,
        status: Some(401),
        retry_after: None,
    };
    assert_eq!(answers, [refused]);
    assert_eq!(receiver.last("a"), Value::Null);
}
