//! Chooses what is watched as one, the whole cluster or namespace by namespace, and tells the driver which namespaces are ready.
//!
//! It never holds a namespace's tasks back or lets them go: it reports, the engine judges. One task of the runtime.

use super::access::{self, Permission};
use super::backoff::Backoff;
use super::client::Verb;
use super::{Report, Scope, Shared, chance, feed};
use engine::{Refusal, RefusalKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// Namespaces that are watched one by one, at most.
const NAMESPACES_MAX: usize = 256;

/// Namespaces whose review is remembered, at most; beyond it all are reviewed anew.
const REVIEWS_MAX: usize = 1024;

/// A refused namespace that nobody asked for meanwhile is given up after this.
const WANTED: Duration = Duration::from_secs(600);

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
        scopes.follow(Scope::All, true);
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

struct Followed {
    feeds: [AbortHandle; 2],
    jobs: Sight,
    pods: Sight,
    /// Watched from the start, hence never given up.
    kept: bool,
    wanted_at: Instant,
    ready: bool,
    /// Since when it is refused without a break.
    refused_since: Option<Instant>,
    refusal_reported: Option<Instant>,
}

/// What one feed has reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Sight {
    /// A list was complete once.
    listed: bool,
    /// It was refused once.
    refused: bool,
    /// The watch is open, or was when last heard of.
    watching: bool,
}

impl Followed {
    /// Nothing more is to be waited for at the start.
    const fn settled(&self) -> bool {
        (self.jobs.listed && self.pods.listed) || self.jobs.refused || self.pods.refused
    }

    const fn watching(&self) -> bool {
        self.jobs.watching && self.pods.watching
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.feeds.iter().for_each(AbortHandle::abort);
    }
}

impl Scopes {
    fn follow(&mut self, scope: Scope, kept: bool) {
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
        self.followed.insert(
            scope,
            Followed {
                feeds,
                jobs: Sight::default(),
                pods: Sight::default(),
                kept,
                wanted_at: Instant::now(),
                ready: false,
                refused_since: None,
                refusal_reported: None,
            },
        );
    }

    /// Watches namespace by namespace: those of the settings, and those that were wanted before.
    fn follow_each(&mut self) {
        let start = match &self.shared.settings.watch_namespaces {
            Some(listed) => listed.clone(),
            None => vec![self.shared.settings.pod_namespace.clone()],
        };
        log::info!(namespaces = start.join(","); "namespaces are watched one by one");
        let wanted: Vec<String> = self.stoppable.keys().chain(&self.reviewing).cloned().collect();
        for namespace in start {
            self.follow(Scope::Namespace(namespace.clone()), true);
            self.review(namespace);
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
            followed.wanted_at = Instant::now();
            followed.ready = false;
            self.announce(&scope);
        } else if self.shared.settings.watch_namespaces.is_some() {
            let message = "the namespace is not listed in WATCH_NAMESPACES of this worker".to_owned();
            self.refused(namespace, message);
        } else if self.followed.len() >= NAMESPACES_MAX {
            let message = format!(
                "this worker watches {NAMESPACES_MAX} namespaces one by one and takes no more: grant list and watch on jobs and pods in the whole cluster"
            );
            self.refused(namespace, message);
        } else {
            self.follow(scope, false);
            self.review(namespace);
        }
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
        let unwanted = !followed.kept && now.duration_since(followed.wanted_at) >= WANTED;
        let due = followed
            .refusal_reported
            .is_none_or(|last| now.duration_since(last) >= REPORT_EVERY);
        if due {
            followed.refusal_reported = Some(now);
            self.refused(namespace.to_owned(), message);
        }
        if unwanted {
            log::info!(namespace; "a namespace that may not be watched, and that no task wants, is given up");
            self.followed.remove(scope);
        }
    }

    /// Says that a namespace is ready, where it has become so.
    fn announce(&mut self, scope: &Scope) {
        let Some(followed) = self.followed.get_mut(scope).filter(|f| f.watching()) else {
            return;
        };
        followed.refused_since = None;
        followed.refusal_reported = None;
        let Some(namespace) = scope.namespace() else {
            return;
        };
        match self.stoppable.get(namespace) {
            Some(&stoppable) if !followed.ready => {
                followed.ready = true;
                self.ready(namespace.to_owned(), stoppable);
            }
            Some(_) => {}
            None => self.review(namespace.to_owned()),
        }
    }

    fn sync(&mut self) {
        let kept = || self.followed.values().filter(|followed| followed.kept);
        if !self.synced && kept().all(Followed::settled) {
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
