//! Chooses what is watched as one, the whole cluster or namespace by namespace, and tells the driver which namespaces are ready.
//!
//! One by one, those of the settings are watched from the start, and those that the Lease names (`Known`): Jobs may run there
//! whose tasks the store has lost. It never holds a namespace's tasks back or lets them go: it reports, the engine judges. One
//! task of the runtime.

mod followed;

use super::access::{self, Permission};
use super::backoff::Backoff;
use super::client::Verb;
use super::{Report, Scope, Shared, chance, feed};
use crate::lease::NAMESPACES_MAX;
use engine::{Refusal, RefusalKind};
use followed::{Cause, Followed};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// Namespaces whose review is remembered, at most; beyond it all are reviewed anew.
const REVIEWS_MAX: usize = 1024;

/// A watch over all namespaces that worked is given up when it is refused for this long.
const REFUSED: Duration = Duration::from_secs(60);

/// A namespace's refusal is reported no more often than this.
const REPORT_EVERY: Duration = Duration::from_millis(4500);

/// What the scopes learn.
pub(super) enum Signal {
    /// The driver wants a namespace.
    Prepare(String),
    /// A feed has come this far.
    Feed {
        scope: Scope,
        kind: Kind,
        progress: Progress,
    },
    /// Whether `patch` on Jobs is granted.
    Reviewed { namespace: String, stoppable: bool },
}

/// What a feed feeds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Jobs,
    Pods,
}

/// How far a feed is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// A complete list holds Jobs of ours.
    Occupied,
    Listed,
    Watching,
    Refused(String),
}

/// Runs until the adapter ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    sender: mpsc::UnboundedSender<Signal>,
    mut signals: mpsc::UnboundedReceiver<Signal>,
) {
    let whole = may_watch_all(&shared).await;
    let mut scopes = Scopes {
        shared,
        sender,
        followed: BTreeMap::new(),
        stoppable: BTreeMap::new(),
        reviewing: BTreeSet::new(),
        synced: false,
    };
    if whole {
        log::info!("the whole cluster is watched");
        scopes.follow(Scope::All, Cause::Settings);
    } else {
        scopes.follow_each();
    }
    while let Some(signal) = signals.recv().await {
        match signal {
            Signal::Prepare(namespace) => scopes.prepare(namespace),
            Signal::Feed {
                scope,
                kind,
                progress,
            } => scopes.progressed(&scope, kind, progress),
            Signal::Reviewed { namespace, stoppable } => scopes.reviewed(namespace, stoppable),
        }
    }
}

/// Asks whether Jobs and pods may be listed and watched in all namespaces; where the cluster does not say, the list will.
async fn may_watch_all(shared: &Shared) -> bool {
    if shared.settings.watch_namespaces.is_some() {
        return false;
    }
    let mut backoff = Backoff::default();
    for (group, resource) in [("batch", "jobs"), ("", "pods")] {
        for verb in [Verb::List, Verb::Watch] {
            let permission = Permission {
                verb,
                group,
                resource,
                namespace: None,
            };
            if review(shared, permission, &mut backoff).await == Some(false) {
                return false;
            }
        }
    }
    true
}

/// Asks until there is an answer.
async fn review(shared: &Shared, permission: Permission<'_>, backoff: &mut Backoff) -> Option<bool> {
    loop {
        match access::granted(&shared.client, permission).await {
            Ok(granted) => {
                shared.reports.reached();
                return granted;
            }
            Err(silence) => {
                shared.reports.lost(format!("cannot review access: {silence}"));
                sleep(backoff.next(chance())).await;
            }
        }
    }
}

struct Scopes {
    shared: Arc<Shared>,
    sender: mpsc::UnboundedSender<Signal>,
    followed: BTreeMap<Scope, Followed>,
    /// Whether `patch` on Jobs is granted, for each namespace that was reviewed.
    stoppable: BTreeMap<String, bool>,
    reviewing: BTreeSet<String>,
    synced: bool,
}

impl Scopes {
    fn follow(&mut self, scope: Scope, cause: Cause) {
        let (listed, jobs_listed) = oneshot::channel();
        let jobs = feed::jobs(
            Arc::clone(&self.shared),
            scope.clone(),
            self.sender.clone(),
            listed,
        );
        let pods = feed::pods(
            Arc::clone(&self.shared),
            scope.clone(),
            self.sender.clone(),
            jobs_listed,
        );
        let feeds = [self.shared.spawn(jobs), self.shared.spawn(pods)];
        self.followed.insert(scope, Followed::new(feeds, cause));
    }

    /// Watches namespace by namespace: those of the settings, those of the Lease, and those that were wanted before.
    fn follow_each(&mut self) {
        let settings = &self.shared.settings;
        let (start, mut known) = match &settings.watch_namespaces {
            Some(listed) => (listed.clone(), BTreeSet::new()),
            None => (vec![settings.pod_namespace.clone()], settings.known.snapshot()),
        };
        known.retain(|namespace| !start.contains(namespace));
        log::info!(
            namespaces = start.join(","), known = known.len();
            "namespaces are watched one by one"
        );
        let wanted: Vec<String> = self.stoppable.keys().chain(&self.reviewing).cloned().collect();
        for namespace in start {
            self.follow(Scope::Namespace(namespace.clone()), Cause::Settings);
            self.review(namespace);
        }
        for namespace in known {
            self.follow(Scope::Namespace(namespace), Cause::Lease);
        }
        for namespace in wanted {
            self.prepare(namespace);
        }
    }

    fn prepare(&mut self, namespace: String) {
        if self.followed.contains_key(&Scope::All) {
            match self.stoppable.get(&namespace) {
                Some(&stoppable) => self.ready(namespace, stoppable),
                None => self.review(namespace),
            }
            return;
        }
        let scope = Scope::Namespace(namespace.clone());
        if let Some(followed) = self.followed.get_mut(&scope) {
            followed.want();
            self.announce(&scope);
        } else if self.shared.settings.watch_namespaces.is_some() {
            let message = "the namespace is not listed in WATCH_NAMESPACES of this worker".to_owned();
            self.refused(namespace, message);
        } else if self.followed.len() >= NAMESPACES_MAX && !self.make_room() {
            let message = format!(
                "this worker watches {NAMESPACES_MAX} namespaces one by one and takes no more: grant list and watch on jobs and pods in the whole cluster"
            );
            self.refused(namespace, message);
        } else {
            self.follow(scope, Cause::Task);
            self.review(namespace);
        }
    }

    /// Gives up a namespace that only the Lease speaks for, where there is one without a Job.
    fn make_room(&mut self) -> bool {
        let spare = self.followed.iter().find(|(_, followed)| followed.is_spare());
        let Some(scope) = spare.map(|(scope, _)| scope.clone()) else {
            return false;
        };
        self.give_up(&scope, "it has no Job, and another one needs its place");
        true
    }

    fn give_up(&mut self, scope: &Scope, why: &str) {
        self.followed.remove(scope);
        if let Some(namespace) = scope.namespace() {
            log::info!(namespace; "a namespace that no task wants is given up: {why}");
            self.shared.settings.known.remove(namespace);
        }
        self.sync();
    }

    fn progressed(&mut self, scope: &Scope, kind: Kind, progress: Progress) {
        let Some(followed) = self.followed.get_mut(scope) else {
            return;
        };
        let sight = match kind {
            Kind::Jobs => &mut followed.jobs,
            Kind::Pods => &mut followed.pods,
        };
        match progress {
            Progress::Occupied => followed.occupied = true,
            Progress::Listed => sight.listed = true,
            Progress::Watching => sight.watching = true,
            Progress::Refused(message) => {
                sight.refused = true;
                sight.watching = false;
                followed.ready = false;
                self.suffered(scope, message);
            }
        }
        self.announce(scope);
        self.sync();
    }

    fn suffered(&mut self, scope: &Scope, message: String) {
        let now = Instant::now();
        let Some(followed) = self.followed.get_mut(scope) else {
            return;
        };
        let first = followed.refused_since.is_none();
        let since = *followed.refused_since.get_or_insert(now);
        let Some(namespace) = scope.namespace() else {
            let worked = followed.jobs.listed && followed.pods.listed;
            if !worked || now.duration_since(since) >= REFUSED {
                log::warn!("the whole cluster may not be watched: {message}");
                self.followed.clear();
                self.follow_each();
            } else {
                self.shared.reports.lost(message);
            }
            return;
        };
        let lost = followed.is_lost(now);
        let due = followed
            .refusal_reported
            .is_none_or(|last| now.duration_since(last) >= REPORT_EVERY);
        if followed.is_told() && due {
            followed.refusal_reported = Some(now);
            self.refused(namespace.to_owned(), message);
        } else if !followed.is_told() && first {
            log::warn!(namespace; "a namespace that the Lease names may not be watched: {message}");
        }
        if lost {
            self.give_up(scope, "it may not be watched");
        }
    }

    /// Says that a namespace is ready, where it has become so.
    fn announce(&mut self, scope: &Scope) {
        let Some(followed) = self.followed.get_mut(scope).filter(|f| f.watching()) else {
            return;
        };
        followed.refused_since = None;
        followed.refusal_reported = None;
        let Some(namespace) = scope.namespace().filter(|_| followed.is_told()) else {
            return;
        };
        match self.stoppable.get(namespace) {
            Some(&stoppable) if !followed.ready => {
                followed.ready = true;
                if followed.cause == Cause::Task {
                    self.shared.settings.known.add(namespace);
                }
                self.ready(namespace.to_owned(), stoppable);
            }
            Some(_) => {}
            None => self.review(namespace.to_owned()),
        }
    }

    fn sync(&mut self) {
        let mut awaited = self.followed.values().filter(|followed| followed.awaited);
        if !self.synced && awaited.all(Followed::settled) {
            self.synced = true;
            self.shared.reports.send(Report::Synced);
        }
    }

    fn review(&mut self, namespace: String) {
        if !self.reviewing.insert(namespace.clone()) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let sender = self.sender.clone();
        self.shared.spawn(async move {
            let permission = Permission {
                verb: Verb::Patch,
                group: "batch",
                resource: "jobs",
                namespace: Some(&namespace),
            };
            let granted = review(&shared, permission, &mut Backoff::default()).await;
            let stoppable = granted == Some(true);
            log::info!(namespace, stoppable; "access to a namespace was reviewed");
            let signal = Signal::Reviewed { namespace, stoppable };
            if sender.send(signal).is_err() {
                log::debug!("the scopes have ended");
            }
        });
    }

    fn reviewed(&mut self, namespace: String, stoppable: bool) {
        self.reviewing.remove(&namespace);
        if self.stoppable.len() >= REVIEWS_MAX {
            self.stoppable.clear();
        }
        self.stoppable.insert(namespace.clone(), stoppable);
        if self.followed.contains_key(&Scope::All) {
            self.ready(namespace, stoppable);
        } else {
            self.announce(&Scope::Namespace(namespace));
        }
    }

    fn ready(&self, namespace: String, stoppable: bool) {
        self.shared
            .reports
            .send(Report::NamespaceReady { namespace, stoppable });
    }

    fn refused(&self, namespace: String, message: String) {
        self.shared.reports.send(Report::NamespaceRefused {
            namespace,
            refusal: Refusal {
                why: RefusalKind::Forbidden,
                message,
            },
        });
    }
}
