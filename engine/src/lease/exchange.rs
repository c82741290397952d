//! What goes into the lease machine and what comes out of it: plain values, no behaviour. The lease adapter translates them
//! to and from the API.

/// A Lease as the API server returned it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// `holderIdentity`; empty when the lease was released.
    pub holder: String,
    /// `leaseDurationSeconds`; 0 where it is absent or not positive.
    pub seconds: u32,
    /// `leaseTransitions`; 0 where absent.
    pub transitions: u32,
    /// `acquireTime`, microseconds since the epoch by the holder's clock; never compared, only kept.
    pub acquired_us: Option<i64>,
    /// `renewTime`, microseconds since the epoch by the holder's clock; compared for change only.
    pub renewed_us: Option<i64>,
    /// `resourceVersion`, opaque.
    pub version: String,
}

/// A Lease as it shall be written; the adapter adds `renewTime` by its wall clock.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Draft {
    /// `holderIdentity`; empty to release.
    pub holder: String,
    /// `leaseDurationSeconds`, at least 1.
    pub seconds: u32,
    /// `leaseTransitions`.
    pub transitions: u32,
    /// `acquireTime` to keep; `None` is filled with the wall clock.
    pub acquired_us: Option<i64>,
}

/// Why a request had no useful answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// RBAC refuses it.
    Forbidden,
    /// Anything else; a write may have happened.
    Unknown,
}

/// What the machine is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Input {
    /// The GET answered; `None`: there is no such Lease.
    Looked(Option<Record>),
    /// The GET had no useful answer.
    Unread(Fault),
    /// The write was answered with the object as stored.
    Wrote(Record),
    /// The write was refused because the Lease is not as it was seen (409, or 404 on an update).
    Conflict,
    /// The write had no useful answer.
    Unwritten(Fault),
    /// [`super::Machine::wake_at`] has come; early and repeated ones do no harm.
    Woke,
    /// The role ends for good; sent only after its effects have stopped, for the lease is released.
    Stop,
}

/// Why a leadership ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lost {
    /// No renewal succeeded before the renew deadline.
    Expired,
    /// The Lease names another holder (empty: somebody released it).
    Taken {
        /// Its `holderIdentity`.
        holder: String,
    },
    /// [`Input::Stop`] was given.
    Stopped,
}

/// What the machine asks for or reports, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Read the Lease, consistently (no `resourceVersion`).
    Get,
    /// Create the Lease.
    Create(Draft),
    /// Replace the Lease if its `resourceVersion` still is `version`.
    Update {
        /// What to write.
        draft: Draft,
        /// The version that was seen.
        version: String,
    },
    /// This replica leads.
    Gained {
        /// `leaseTransitions`; for logs, not unique per term, never an epoch.
        transitions: u32,
    },
    /// This replica does not lead any more.
    Lost(Lost),
    /// Nothing follows.
    Stopped,
}
