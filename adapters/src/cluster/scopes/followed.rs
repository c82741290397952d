//! One scope that is watched: how far its two feeds are, and why it is watched at all. The scopes own it and act on what it says.

use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// A refused namespace that nobody asked for meanwhile is given up after this.
const WANTED: Duration = Duration::from_secs(600);

/// Why a scope is watched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cause {
    /// The settings say so: it is never given up.
    Settings,
    /// The Lease names it, and no task of this term does so far.
    Lease,
    /// A task names it.
    Task,
}

/// A watched scope. Its feeds end when it is dropped.
pub(super) struct Followed {
    feeds: [AbortHandle; 2],
    pub(super) jobs: Sight,
    pub(super) pods: Sight,
    pub(super) cause: Cause,
    /// Watched from the start: its first lists are waited for.
    pub(super) awaited: bool,
    /// A list held Jobs of ours.
    pub(super) occupied: bool,
    pub(super) wanted_at: Instant,
    pub(super) ready: bool,
    /// Since when it is refused without a break.
    pub(super) refused_since: Option<Instant>,
    pub(super) refusal_reported: Option<Instant>,
}

/// What one feed has reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Sight {
    /// A list was complete once.
    pub(super) listed: bool,
    /// It was refused once.
    pub(super) refused: bool,
    /// The watch is open, or was when last heard of.
    pub(super) watching: bool,
}

impl Followed {
    pub(super) fn new(feeds: [AbortHandle; 2], cause: Cause) -> Self {
        Self {
            feeds,
            jobs: Sight::default(),
            pods: Sight::default(),
            cause,
            awaited: cause != Cause::Task,
            occupied: false,
            wanted_at: Instant::now(),
            ready: false,
            refused_since: None,
            refusal_reported: None,
        }
    }

    /// Nothing more is to be waited for at the start.
    pub(super) const fn settled(&self) -> bool {
        (self.jobs.listed && self.pods.listed) || self.jobs.refused || self.pods.refused
    }

    pub(super) const fn watching(&self) -> bool {
        self.jobs.watching && self.pods.watching
    }

    /// Tells whether the driver is to hear of it. It asks for a namespace of the Lease once a task names it.
    pub(super) fn is_told(&self) -> bool {
        self.cause != Cause::Lease
    }

    /// Takes note that a task names it.
    pub(super) fn want(&mut self) {
        if self.cause == Cause::Lease {
            self.cause = Cause::Task;
        }
        self.wanted_at = Instant::now();
        self.ready = false;
    }

    /// Tells whether it was refused, and wanted by no new task, for so long that it is given up; one that was deleted, mostly.
    pub(super) fn is_lost(&self, now: Instant) -> bool {
        let long = |since: Instant| now.duration_since(since) >= WANTED;
        self.cause != Cause::Settings && self.refused_since.is_some_and(long) && long(self.wanted_at)
    }

    /// Tells whether its place may go to another one: nothing but the Lease speaks for it, and it had no Job of ours.
    pub(super) fn is_spare(&self) -> bool {
        self.cause == Cause::Lease && self.jobs.listed && !self.occupied
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.feeds.iter().for_each(AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(cause: Cause) -> Followed {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let feed = || runtime.spawn(async {}).abort_handle();
        Followed::new([feed(), feed()], cause)
    }

    #[test]
    fn a_namespace_is_lost_once_it_is_refused_and_unwanted_for_long() {
        let start = Instant::now();
        let late = start + WANTED + Duration::from_secs(1);
        for cause in [Cause::Lease, Cause::Task] {
            let mut it = followed(cause);
            assert!(!it.is_lost(late), "{cause:?} is not refused");
            it.refused_since = Some(late);
            assert!(!it.is_lost(late), "{cause:?} is refused for a moment");
            it.refused_since = Some(start);
            assert!(it.is_lost(late), "{cause:?}");
            it.wanted_at = late;
            assert!(!it.is_lost(late), "{cause:?} is wanted");
        }
        let mut it = followed(Cause::Settings);
        it.refused_since = Some(start);
        assert!(!it.is_lost(late));
    }

    #[test]
    fn only_a_namespace_that_no_task_and_no_job_speaks_for_is_spare() {
        for (cause, listed, occupied, spare) in [
            (Cause::Lease, true, false, true),
            (Cause::Lease, false, false, false),
            (Cause::Lease, true, true, false),
            (Cause::Task, true, false, false),
            (Cause::Settings, true, false, false),
        ] {
            let mut it = followed(cause);
            it.jobs.listed = listed;
            it.occupied = occupied;
            assert_eq!(it.is_spare(), spare, "{cause:?} {listed} {occupied}");
            it.want();
            assert!(!it.is_spare());
        }
    }
}
