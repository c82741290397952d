//! One moment of the little world: what the store holds, what the cluster holds, and what is under way between them.

use super::cluster::{Job, WaitsFor};
use crate::story::{restored, stored};
use engine::Task;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

/// What does not change in one search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) name: &'static str,
    pub(crate) tasks: &'static [&'static str],
    /// `patch` on Jobs is granted.
    pub(crate) stoppable: bool,
    pub(crate) ttl_secs: Option<u32>,
    pub(crate) waits_for: WaitsFor,
    pub(crate) faults: u8,
    /// The dedup window may pass, and the message come again: the only fault then, so that the bound reaches what follows.
    pub(crate) window: bool,
    /// Moments later than this are not followed, in milliseconds.
    pub(crate) horizon: u64,
    /// Moments that are looked at, at most.
    pub(crate) states_max: usize,
}

/// `POD_START_TIMEOUT` of every task, in seconds.
pub(crate) const START_SECS: u32 = 60;
/// Milliseconds after which no request is carried out any more.
pub(crate) const REQUEST_MS: u64 = 30_000;
/// The dedup window, in milliseconds.
pub(crate) const WINDOW_MS: u64 = 86_400_000;

/// One moment.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Node {
    /// Milliseconds since the story began.
    pub(crate) now: u64,
    /// A worker leads.
    pub(crate) leads: bool,
    /// When the last one stopped; zero while one leads.
    pub(crate) stopped_at: u64,
    /// Faults that may still happen.
    pub(crate) faults: u8,
    pub(crate) lives: Vec<Life>,
}

/// One id: its task, its Job, and what is under way.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Life {
    /// The task as the store holds it.
    pub(crate) task: Option<Held>,
    /// When its message was taken, the last time.
    pub(crate) received_at: u64,
    pub(crate) job: Option<Job>,
    /// The Job, its pod, were changed since the watch said so.
    pub(crate) job_news: bool,
    pub(crate) pod_news: bool,
    /// A deleted Job of which the watch has not told yet.
    pub(crate) gone: Option<Job>,
    /// The watch lost its place: a list comes.
    pub(crate) lost: bool,
    pub(crate) requests: Vec<Request>,
    /// Statuses told, of this incarnation.
    pub(crate) told: Vec<u8>,
    pub(crate) truth: Truth,
    /// Jobs made so far, of every incarnation.
    pub(crate) jobs: u8,
}

/// A task as it is stored, and as it is read again.
#[derive(Clone, Debug)]
pub(crate) struct Held(Rc<(Vec<u8>, Task)>);

impl Held {
    pub(crate) fn new(task: &Task) -> Self {
        let bytes = stored(task);
        let task = restored(&bytes);
        Self(Rc::new((bytes, task)))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.0
    }

    pub(crate) fn task(&self) -> &Task {
        &self.0.1
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Held {}

impl Hash for Held {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.bytes().hash(hasher);
    }
}

/// What was ever true of this incarnation.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Truth {
    pub(crate) made: u8,
    pub(crate) started: bool,
    pub(crate) completed: bool,
    pub(crate) failed: bool,
    /// Somebody deleted its Job.
    pub(crate) deleted: bool,
    /// The TTL deleted its Job.
    pub(crate) expired: bool,
    /// The verdict that a stop wrote to its Job.
    pub(crate) judged: Option<&'static str>,
    /// An operator, or a panic, set it aside.
    pub(crate) set_aside: bool,
}

/// A request on its way.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Request {
    pub(crate) asked_at: u64,
    pub(crate) ask: Ask,
    pub(crate) way: Way,
}

/// What is asked.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Ask {
    Create {
        with_ttl: bool,
        received_at: u64,
    },
    Look,
    Stop {
        uid: u8,
        code: &'static str,
        message: String,
    },
    Ttl {
        uid: u8,
        seconds: u32,
    },
}

/// How far a request is.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Way {
    /// It was sent.
    Sent,
    /// It was carried out; what it saw is on the way back.
    Answered(Answer),
    /// Nobody waits for it any more, and it may still be carried out.
    Alone,
}

/// What a request saw or did.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Answer {
    Seen(Option<Job>),
    Stopped,
    Ended(Job),
    Gone,
    TtlSet,
}

impl Node {
    pub(crate) fn first(setup: &Setup) -> Self {
        Self {
            now: 0,
            leads: true,
            stopped_at: 0,
            faults: setup.faults,
            lives: vec![Life::default(); setup.tasks.len()],
        }
    }
}
