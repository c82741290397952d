//! Event logs in files: what is written is read, what was decided is decided again, and the subcommands on them.

mod again;
mod command;
mod damage;
mod export;
mod kept;
mod lives;
#[allow(dead_code, reason = "the engine's own tests use the rest")]
#[path = "../../../engine/tests/story/mod.rs"]
mod story;
#[allow(dead_code, reason = "the engine's own tests use the rest")]
#[path = "../../../engine/tests/walk/mod.rs"]
mod walk;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs the binary with nothing but this environment.
fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_job-worker"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("cargo has built the binary")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it prints UTF-8")
}

/// A file of the tree.
fn tree(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}
