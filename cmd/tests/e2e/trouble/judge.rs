//! What is judged from the outside: the pace of requests and connections, and the terms of the leaders.

use std::time::Duration;

use fixtures::kubernetes::Entry;

use crate::world::World;

/// How much the clock of the API server may be adjusted in a lease.
const SLACK_MS: i64 = 500;

/// Asserts that something was done no more often than patience allows: by each replica the lease at each of its retries, three
/// times for an attempt that is looked after, two other things a second, and a few at once.
pub(super) fn pace(
    stage: &str,
    what: &str,
    count: usize,
    lasted: Duration,
    lease: Duration,
    replicas: usize,
) {
    let retry = lease.as_secs_f64() * 2.0 / 15.0;
    let each = lasted.as_secs_f64() * (3.0 / retry + 2.0) + 40.0;
    let (count, most) = (u32::try_from(count).unwrap_or(u32::MAX), each * replicas as f64);
    let seconds = lasted.as_secs();
    eprintln!("trouble: {stage}: {count} {what} in {seconds} s, at most {most:.0}");
    assert!(f64::from(count) <= most, "{stage}: {count} {what} in {seconds} s");
}

/// Counts the requests of a world's replicas since a moment.
pub(super) fn requests(world: &World, since_ms: i64) -> usize {
    let of = |needle: &str| -> usize {
        let entries = world.cluster.audit(needle).into_iter();
        entries
            .filter(|entry| is_worker(entry) && entry.at_ms >= since_ms)
            .count()
    };
    // Neither of the names is a part of the other.
    of(&format!("\"namespace\":\"{}\"", world.namespace)) + of(&format!("\"name\":\"{}\"", world.lock_name))
}

/// Asserts that a replica took the lease of another no sooner than a lease after the other had last renewed it; returns how often
/// the lease went from one to another, and one.
pub(super) fn terms(world: &World, lease: Duration) -> usize {
    let mut held: Vec<Entry> = world.cluster.audit(&world.lock_name);
    held.retain(|entry| {
        let written = matches!(entry.verb.as_str(), "update" | "create") && (200..300).contains(&entry.code);
        is_worker(entry) && entry.resource == "leases" && written
    });
    held.sort_by_key(|entry| entry.at_ms);
    assert!(held.iter().all(|entry| !entry.credential.is_empty()));
    let lease_ms = i64::try_from(lease.as_millis()).expect("a lease is short");
    let mut terms = 1;
    for pair in held.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        if before.credential != after.credential {
            terms += 1;
            let since = after.at_ms - before.at_ms;
            assert!(
                since >= lease_ms - SLACK_MS,
                "the lease was taken after {since} ms"
            );
        }
    }
    terms
}

fn is_worker(entry: &Entry) -> bool {
    entry.user.starts_with("system:serviceaccount:job-worker:")
}
