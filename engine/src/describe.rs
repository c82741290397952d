//! The table for readers: Markdown rows, the diagram, the matrix. `TRANSITIONS.md` is this text.

use crate::kind::{EventKind, StateKind};
use crate::table::{ANOTHER_JOB, FINISHED, IGNORES, MOVES};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const TEXT: &str = "writing to a String does not fail";

/// Returns the state diagram in Mermaid's language; moves within a state are left out.
pub fn mermaid() -> String {
    let mut edges = BTreeSet::new();
    for row in MOVES.iter().filter(|row| row.from != row.to) {
        edges.insert((row.from, row.to, row.on));
    }
    let mut text =
        String::from("stateDiagram-v2\n    [*] --> Received: Taken\n    [*] --> Created: Adopted\n");
    for (from, to, on) in edges {
        writeln!(text, "    {} --> {}: {}", from.name(), to.name(), on.name()).expect(TEXT);
    }
    for end in StateKind::ALL.into_iter().filter(|kind| kind.is_terminal()) {
        writeln!(text, "    {} --> [*]", end.name()).expect(TEXT);
    }
    text
}

/// Returns the state diagram in Graphviz's language; moves within a state are left out.
pub fn dot() -> String {
    let mut edges: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for row in MOVES.iter().filter(|row| row.from != row.to) {
        edges.entry((row.from, row.to)).or_default().insert(row.on.name());
    }
    let mut text = String::from("digraph transitions {\n    begin [shape=point];\n");
    for kind in StateKind::ALL {
        let shape = if kind.is_terminal() {
            "doublecircle"
        } else {
            "circle"
        };
        writeln!(text, "    {} [shape={shape}];", kind.name()).expect(TEXT);
    }
    text.push_str("    begin -> Received [label=\"Taken\"];\n    begin -> Created [label=\"Adopted\"];\n");
    for ((from, to), events) in edges {
        let events: Vec<&str> = events.into_iter().collect();
        let (from, to, label) = (from.name(), to.name(), events.join("\\n"));
        writeln!(text, "    {from} -> {to} [label=\"{label}\"];").expect(TEXT);
    }
    text.push_str("}\n");
    text
}

/// Returns every row as a Markdown table, in the order in which rows are tried.
pub fn rows() -> String {
    let mut text = String::from("| state | event | if | becomes | through |\n|---|---|---|---|---|\n");
    for row in MOVES {
        writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            row.from.name(),
            row.on.name(),
            row.guard.unwrap_or(""),
            row.to.name(),
            row.handler
        )
        .expect(TEXT);
    }
    text.push_str("\n| state | event | ignored, since |\n|---|---|---|\n");
    for row in IGNORES {
        writeln!(text, "| {} | {} | {} |", row.from.name(), row.on.name(), row.why).expect(TEXT);
    }
    writeln!(
        text,
        "| Completed, Failed, Exception | every other | {FINISHED} |\n| every | a fact with another Job's uid | {ANOTHER_JOB} |"
    )
    .expect(TEXT);
    text
}

/// Tells in a word or two what the table says of an event in a state.
pub fn cell(from: StateKind, on: EventKind) -> String {
    let targets: BTreeSet<_> = MOVES
        .iter()
        .filter(|row| row.from == from && row.on == on)
        .map(|row| row.to.name())
        .collect();
    let ignored = from.is_terminal() || IGNORES.iter().any(|row| row.from == from && row.on == on);
    let mut words: Vec<&str> = targets.into_iter().collect();
    if ignored {
        words.push("ignored");
    } else if words.is_empty() {
        words.push("rejected");
    }
    words.join(", ")
}

/// Returns the matrix of states and events as a Markdown table.
pub fn matrix() -> String {
    let mut text = String::from("| event |");
    for state in StateKind::ALL {
        write!(text, " {} |", state.name()).expect(TEXT);
    }
    text.push_str("\n|---|---|---|---|---|---|---|\n");
    for event in EventKind::ALL {
        write!(text, "| {} |", event.name()).expect(TEXT);
        for state in StateKind::ALL {
            write!(text, " {} |", cell(state, event)).expect(TEXT);
        }
        text.push('\n');
    }
    text
}

/// Returns the whole text of `TRANSITIONS.md` that comes from the table alone.
pub fn document() -> String {
    format!(
        "# Transitions\n\nGenerated from `src/table.rs`; do not edit. `Taken` and `Adopted` begin a task; one that lives \
         rejects them.\n\n```mermaid\n{}```\n\n## Rows\n\nTried from top to bottom; a row with a condition applies only where it holds.\n\n{}\n\
         ## Matrix\n\n{}",
        mermaid(),
        rows(),
        matrix()
    )
}
