//! The subcommands as their user meets them.

mod check;
mod deploy;
mod print;
mod receiver;
mod render;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Runs the binary with nothing but this environment and this standard input.
fn run(arguments: &[&str], environment: &[(&str, &str)], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_job-worker"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("cargo has built the binary");
    // A process that does not read its input is not at fault.
    match child.stdin.take().expect("it is piped").write_all(stdin) {
        Ok(()) | Err(_) => {}
    }
    child.wait_with_output().expect("it ends")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("it prints UTF-8")
}

/// A file of the tree.
fn tree(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn message(name: &str) -> PathBuf {
    tree("fixtures/messages").join(name)
}
