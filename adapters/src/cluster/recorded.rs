//! What a real API server gave for each way to fail, read by the code that reads it in production, and judged by the engine.
//!
//! Tests alone. `fixtures/failures/recorded` is written by the end-to-end rows; what each becomes stands in
//! `fixtures/failures/needed.json` and `patch.json`, from which README.md takes its table. `REWRITE=1` writes those two.

mod life;
mod recording;

use life::{Life, Told};
use recording::Recording;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What the worker may do there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Access {
    /// What it needs.
    Needed,
    /// Also `patch` on Jobs and `list` on events.
    Patch,
}

/// One row of a fixture.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Line {
    failure: String,
    status: u8,
    code: String,
    message: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/failures")
}

fn rows() -> Vec<String> {
    let text = std::fs::read_to_string(folder().join("rows.txt")).expect("the rows are there");
    text.lines().map(str::to_owned).collect()
}

fn verdict(row: &str, access: Access) -> Told {
    let path = folder().join(format!("recorded/{row}.jsonl"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let recording = Recording::read(&text);
    if access == Access::Patch {
        // The worker that waits an hour sees what can never start; the other one would give up first.
        let patient = Life::new(&recording, access, Some(3600)).told();
        if patient.failure.code == engine::Code::PodStartFailed {
            return patient;
        }
    }
    Life::new(&recording, access, None).told()
}

fn check(name: &str, access: Access) {
    let lines: Vec<Line> = rows()
        .iter()
        .map(|row| {
            let told = verdict(row, access);
            Line {
                failure: row.clone(),
                status: *told.statuses.last().expect("there is a verdict"),
                code: told.failure.code.to_string(),
                message: told.failure.message,
            }
        })
        .collect();
    let path = folder().join(name);
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let written: Vec<Line> = serde_json::from_str(&written).unwrap_or_default();
    if written == lines {
        return;
    }
    if std::env::var_os("REWRITE").is_some() {
        let text = serde_json::to_string_pretty(&lines).expect("strings and numbers are JSON");
        std::fs::write(&path, text + "\n").expect("the fixture can be written");
        return;
    }
    let wrong = lines.iter().zip(&written).find(|(now, then)| now != then);
    panic!("{name} says otherwise, or has other rows; REWRITE=1 writes it anew: {wrong:#?}");
}

#[test]
fn what_was_recorded_is_judged_as_it_was_with_the_permissions_that_are_needed() {
    check("needed.json", Access::Needed);
}

#[test]
fn what_was_recorded_is_judged_as_it_was_with_patch_and_events() {
    check("patch.json", Access::Patch);
}

#[test]
fn every_row_tells_a_life_that_the_contract_knows() {
    for row in rows() {
        for access in [Access::Needed, Access::Patch] {
            let told = verdict(&row, access).statuses;
            let lives: [&[u8]; 5] = [&[0, 1, 3], &[0, 3], &[0, 99], &[0, 1, 99], &[99]];
            assert!(lives.contains(&told.as_slice()), "{row}: {told:?}");
        }
    }
}

#[test]
fn each_recording_belongs_to_a_row() {
    let mut recorded: Vec<String> = std::fs::read_dir(folder().join("recorded"))
        .expect("there are recordings")
        .map(|entry| entry.expect("a readable folder").path())
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    recorded.sort();
    let mut rows = rows();
    rows.sort();
    assert_eq!(recorded, rows);
}
