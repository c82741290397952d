//! What does not fit, and the two forms in which it is shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

/// Most findings that are kept; the rest is counted.
const FINDINGS_MAX: usize = 10_000;

/// What does not fit.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    NamespaceUnreadable,
    SnapshotUnreadable,
    TaskUnindexed,
    IndexWithoutTask,
    MessageMissing,
    MessageLeft,
    JobMissing,
    JobUnreadable,
    JobWithoutTask,
    JobOutlivesTask,
    JobDiffers,
    SecondJob,
    TombstoneUnreadable,
    TombstoneMissing,
    TombstoneEarly,
    TombstoneEndless,
    CallbackUnreadable,
    CallbackWithoutTask,
    CallbackGivenUp,
}

impl Kind {
    /// What to do.
    const fn advice(self) -> &'static str {
        match self {
            Kind::NamespaceUnreadable => "grant get and list on jobs there, see the README",
            Kind::SnapshotUnreadable => {
                "it is left alone and its id stays taken: was it written by a newer release? else settle the task by hand and HDEL it"
            }
            Kind::TaskUnindexed | Kind::IndexWithoutTask => {
                "somebody has written to the store's keys; a takeover does not need the index"
            }
            Kind::MessageMissing => {
                "no Job can be made: the task ends as INTERNAL_ERROR; send it again under another id"
            }
            Kind::MessageLeft => "it does no harm: HDEL it",
            Kind::JobMissing => "does a leader run? it ends the task as JOB_DELETED or JOB_RESULT_UNKNOWN",
            Kind::JobUnreadable => {
                "somebody has changed the annotations of the Job: it is not followed any more"
            }
            Kind::JobWithoutTask => "does a leader run? it adopts the Job",
            Kind::JobOutlivesTask => "its client has a verdict already: delete the Job if it should not run",
            Kind::JobDiffers | Kind::SecondJob => {
                "Redis and the cluster come from different times: delete the Job that should not be"
            }
            Kind::TombstoneUnreadable => "the id stays taken: was it written by a newer release?",
            Kind::TombstoneMissing => "a copy of its message would run again once the task is forgotten",
            Kind::TombstoneEarly => {
                "Redis was put together from different times: a takeover goes on with the task"
            }
            Kind::TombstoneEndless => "the id never becomes free: EXPIRE the key",
            Kind::CallbackUnreadable => "it is left alone and not sent: was it written by a newer release?",
            Kind::CallbackWithoutTask => "it is still sent; a copy of the message would run the task again",
            Kind::CallbackGivenUp => "the receiver never took it: tell the client by hand",
        }
    }
}

/// What does not fit, by kind and by whom it concerns.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: BTreeMap<(Kind, String), String>,
    /// Those beyond the bound.
    more: usize,
}

impl Findings {
    pub(super) fn add(&mut self, kind: Kind, id: impl Into<String>, found: impl Into<String>) {
        if self.found.len() < FINDINGS_MAX {
            self.found.insert((kind, id.into()), found.into());
        } else {
            self.more += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Keeps what was found before, too.
    pub(super) fn keep(&mut self, before: &Findings) {
        self.found.retain(|key, _| before.found.contains_key(key));
    }
}

/// How many of each were looked at.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Looked {
    pub(super) tasks: usize,
    pub(super) callbacks: usize,
    pub(super) tombstones: usize,
    pub(super) jobs: usize,
    pub(super) callbacks_given_up: usize,
}

#[derive(Serialize)]
struct Row<'a> {
    kind: Kind,
    id: &'a str,
    found: &'a str,
    advice: &'static str,
}

fn rows(findings: &Findings) -> impl Iterator<Item = Row<'_>> {
    findings.found.iter().map(|((kind, id), found)| Row {
        kind: *kind,
        id,
        found,
        advice: kind.advice(),
    })
}

fn name(kind: Kind) -> String {
    let name = serde_json::to_value(kind).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// Shows findings to people: by kind, a line each, and under a kind what to do.
pub(super) fn table(looked: &Looked, findings: &Findings) -> String {
    let mut table = String::new();
    let mut last = None;
    for row in rows(findings) {
        if last != Some(row.kind) {
            line(&mut table, &format!("{}\n  → {}", name(row.kind), row.advice));
            last = Some(row.kind);
        }
        line(&mut table, &format!("  {}: {}", row.id, row.found));
    }
    if !table.is_empty() {
        table.push('\n');
    }
    if findings.more > 0 {
        line(&mut table, &format!("and {} more", findings.more));
    }
    line(
        &mut table,
        &format!(
            "{} do not fit; looked at {} tasks, {} callbacks, {} tombstones, {} Jobs, {} callbacks given up",
            findings.found.len() + findings.more,
            looked.tasks,
            looked.callbacks,
            looked.tombstones,
            looked.jobs,
            looked.callbacks_given_up
        ),
    );
    table
}

/// Shows findings to programs.
pub(super) fn json(looked: &Looked, findings: &Findings) -> String {
    let rows: Vec<Row<'_>> = rows(findings).collect();
    let mut text = serde_json::json!({
        "ok": findings.is_empty(),
        "looked_at": looked,
        "findings": rows,
        "more": findings.more,
    })
    .to_string();
    text.push('\n');
    text
}

fn line(text: &mut String, words: &str) {
    writeln!(text, "{words}").expect("a String takes everything");
}
