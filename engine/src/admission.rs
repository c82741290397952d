//! Which task gets the next create slot: in the order of arrival, but a namespace that refuses creates
//! does not hold up the others and is probed by one task at a time.
//!
//! All of it is derived from the tasks' states and from what namespaces answer; nothing here is stored.

use crate::event::{Refusal, RefusalKind};
use crate::id::TaskId;
use crate::policy::{PROBE_MAX_MS, PROBE_MIN_MS, backoff_ms};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// The queue for create slots.
#[derive(Debug)]
pub(crate) struct Admission {
    creating: BTreeSet<TaskId>,
    namespaces: BTreeMap<String, Namespace>,
    arrivals: u64,
}

/// When a task's message was taken, and a number for those of one moment: a restart keeps the order.
type Arrival = (Timestamp, u64);

/// One namespace's part of the queue.
#[derive(Debug, Default)]
struct Namespace {
    queued: BTreeMap<Arrival, TaskId>,
    gated: BTreeMap<Arrival, TaskId>,
    places: BTreeMap<TaskId, Arrival>,
    /// The last task that probed the gate.
    probed: Option<Arrival>,
    gate: Gate,
    stoppable: bool,
}

/// Whether a namespace takes Jobs.
#[derive(Debug, Default)]
enum Gate {
    /// Its permissions, and where needed its first list, are still asked for.
    #[default]
    Preparing,
    /// Creates go on.
    Open,
    /// The watch of the namespace is refused; its adapter asks again by itself.
    Unwatchable(Refusal),
    /// A create was refused.
    Refusing {
        refusal: Refusal,
        probes: u32,
        probe_at: Timestamp,
    },
}

/// What to do with a task next.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// It gets a slot.
    Grant { task: TaskId, stoppable: bool },
    /// It waits for its namespace.
    Hold { task: TaskId, refusal: Refusal },
}

impl Admission {
    pub(crate) const fn new() -> Self {
        Self {
            creating: BTreeSet::new(),
            namespaces: BTreeMap::new(),
            arrivals: 0,
        }
    }

    /// Notes a namespace; it takes no Jobs before it is said to be ready.
    pub(crate) fn learn(&mut self, namespace: &str) {
        self.namespaces.entry(namespace.to_owned()).or_default();
    }

    /// Notes where a task is now.
    pub(crate) fn place(&mut self, task: &TaskId, namespace: &str, taken_at: Timestamp, place: Place) {
        self.creating.remove(task);
        if place == Place::Elsewhere {
            if let Some(entry) = self.namespaces.get_mut(namespace) {
                entry.leave(task);
            }
            return;
        }
        let arrivals = &mut self.arrivals;
        let entry = self.namespaces.entry(namespace.to_owned()).or_default();
        let arrival = *entry.places.entry(task.clone()).or_insert_with(|| {
            *arrivals += 1;
            (taken_at, *arrivals)
        });
        entry.queued.remove(&arrival);
        if entry.gated.remove(&arrival).is_some() && place == Place::Creating {
            entry.probed = Some(arrival);
        }
        match place {
            Place::Queued => drop(entry.queued.insert(arrival, task.clone())),
            Place::Gated => drop(entry.gated.insert(arrival, task.clone())),
            Place::Creating => drop(self.creating.insert(task.clone())),
            Place::Waiting | Place::Elsewhere => {}
        }
    }

    /// Returns what to do next; `None` where every slot is taken or nobody can use one.
    pub(crate) fn next(&self, now: Timestamp, creates_max: usize) -> Option<Next> {
        self.namespaces
            .values()
            .find_map(Namespace::hold)
            .or_else(|| (self.creating.len() < creates_max).then(|| self.grant(now))?)
    }

    fn grant(&self, now: Timestamp) -> Option<Next> {
        let probe = self.namespaces.values().find_map(|namespace| {
            let task = namespace.next_to_probe()?;
            let free = !namespace.gate_is_probed(&self.creating);
            (free && namespace.gate.probe_due(now)).then(|| Next::Grant {
                task: task.clone(),
                stoppable: namespace.stoppable,
            })
        });
        probe.or_else(|| {
            self.namespaces
                .values()
                .filter(|namespace| matches!(namespace.gate, Gate::Open))
                .filter_map(|namespace| Some((namespace.queued.first_key_value()?, namespace.stoppable)))
                .min_by_key(|((arrival, _), _)| **arrival)
                .map(|((_, task), stoppable)| Next::Grant {
                    task: task.clone(),
                    stoppable,
                })
        })
    }

    /// Returns when the next probe is due; `None` while no slot is free for it, since the answer to a create frees one.
    pub(crate) fn next_probe(&self, creates_max: usize) -> Option<Timestamp> {
        if self.creating.len() >= creates_max {
            return None;
        }
        self.namespaces
            .values()
            .filter(|namespace| !namespace.gated.is_empty() && !namespace.gate_is_probed(&self.creating))
            .filter_map(|namespace| match namespace.gate {
                Gate::Refusing { probe_at, .. } => Some(probe_at),
                Gate::Preparing | Gate::Open | Gate::Unwatchable(_) => None,
            })
            .min()
    }

    /// Notes that the namespace may be used, and returns the tasks that were held.
    pub(crate) fn ready(&mut self, namespace: &str, stoppable: bool) -> Vec<TaskId> {
        let entry = self.namespaces.entry(namespace.to_owned()).or_default();
        entry.stoppable = stoppable;
        match entry.gate {
            Gate::Open | Gate::Refusing { .. } => Vec::new(),
            Gate::Preparing | Gate::Unwatchable(_) => entry.open(),
        }
    }

    /// Notes that a create in the namespace worked, and returns the tasks that were held.
    pub(crate) fn created(&mut self, namespace: &str) -> Vec<TaskId> {
        match self.namespaces.get_mut(namespace) {
            Some(entry) if matches!(entry.gate, Gate::Refusing { .. }) => entry.open(),
            Some(_) | None => Vec::new(),
        }
    }

    /// Notes that the namespace cannot be watched, and returns the tasks that are held.
    pub(crate) fn unwatchable(&mut self, namespace: &str, refusal: Refusal) -> Vec<TaskId> {
        let entry = self.namespaces.entry(namespace.to_owned()).or_default();
        entry.gate = Gate::Unwatchable(refusal);
        entry.gated.values().cloned().collect()
    }

    /// Notes that a create in the namespace was refused, and returns the tasks that are held.
    pub(crate) fn refused(&mut self, now: Timestamp, namespace: &str, refusal: Refusal) -> Vec<TaskId> {
        let entry = self.namespaces.entry(namespace.to_owned()).or_default();
        let probes = match entry.gate {
            Gate::Refusing { probes, .. } => probes.saturating_add(1),
            Gate::Preparing | Gate::Open => 1,
            // A probe that worked would open a namespace whose Jobs nobody can watch.
            Gate::Unwatchable(_) => return entry.gated.values().cloned().collect(),
        };
        let probe_at = now.plus_ms(probe_wait_ms(refusal.why, probes));
        entry.gate = Gate::Refusing {
            refusal,
            probes,
            probe_at,
        };
        entry.gated.values().cloned().collect()
    }

    /// Returns the number of namespaces that are closed.
    pub(crate) fn closed(&self) -> usize {
        self.namespaces
            .values()
            .filter(|namespace| matches!(namespace.gate, Gate::Unwatchable(_) | Gate::Refusing { .. }))
            .count()
    }

    /// Tells whether the namespace is known, so that its permissions were asked for.
    pub(crate) fn knows(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }
}

/// A missing permission may be given back at any moment; a quota is freed by somebody's work.
fn probe_wait_ms(why: RefusalKind, probes: u32) -> u64 {
    match why {
        RefusalKind::Forbidden => backoff_ms(probes, PROBE_MIN_MS, PROBE_MAX_MS / 4),
        RefusalKind::Quota => backoff_ms(probes, PROBE_MIN_MS, PROBE_MAX_MS),
    }
}

/// Where a task stands in the queue for slots.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// It wants a slot.
    Queued,
    /// It has one.
    Creating,
    /// Its namespace refuses it.
    Gated,
    /// It will want a slot again later and keeps its place in the order.
    Waiting,
    /// It is past its create.
    Elsewhere,
}

impl Namespace {
    fn leave(&mut self, task: &TaskId) {
        if let Some(arrival) = self.places.remove(task) {
            self.queued.remove(&arrival);
            self.gated.remove(&arrival);
        }
    }

    /// Each task in its turn: the first one may ask for more than there will ever be.
    fn next_to_probe(&self) -> Option<&TaskId> {
        let later = self.probed.and_then(|probed| {
            self.gated
                .range((Bound::Excluded(probed), Bound::Unbounded))
                .next()
        });
        let (_, task) = later.or_else(|| self.gated.first_key_value())?;
        Some(task)
    }

    fn open(&mut self) -> Vec<TaskId> {
        self.gate = Gate::Open;
        self.gated.values().cloned().collect()
    }

    fn hold(&self) -> Option<Next> {
        let refusal = match &self.gate {
            Gate::Preparing | Gate::Open => return None,
            Gate::Unwatchable(refusal) | Gate::Refusing { refusal, .. } => refusal,
        };
        let (_, task) = self.queued.first_key_value()?;
        Some(Next::Hold {
            task: task.clone(),
            refusal: refusal.clone(),
        })
    }

    fn gate_is_probed(&self, creating: &BTreeSet<TaskId>) -> bool {
        creating.iter().any(|task| self.places.contains_key(task))
    }
}

impl Gate {
    fn probe_due(&self, now: Timestamp) -> bool {
        matches!(self, Self::Refusing { probe_at, .. } if *probe_at <= now)
    }
}
