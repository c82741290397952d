//! The logs of every format and release, kept for ever: an engine that would decide otherwise does not pass here unseen.
//!
//! What a release is meant to decide otherwise stands in a text beside the log: `REWRITE=1` writes it, and whoever commits it has
//! read it. A log that is there is never written again; where no log has met an event, `REWRITE=1` adds one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use engine::{EventKind, Verb};
use event_log::{Counts, Difference, Fields, Item, Reader, Rerun, order_of};

use crate::again::{differences, one_life};
use crate::lives::{file, file_of, of_stories, of_walks, with_orders};
use crate::story::rewrite;
use crate::tree;

/// Random events beside those of the stories.
const EVENTS: usize = 250;

#[test]
fn every_kept_log_is_decided_as_it_was_recorded() {
    for path in kept() {
        let log = fs::read(&path).expect("a fixture");
        let policy = Reader::new(&*log).expect("a log").header().policy.clone();
        let (counts, differing) = differences(Rerun::new(policy.clone()), &log);
        let Counts {
            midway,
            gaps,
            unreadable,
            ..
        } = counts;
        assert_eq!((midway, gaps, unreadable), (0, 0, 0), "{}", path.display());
        assert_eq!(
            differences(Rerun::with_restarts(policy), &log).1,
            differing,
            "{}: restarts change nothing",
            path.display()
        );
        compare(&path.with_extension("txt"), &shown(&differing));
    }
}

#[test]
fn every_event_is_in_a_kept_log() {
    let met: BTreeSet<EventKind> = kept().iter().flat_map(|path| kinds(path)).collect();
    let missing: Vec<EventKind> = EventKind::ALL
        .into_iter()
        .filter(|kind| !met.contains(kind))
        .collect();
    if rewrite() && !missing.is_empty() {
        let next = tree("fixtures/logs").join(format!("lives-{}.jwlog", kept().len() + 1));
        let mut lives = of_stories();
        lives.extend(of_walks(EVENTS));
        fs::write(next, file(&lives)).expect("a fixture can be written");
        return;
    }
    assert_eq!(missing, [], "REWRITE=1 adds a log of today's lives");
}

#[test]
fn every_order_is_in_a_kept_log() {
    let met: Vec<Verb> = kept().iter().flat_map(|path| verbs(path)).collect();
    let missing: Vec<Verb> = Verb::ALL.into_iter().filter(|verb| !met.contains(verb)).collect();
    if rewrite() && !missing.is_empty() {
        let next = tree("fixtures/logs").join(format!("orders-{}.jwlog", kept().len() + 1));
        fs::write(next, file_of(with_orders(one_life()))).expect("a fixture can be written");
        return;
    }
    assert_eq!(missing, [], "REWRITE=1 adds a log of today's orders");
}

/// Compares with what is known to differ; no text says that nothing does.
fn compare(text: &Path, differing: &str) {
    let known = fs::read_to_string(text).unwrap_or_default();
    if rewrite() && known != differing {
        fs::write(text, differing).expect("a fixture can be written");
        return;
    }
    assert!(
        known == differing,
        "an older release decided otherwise; if that is meant, REWRITE=1 writes {}:\n{differing}",
        text.display()
    );
}

fn shown(differing: &[Difference]) -> String {
    let mut text = String::new();
    for difference in differing {
        let Difference {
            event,
            task,
            input,
            parts,
            ..
        } = difference;
        for part in parts {
            let (name, recorded, replayed) = (part.name, &part.recorded, &part.replayed);
            text.push_str(&format!(
                "event {event}, {task}, {input}: {name}\n  recorded {recorded}\n  replayed {replayed}\n"
            ));
        }
    }
    text
}

fn kept() -> Vec<PathBuf> {
    let folder = fs::read_dir(tree("fixtures/logs")).expect("a folder");
    let mut kept: Vec<PathBuf> = folder
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "jwlog"))
        .collect();
    kept.sort();
    kept
}

fn verbs(path: &Path) -> Vec<Verb> {
    let log = fs::read(path).expect("a fixture");
    let mut reader = Reader::new(&*log).expect("a log");
    let mut verbs = Vec::new();
    while let Some(item) = reader.next().expect("nothing is damaged") {
        if let Item::Record { bytes, .. } = item {
            verbs.extend(order_of(bytes).expect("a record").map(|order| order.verb));
        }
    }
    verbs
}

fn kinds(path: &Path) -> BTreeSet<EventKind> {
    let log = fs::read(path).expect("a fixture");
    let mut reader = Reader::new(&*log).expect("a log");
    let mut kinds = BTreeSet::new();
    while let Some(item) = reader.next().expect("nothing is damaged") {
        if let Item::Record { bytes, .. } = item {
            if order_of(bytes).expect("a record").is_some() {
                continue;
            }
            let event = Fields::of(bytes).expect("a record").event;
            let event: engine::Event = rmp_serde::from_slice(event).expect("an event");
            kinds.insert(event.kind());
        }
    }
    kinds
}
