//! Turns what a list or watch yields into reports, and tells the scopes how far it is.
//!
//! It remembers nothing but the ids of a list that is under way. Started by the scopes: one for Jobs and one for pods of a scope.

use super::observe::job_facts;
use super::pods::pod_facts;
use super::scopes::{Kind, Progress, Signal};
use super::watch::{Notice, follow};
use super::wire::{Job, Pod};
use super::{Report, Scope, Shared};
use engine::{Event, JobDeleted};
use engine::{TaskId, Uid};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Follows the Jobs of a scope; `listed` opens the way for its pods.
pub(super) async fn jobs(
    shared: Arc<Shared>,
    scope: Scope,
    signals: mpsc::UnboundedSender<Signal>,
    listed: oneshot::Sender<()>,
) {
    let mut listed = Some(listed);
    let mut found = BTreeSet::new();
    let tell = teller(&scope, Kind::Jobs, signals);
    follow::<Job>(&shared, &scope, |notice| match notice {
        Notice::Listing => found.clear(),
        Notice::Page(page) => {
            for job in &page {
                found.extend(report_job(&shared, job, false));
            }
        }
        Notice::Listed { began_at } => {
            if !found.is_empty() {
                tell(Progress::Occupied);
            }
            shared.reports.send(Report::Relisted {
                scope: scope.clone(),
                jobs: std::mem::take(&mut found),
                began_at,
            });
            tell(Progress::Listed);
            if let Some(listed) = listed.take()
                && listed.send(()).is_err()
            {
                log::debug!("the pods of this scope are followed no more");
            }
        }
        Notice::Watching => tell(Progress::Watching),
        Notice::Changed(job) => {
            report_job(&shared, &job, false);
        }
        Notice::Deleted(job) => {
            report_job(&shared, &job, true);
        }
        Notice::Refused(message) => tell(Progress::Refused(message)),
    })
    .await;
}

/// Follows the pods of a scope, once its Jobs were listed.
pub(super) async fn pods(
    shared: Arc<Shared>,
    scope: Scope,
    signals: mpsc::UnboundedSender<Signal>,
    jobs_listed: oneshot::Receiver<()>,
) {
    if jobs_listed.await.is_err() {
        return;
    }
    let tell = teller(&scope, Kind::Pods, signals);
    follow::<Pod>(&shared, &scope, |notice| match notice {
        Notice::Listing => {}
        Notice::Page(page) => {
            // The oldest first: after a loss of writes the same pod is told as the first to start.
            let mut page = page;
            page.sort_by(|a, b| {
                (a.metadata.creation_timestamp, &a.metadata.name)
                    .cmp(&(b.metadata.creation_timestamp, &b.metadata.name))
            });
            for pod in &page {
                report_pod(&shared, pod, false);
            }
        }
        Notice::Listed { .. } => tell(Progress::Listed),
        Notice::Watching => tell(Progress::Watching),
        Notice::Changed(pod) => report_pod(&shared, &pod, false),
        Notice::Deleted(pod) => report_pod(&shared, &pod, true),
        Notice::Refused(message) => tell(Progress::Refused(message)),
    })
    .await;
}

fn teller(scope: &Scope, kind: Kind, signals: mpsc::UnboundedSender<Signal>) -> impl Fn(Progress) + use<> {
    let scope = scope.clone();
    move |progress| {
        let signal = Signal::Feed {
            scope: scope.clone(),
            kind,
            progress,
        };
        if signals.send(signal).is_err() {
            log::debug!("the scopes have ended");
        }
    }
}

fn report_job(shared: &Shared, job: &Job, deleted: bool) -> Option<TaskId> {
    let mut observed = job_facts(&shared.ours, job)?;
    if deleted {
        observed.facts.push(Event::JobDeleted(JobDeleted {
            uid: Uid::new(job.metadata.uid.as_str()),
        }));
    }
    let task = observed.task.clone();
    shared.reports.send(Report::Job {
        task: observed.task,
        facts: observed.facts,
        adoption: observed.adoption,
    });
    Some(task)
}

fn report_pod(shared: &Shared, pod: &Pod, deleted: bool) {
    let Some((task, mut facts)) = pod_facts(&shared.ours, pod) else {
        return;
    };
    if deleted {
        facts.retain(|fact| !matches!(fact, Event::PodWaiting(_)));
    }
    shared.reports.send(Report::Facts { task, facts });
}
