//! Every file of `fixtures/messages`: what `parse` makes of it stands beside it, in a file that ends with `.expect`.
//!
//! `REWRITE=1` writes these files anew; review them as code.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use adapters::message::{self, Parsed, Refused};

#[test]
fn every_valid_message_is_accepted_with_its_digest_and_warnings() {
    check("valid", |raw| match message::parse(raw) {
        Ok(parsed) => accepted(&parsed),
        Err(refused) => panic!("refused: {refused}"),
    });
}

#[test]
fn every_invalid_message_is_refused_with_all_its_faults() {
    check("invalid", |raw| match message::parse(raw) {
        Ok(parsed) => panic!("accepted: {:?}", parsed.message),
        Err(refused) => refusal(&refused),
    });
}

#[test]
fn no_fault_and_no_warning_shows_a_secret() {
    for file in messages("invalid").into_iter().chain(messages("valid")) {
        let shown = match message::parse(&fs::read(&file).expect("listed")) {
            Ok(parsed) => format!("{parsed:?}"),
            Err(refused) => format!("{refused:?}{refused}"),
        };
        assert!(!shown.contains("hidden"), "{}: {shown}", file.display());
    }
}

fn accepted(parsed: &Parsed) -> String {
    let mut text = format!("digest {}\n", parsed.digest);
    for warning in &parsed.warnings {
        writeln!(text, "warning {warning}").expect("a string takes everything");
    }
    text
}

fn refusal(refused: &Refused) -> String {
    let mut text = String::new();
    for fault in &refused.faults {
        writeln!(text, "{fault}").expect("a string takes everything");
    }
    for warning in &refused.warnings {
        writeln!(text, "warning {warning}").expect("a string takes everything");
    }
    match (&refused.id, &refused.webhook) {
        (Some(id), Some(url)) => writeln!(text, "answer {id:?} at {url}"),
        (Some(id), None) => writeln!(text, "no answer for {id:?}"),
        (None, _) => writeln!(text, "no answer"),
    }
    .expect("a string takes everything");
    text
}

fn check(kind: &str, outcome: impl Fn(&[u8]) -> String) {
    let rewrite = std::env::var_os("REWRITE").is_some();
    let mut wrong = Vec::new();
    for file in messages(kind) {
        let actual = outcome(&fs::read(&file).expect("listed"));
        let expect = file.with_extension("expect");
        if rewrite {
            fs::write(&expect, &actual).expect("the folder can be written");
        } else if fs::read_to_string(&expect).ok().as_deref() != Some(&actual) {
            wrong.push(format!("{}\n{actual}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "not as their .expect:\n{}", wrong.join("\n"));
}

/// The messages of a folder. Any other file, or an expectation without its message, would be read by no test.
fn messages(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/messages")
        .join(kind);
    let files: BTreeSet<PathBuf> = fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("can be read").path())
        .collect();
    let is = |file: &Path, extension: &str| file.extension().is_some_and(|found| found == extension);
    for file in &files {
        let read = is(file, "json") || (is(file, "expect") && files.contains(&file.with_extension("json")));
        assert!(read, "no test reads {}", file.display());
    }
    let messages: Vec<_> = files.into_iter().filter(|file| is(file, "json")).collect();
    assert!(!messages.is_empty(), "{kind} is empty");
    messages
}
