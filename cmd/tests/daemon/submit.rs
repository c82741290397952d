//! `job-worker submit` and the environment, as their users meet them.

use crate::stage::QUEUE;
use fixtures::redis::{Options, Server};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const VALID: &str = "../fixtures/messages/valid/minimal.json";

fn submit(arguments: &[&str], endpoint: &str, input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_job-worker"))
        .arg("submit")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .env("REDIS_QUEUE_ENDPOINT", endpoint)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cargo has built the binary");
    // Where it reads no input, it may have ended before this.
    drop(child.stdin.take().expect("a pipe").write_all(input));
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn queued(server: &Server) -> Vec<Vec<u8>> {
    let mut connection = server.connection(0).expect("Redis is there");
    ::redis::cmd("LRANGE")
        .arg(QUEUE)
        .arg(0)
        .arg(-1)
        .query(&mut connection)
        .expect("a list")
}

fn minimal() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(VALID)).expect("the file is there")
}

#[test]
fn a_message_is_put_on_the_queue_as_it_is() {
    let server = Server::start(Options::default()).unwrap();
    let id = serde_json::from_slice::<Value>(&minimal()).unwrap()["id"].clone();
    for (count, (arguments, input)) in [(&[VALID], Vec::new()), (&["-"], minimal())]
        .into_iter()
        .enumerate()
    {
        let output = submit(arguments, &server.url(), &input);
        let said = format!(
            "task {} is in the list queue- of {} (database 0), {} waiting\n",
            id.as_str().unwrap(),
            server.url(),
            count + 1
        );
        assert_eq!(
            (output.status.code(), text(&output.stdout), text(&output.stderr)),
            (Some(0), said, String::new())
        );
    }
    assert_eq!(queued(&server), [minimal(), minimal()]);
}

#[test]
fn a_new_id_is_all_that_new_id_changes() {
    let server = Server::start(Options::default()).unwrap();
    for _ in 0..2 {
        assert_eq!(
            submit(&[VALID, "--new-id"], &server.url(), b"").status.code(),
            Some(0)
        );
    }
    let mut messages: Vec<Value> = queued(&server)
        .iter()
        .map(|raw| serde_json::from_slice(raw).unwrap())
        .collect();
    let ids: Vec<Value> = messages.iter_mut().map(|message| message["id"].take()).collect();
    assert_ne!(ids[0], ids[1]);
    let mut original: Value = serde_json::from_slice(&minimal()).unwrap();
    assert!(!ids.contains(&original["id"]));
    original["id"] = Value::Null;
    assert_eq!(messages, [original.clone(), original]);
}

#[test]
fn a_file_that_cannot_be_read_is_66() {
    let output = submit(&["no-such-file.json"], "127.0.0.1:1", b"");
    let said = "no-such-file.json: No such file or directory (os error 2)\n";
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(66), said.to_owned())
    );
}

#[test]
fn a_message_that_breaks_rules_is_65_with_every_fault() {
    let server = Server::start(Options::default()).unwrap();
    let output = submit(
        &["-"],
        &server.url(),
        json!({"id": "a", "job": {"image": "i"}}).to_string().as_bytes(),
    );
    let said = "the message breaks 3 rules of the contract:\n\
                service: is required\n\
                job.prefixName: is required\n\
                job.namespace: is required\n";
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(65), said.to_owned())
    );
    let output = submit(&["-"], &server.url(), b"nothing");
    assert_eq!(output.status.code(), Some(65));
    let output = submit(&["-", "--new-id"], &server.url(), b"[]");
    assert_eq!(output.status.code(), Some(65));
    assert_eq!(queued(&server), Vec::<Vec<u8>>::new());
}

#[test]
fn a_queue_that_cannot_be_reached_is_69_and_a_wrong_endpoint_78() {
    let output = submit(&[VALID], "127.0.0.1:1", b"");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(
        said.starts_with("queue: redis at 127.0.0.1:1: unavailable: "),
        "{said}"
    );
    let output = submit(&[VALID], "http://127.0.0.1", b"");
    assert_eq!(output.status.code(), Some(78));
    let output = submit(&[VALID], "", b"");
    let said = "REDIS_QUEUE_ENDPOINT: must be set when QUEUE_TYPE=redis\n";
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(78), said.to_owned())
    );
}
