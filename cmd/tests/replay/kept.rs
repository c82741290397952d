//! The logs of every format, kept for ever: an engine that would decide otherwise does not pass here.

use std::collections::BTreeSet;
use std::fs;

use engine::EventKind;
use event_log::{Counts, FORMAT, Fields, Item, Reader, Rerun};

use crate::again::differences;
use crate::lives::{file, of_stories, of_walks};
use crate::story::rewrite;
use crate::tree;

/// Random events beside those of the stories.
const EVENTS: usize = 250;

#[test]
fn every_kept_log_is_decided_as_it_was_recorded() {
    let folder = tree("fixtures/logs");
    let newest = folder.join(format!("lives-{FORMAT}.jwlog"));
    if rewrite() && !newest.exists() {
        let mut lives = of_stories();
        lives.extend(of_walks(EVENTS));
        fs::write(&newest, file(&lives)).expect("a fixture can be written");
    }
    assert!(
        newest.exists(),
        "{} is missing; REWRITE=1 adds it",
        newest.display()
    );
    for entry in fs::read_dir(&folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|ext| ext != "jwlog") {
            continue;
        }
        let log = fs::read(&path).expect("a fixture");
        let policy = Reader::new(&*log).expect("a log").header().policy.clone();
        for rerun in [Rerun::new(policy.clone()), Rerun::with_restarts(policy)] {
            let (counts, differing) = differences(rerun, &log);
            assert_eq!(differing, [], "{}", path.display());
            let Counts {
                midway,
                gaps,
                unreadable,
                ..
            } = counts;
            assert_eq!((midway, gaps, unreadable), (0, 0, 0), "{}", path.display());
        }
        let kinds: BTreeSet<EventKind> = kinds(&log);
        let missing: Vec<_> = EventKind::ALL
            .into_iter()
            .filter(|kind| !kinds.contains(kind))
            .collect();
        assert_eq!(missing, [], "{}: events that no task has met", path.display());
    }
}

fn kinds(log: &[u8]) -> BTreeSet<EventKind> {
    let mut reader = Reader::new(log).expect("a log");
    let mut kinds = BTreeSet::new();
    while let Some(item) = reader.next().expect("nothing is damaged") {
        if let Item::Record { bytes, .. } = item {
            let event = Fields::of(bytes).expect("a record").event;
            let event: engine::Event = rmp_serde::from_slice(event).expect("an event");
            kinds.insert(event.kind());
        }
    }
    kinds
}
