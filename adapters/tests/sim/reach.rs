//! What a set of runs reached, and what it has to reach to prove anything.

use crate::ledger::row_name;
use engine::MOVES;
use std::collections::BTreeMap;

/// How often each thing that is worth reaching was reached.
pub(crate) type Reached = BTreeMap<String, u64>;

/// Adds `more` to `sum`.
pub(crate) fn add(sum: &mut Reached, more: Reached) {
    for (what, count) in more {
        *sum.entry(what).or_insert(0) += count;
    }
}

/// Prints what is known to go wrong, and how often it did.
pub(crate) fn known(reached: &Reached) {
    for (what, count) in reached.iter().filter(|(what, _)| what.starts_with("known")) {
        println!("  {count:>7}  {what}");
    }
}

/// Prints the rows of the engine's table that were never reached; false where a run set is too tame.
pub(crate) fn unreached(reached: &Reached, patch: bool) -> bool {
    for row in MOVES {
        let name = row_name(row);
        if !reached.contains_key(&name) {
            let why = RARE.iter().find(|(known, _)| name.contains(known));
            let why = why.map_or("not in these seeds", |(_, why)| why);
            println!("  never: {name} ({why})");
        }
    }
    let missing: Vec<&&str> = WORTH
        .iter()
        .filter(|what| !reached.contains_key(**what) && (patch || !what.starts_with("stop")))
        .collect();
    for what in &missing {
        println!("  too tame: {what:?} was not reached");
    }
    missing.is_empty()
}

/// Rows that no run can be expected to reach.
const RARE: [(&str, &str); 8] = [
    ("=> set_aside", "needs a step that panics"),
    ("confirms_absence", "needs a lost raw message"),
    (
        "name_taken_by_other",
        "needs a store that lost a task, and another message with its id",
    ),
    ("gone_unsaid", "needs a Job deleted just before a start timeout"),
    ("=> leaves", "needs `patch` to be taken back"),
    ("gives_up", "needs a run without `patch`"),
    ("is_stopped", "the verdict on the Job is told before it"),
    (
        "JobDeleted if open",
        "needs a third party that is faster than a TTL",
    ),
];

/// What has to happen in every long set of runs, else it proves little. `CONFLICT` is not among it: the token and the count of
/// writes refuse first, so that only a mutant gets there.
const WORTH: [&str; 35] = [
    "store: fenced",
    "store: rollback",
    "reply lost, written",
    "reply lost, not written",
    "rollback of the store",
    "wipe of the store",
    "adoption",
    "quarantine",
    "late take",
    "leftover",
    "poison",
    "watch expired (410)",
    "watch ended",
    "list of old age",
    "watch event twice",
    "late create",
    "late create, its leader is dead",
    "create answer lost",
    "create 409",
    "create 422",
    "create 429",
    "create 500, made",
    "create 403 quota",
    "create 403 rbac",
    "phase Received/gated",
    "phase Received/confirming",
    "row Received + JobSeen if blocked => waits_for_old",
    "stopped",
    "stop conflict",
    "phase Exception/Job left in place",
    "crash between two effects",
    "a turn was interrupted and refused",
    "not the holder after the claim",
    "2xx lost",
    "receiver gone (410)",
];
