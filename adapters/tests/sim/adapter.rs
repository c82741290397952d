//! The cluster adapter of one term: its feeds and its requests, on the modelled API server.
//!
//! The order of steps is that of `cluster/{feed,watch,scopes,pump,create,look,stop}.rs`, which are async there.

use crate::kube::{self, Draft, Object};
use crate::plan::Fault;
use crate::world::{Event, ToTerm, World};
use adapters::cluster::{Report, Scope};
use adapters::driver::Input;
use engine::{Event as Fact, TaskId, Timestamp, Uid};
use std::collections::{BTreeMap, BTreeSet};

/// What an adapter keeps.
#[derive(Debug, Default)]
pub(crate) struct Adapter {
    pub(crate) feeds: [Feed; 2],
    /// Namespaces that were reviewed: whether `patch` is granted.
    pub(crate) reviewed: BTreeMap<String, bool>,
    pub(crate) reviewing: BTreeSet<String>,
    pub(crate) synced: bool,
}

/// One watch.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    /// The place in the history, while it watches.
    pub(crate) at: Option<usize>,
    /// The place that a watch goes on from once it has ended.
    pub(crate) broken_at: usize,
    pub(crate) listed: bool,
    /// A delivery is on its way.
    pub(crate) hearing: bool,
    /// Tells answers of a former connection apart.
    pub(crate) connection: u64,
    /// How many lists it has had.
    pub(crate) lists: u64,
}

/// What an adapter hears.
#[derive(Debug)]
pub(crate) enum Told {
    Listed {
        kind: usize,
        connection: u64,
        objects: Vec<Object>,
        at: usize,
        began_at: Timestamp,
    },
    /// A list, a look or a review that failed is tried again.
    ListAgain(usize, u64),
    /// The watches that followed so many lists have gone on for long enough.
    ListOld(usize, u64),
    Hear(usize, u64),
    Resume(usize, u64),
    Reviewed(String),
    ReviewAgain(String),
    /// The GET before a stop's PATCH has answered.
    StopRead(Box<Stop>, Option<Box<kube::Job>>),
    /// The first half of a look.
    LookedAtJob(Look, Option<Box<kube::Job>>),
}

/// A stop under way.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) task: TaskId,
    pub(crate) namespace: String,
    pub(crate) job_name: String,
    pub(crate) uid: String,
    pub(crate) failure: engine::Failure,
}

/// A look under way.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) task: TaskId,
    pub(crate) uid: Option<Uid>,
    pub(crate) namespace: String,
    pub(crate) job_name: String,
}

/// From whom a request comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From {
    pub(crate) replica: usize,
    pub(crate) life: u64,
    pub(crate) term: u64,
}

/// A request as the API server gets it.
#[derive(Debug)]
pub(crate) enum Arrival {
    List {
        from: From,
        kind: usize,
        connection: u64,
        began_at: Timestamp,
    },
    Create {
        from: From,
        task: TaskId,
        draft: Box<Draft>,
        /// The answer is heard.
        heard: bool,
        late: bool,
    },
    GetAfterConflict {
        from: From,
        task: TaskId,
        namespace: String,
        name: String,
    },
    LookJob(From, Look),
    LookPods(From, Look, Option<Box<kube::Job>>),
    ReadForStop(From, Box<Stop>),
    Patch {
        from: From,
        stop: Box<Stop>,
        version: u64,
        heard: bool,
    },
    SetTtl {
        from: From,
        task: TaskId,
        uid: String,
        seconds: u64,
        heard: bool,
    },
}

pub(crate) const JOBS: usize = 0;
pub(crate) const PODS: usize = 1;
/// How long watches go on from one list, as the daemon has it.
const RELIST_MS: u64 = 600_000;

impl World {
    pub(crate) fn from(&self, replica: usize) -> From {
        From {
            replica,
            life: self.replicas[replica].life,
            term: self.replicas[replica].term.as_ref().map_or(0, |term| term.id),
        }
    }

    pub(crate) fn tell(&mut self, ms: u64, to: From, what: ToTerm) {
        let event = crate::world::ToProcess::Term(to.term, what);
        self.after(ms, Event::Process(to.replica, to.life, event));
    }

    pub(crate) fn answer(&mut self, ms: u64, to: From, task: &TaskId, facts: Vec<Fact>) {
        let report = Report::Facts {
            task: task.clone(),
            facts,
        };
        self.tell(ms, to, ToTerm::Input(Box::new(Input::Cluster(Box::new(report)))));
    }

    // Feeds.

    pub(crate) fn adapter_starts(&mut self, index: usize) {
        self.lists(index, JOBS);
    }

    fn lists(&mut self, index: usize, kind: usize) {
        let began_at = self.term_time(index);
        let from = self.from(index);
        let Some(adapter) = self.adapter(index) else {
            return;
        };
        let feed = &mut adapter.feeds[kind];
        feed.at = None;
        feed.connection += 1;
        let connection = feed.connection;
        let hop = self.hop();
        self.after(
            hop,
            Event::Server(Arrival::List {
                from,
                kind,
                connection,
                began_at,
            }),
        );
    }

    pub(crate) fn adapter_told(&mut self, index: usize, told: Told) {
        match told {
            Told::Listed {
                kind,
                connection,
                objects,
                at,
                began_at,
            } => self.listed(index, kind, connection, &objects, at, began_at),
            Told::ListAgain(kind, connection) => {
                if self.is_connected(index, kind, connection) {
                    self.lists(index, kind);
                }
            }
            Told::ListOld(kind, lists) => {
                let current = self.adapter(index).map(|adapter| adapter.feeds[kind].lists);
                if current == Some(lists) {
                    self.reach("list of old age");
                    self.lists(index, kind);
                }
            }
            Told::Hear(kind, connection) => self.hears(index, kind, connection),
            Told::Resume(kind, connection) => self.resumes(index, kind, connection),
            Told::Reviewed(namespace) => self.reviewed(index, namespace),
            Told::ReviewAgain(namespace) => self.reviews(index, namespace),
            Told::StopRead(stop, job) => self.stop_read(index, *stop, job.as_deref()),
            Told::LookedAtJob(look, job) => {
                let hop = self.hop();
                let from = self.from(index);
                self.after(hop, Event::Server(Arrival::LookPods(from, look, job)));
            }
        }
    }

    fn is_connected(&mut self, index: usize, kind: usize, connection: u64) -> bool {
        self.adapter(index)
            .is_some_and(|adapter| adapter.feeds[kind].connection == connection)
    }

    fn listed(
        &mut self,
        index: usize,
        kind: usize,
        connection: u64,
        objects: &[Object],
        at: usize,
        began_at: Timestamp,
    ) {
        if !self.is_connected(index, kind, connection) {
            return;
        }
        let mut jobs = BTreeSet::new();
        for object in objects {
            let report = self.translated(object, false);
            if let Some(Report::Job { task, .. }) = &report {
                jobs.insert(task.clone());
            }
            if let Some(report) = report {
                self.report(index, report);
            }
        }
        if kind == JOBS {
            self.report(
                index,
                Report::Relisted {
                    scope: Scope::All,
                    jobs,
                    began_at,
                },
            );
        }
        let Some(adapter) = self.adapter(index) else {
            return;
        };
        let first = !adapter.feeds[kind].listed;
        adapter.feeds[kind].listed = true;
        adapter.feeds[kind].at = Some(at);
        adapter.feeds[kind].hearing = false;
        adapter.feeds[kind].lists += 1;
        let lists = adapter.feeds[kind].lists;
        let synced = adapter.feeds.iter().all(|feed| feed.listed) && !adapter.synced;
        adapter.synced |= synced;
        if synced {
            self.report(index, Report::Synced);
        }
        if kind == JOBS && first {
            self.lists(index, PODS);
        }
        let id = self.from(index).term;
        self.tell_term(RELIST_MS, index, id, ToTerm::Adapter(Told::ListOld(kind, lists)));
        self.adapter_hears(index);
    }

    fn translated(&self, object: &Object, deleted: bool) -> Option<Report> {
        match object {
            Object::Job(job) => self.wired.job_report(job, deleted),
            Object::Pod(pod) => self.wired.pod_report(pod, deleted),
        }
    }

    /// There is news for the watches of a replica.
    pub(crate) fn adapter_hears(&mut self, index: usize) {
        let len = self.kube.history.len();
        for kind in [JOBS, PODS] {
            let slow = self.faulty(Fault::Watches) && self.rng.chance(20);
            let wait = if slow {
                self.rng.range(100, 6_000)
            } else {
                self.rng.range(1, 40)
            };
            let Some(term) = self.replicas[index].term.as_mut() else {
                return;
            };
            let id = term.id;
            let feed = &mut term.adapter.feeds[kind];
            if feed.hearing || feed.at.is_none_or(|at| at >= len) {
                continue;
            }
            feed.hearing = true;
            let connection = feed.connection;
            self.tell_term(wait, index, id, ToTerm::Adapter(Told::Hear(kind, connection)));
        }
    }

    fn hears(&mut self, index: usize, kind: usize, connection: u64) {
        if !self.is_connected(index, kind, connection) {
            return;
        }
        let twice = self.faulty(Fault::Watches) && self.rng.chance(10);
        let back = if twice { 2 } else { 0 };
        let len = self.kube.history.len();
        let Some(adapter) = self.adapter(index) else {
            return;
        };
        let feed = &mut adapter.feeds[kind];
        feed.hearing = false;
        let Some(at) = feed.at.replace(len) else { return };
        if twice {
            self.reach("watch event twice");
        }
        let changes = self.kube.history[at.saturating_sub(back)..].to_vec();
        for change in changes {
            let of = match change.what {
                Object::Job(_) => JOBS,
                Object::Pod(_) => PODS,
            };
            if of == kind
                && let Some(report) = self.translated(&change.what, change.deleted)
            {
                self.report(index, report);
            }
        }
    }

    /// A watch ends well, and is resumed, or cannot be.
    pub(crate) fn watch_breaks(&mut self) {
        let index = usize::try_from(self.rng.below(self.replicas.len() as u64)).expect("small");
        let kind = usize::from(self.rng.chance(50));
        let expired = self.rng.chance(40);
        let wait = self.rng.range(100, 5_000);
        let Some(term) = self.replicas[index].term.as_mut() else {
            return;
        };
        let id = term.id;
        let feed = &mut term.adapter.feeds[kind];
        let Some(at) = feed.at.take() else { return };
        feed.connection += 1;
        feed.broken_at = at;
        let connection = feed.connection;
        let name = if kind == JOBS { "jobs" } else { "pods" };
        self.note(|| format!(" ! the watch of {name} of w{index} ends, expired: {expired}"));
        let told = if expired {
            self.reach("watch expired (410)");
            Told::ListAgain(kind, connection)
        } else {
            self.reach("watch ended");
            Told::Resume(kind, connection)
        };
        self.tell_term(wait, index, id, ToTerm::Adapter(told));
    }

    fn resumes(&mut self, index: usize, kind: usize, connection: u64) {
        if !self.is_connected(index, kind, connection) {
            return;
        }
        if self.api_is_down() {
            let id = self.from(index).term;
            return self.tell_term(2_000, index, id, ToTerm::Adapter(Told::Resume(kind, connection)));
        }
        if let Some(adapter) = self.adapter(index) {
            let feed = &mut adapter.feeds[kind];
            feed.at = Some(feed.broken_at);
            feed.hearing = false;
        }
        self.adapter_hears(index);
    }

    // Namespaces, as `scopes.rs` does where the whole cluster is watched.

    pub(crate) fn reviews(&mut self, index: usize, namespace: String) {
        let id = self.from(index).term;
        let hops = self.hop() + self.hop();
        let told = if self.api_is_down() {
            Told::ReviewAgain(namespace)
        } else {
            Told::Reviewed(namespace)
        };
        self.tell_term(hops + 20, index, id, ToTerm::Adapter(told));
    }

    fn reviewed(&mut self, index: usize, namespace: String) {
        let stoppable = self.plan.patch;
        let Some(adapter) = self.adapter(index) else {
            return;
        };
        adapter.reviewing.remove(&namespace);
        adapter.reviewed.insert(namespace.clone(), stoppable);
        self.report(index, Report::NamespaceReady { namespace, stoppable });
    }
}
