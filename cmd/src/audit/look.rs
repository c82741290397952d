//! One look at store and cluster, from the first page to the last.

use std::collections::BTreeSet;

use adapters::clock::Clock;
use adapters::cluster::credentials;
use adapters::cluster::names::Instance;
use adapters::cluster::review::{self, Permission, Reviewer};
use adapters::driver::read_task;
use adapters::store;
use adapters::store::survey::Pages;
use engine::Timestamp;

use super::Error;
use super::finding::{Findings, Kind, Looked};
use super::jobs::Jobs;
use super::stored;
use crate::config::Config;
use crate::run::target;

/// What is compared with what.
pub(super) struct Audit<'a> {
    config: &'a Config,
    /// Namespaces that were named by hand.
    others: &'a [String],
    instance: Instance,
    reviewer: Reviewer,
    store: Pages,
}

impl<'a> Audit<'a> {
    pub(super) fn new(config: &'a Config, others: &'a [String]) -> Result<Self, Error> {
        let instance = Instance {
            namespace: config.pod_namespace.clone(),
            lock_name: config.lease.lock_name.clone(),
        };
        let mut store = Pages::new(&store::Settings {
            target: target(&config.store),
            prefix: config.store_key_prefix.clone(),
            lock: config.lease.lock_name.clone(),
            namespace: config.pod_namespace.clone(),
            pod: "audit".to_owned(),
            queue: None,
        })?;
        if let Some(owner) = store.owner()?
            && owner != instance.to_string()
        {
            return Err(Error::Owner(owner));
        }
        let kubernetes = credentials::find().map_err(|error| Error::Credentials(error.to_string()))?;
        Ok(Audit {
            reviewer: Reviewer::new(kubernetes, config.kubernetes_timeout)?,
            config,
            others,
            instance,
            store,
        })
    }

    /// Looks at everything once. Jobs come first: a task whose Job is made meanwhile is looked at again.
    pub(super) fn look(&mut self) -> Result<(Looked, Findings), Error> {
        let mut findings = Findings::default();
        let mut looked = Looked::default();
        let jobs = self.jobs(&mut findings)?;
        looked.jobs = jobs.count();
        let found = &mut findings;
        self.store.tasks(|store, page| {
            looked.tasks += page.len();
            stored::tasks(store, &page, &jobs, found)
        })?;
        self.store.outbox(|store, page| {
            looked.callbacks += page.len();
            stored::callbacks(store, &page, found)
        })?;
        self.store.tombstones(|store, page| {
            looked.tombstones += page.len();
            stored::tombstones(store, &page, found)
        })?;
        self.store
            .index(|store, page| stored::index(store, &page, found))?;
        self.store
            .messages(|store, page| stored::messages(store, &page, found))?;
        self.store.given_up(|_, page| {
            looked.callbacks_given_up += page.len();
            stored::given_up(&page, &jobs, found);
            Ok::<(), Error>(())
        })?;
        Ok((looked, findings))
    }

    fn jobs(&mut self, findings: &mut Findings) -> Result<Jobs, Error> {
        let window = u64::try_from(self.config.dedup_window.as_millis()).unwrap_or(u64::MAX);
        let adopted_from = Timestamp(Clock.now_ms().saturating_sub(window / 2));
        let mut jobs = Jobs::default();
        for scope in self.scopes()? {
            match self.scope(scope.as_deref(), &mut jobs, adopted_from, findings) {
                Ok(()) => {}
                Err(Error::Cluster(review::Error::Refused {
                    code: 403 | 404,
                    text,
                })) => {
                    let namespace = scope.unwrap_or_default();
                    findings.add(Kind::NamespaceUnreadable, &namespace, text);
                    jobs.unread.insert(namespace);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(jobs)
    }

    fn scope(
        &mut self,
        namespace: Option<&str>,
        jobs: &mut Jobs,
        adopted_from: Timestamp,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let mut token = String::new();
        loop {
            let page = self.reviewer.jobs(&self.instance, namespace, &mut token)?;
            jobs.page(&page, &mut self.store, adopted_from, findings)?;
            if token.is_empty() {
                return Ok(());
            }
        }
    }

    /// All namespaces at once where they may be listed so, else those that are known of.
    fn scopes(&mut self) -> Result<Vec<Option<String>>, Error> {
        let everywhere = Permission {
            verb: "list",
            group: "batch",
            resource: "jobs",
            namespace: None,
        };
        if self.reviewer.granted(everywhere)? {
            return Ok(vec![None]);
        }
        let mut names: BTreeSet<String> = self.others.iter().cloned().collect();
        match &self.config.watch_namespaces {
            Some(listed) => names.extend(listed.iter().cloned()),
            None => drop(names.insert(self.config.pod_namespace.clone())),
        }
        self.store.tasks(|_, page| {
            let snapshots = page.into_iter().filter_map(|task| task.snapshot);
            let tasks = snapshots.filter_map(|(version, snapshot)| read_task(&snapshot, version).ok());
            names.extend(tasks.map(|task| task.spec.namespace.clone()));
            Ok::<(), Error>(())
        })?;
        Ok(names.into_iter().map(Some).collect())
    }
}
