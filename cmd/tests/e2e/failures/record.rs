//! Writes what the rows were told to `fixtures/failures`, where the README takes its table from.

use std::path::Path;

use serde::Serialize;

use super::place::Place;
use super::row::Row;
use crate::story::Told;

/// What one row was told in the end.
#[derive(Serialize)]
pub(super) struct Line {
    failure: &'static str,
    status: u64,
    code: String,
    message: String,
}

/// Takes what differs from run to run out of a verdict.
pub(super) fn line(place: &Place<'_>, failure: &'static str, verdict: &Told) -> Line {
    let prefix = format!("{}-", place.namespace);
    let mut message = verdict.message().replace(&prefix, "NAMESPACE-");
    message = message.replace(&place.namespace, "NAMESPACE");
    // Job names are `e2e-` and 16 characters; those of pods have 5 more behind a hyphen.
    while let Some(at) = message.find("e2e-") {
        let rest = &message[at + 4..];
        let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let length = rest.find(|c| !name(c)).unwrap_or(rest.len());
        message.replace_range(at..at + 4 + length, "JOB");
    }
    Line {
        failure,
        status: verdict.status,
        code: verdict.code().to_owned(),
        message,
    }
}

/// Writes the lines of a whole suite, where `REWRITE` asks for it.
pub(super) fn write(suite: &str, rows: &[Row], mut lines: Vec<Line>) {
    if std::env::var_os("REWRITE").is_none() || lines.len() != rows.len() {
        return;
    }
    lines.sort_by_key(|line| rows.iter().position(|row| row.name == line.failure));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../fixtures/failures/{suite}.json"));
    let mut text = serde_json::to_string_pretty(&lines).expect("strings and numbers are JSON");
    text.push('\n');
    std::fs::write(path, text).expect("the fixture can be written");
}
