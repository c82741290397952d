//! From the objects of the modelled cluster to the reports that the real adapter sends.
//!
//! The translation is the adapter's own source: the files are compiled in here a second time, since it keeps them to itself.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "not every part of the adapter's own files is needed here"
)]

use crate::kube::{self, PodState};
use adapters::cluster::Report;
use adapters::cluster::names::{Instance, annotation};
use adapters::cluster::{manifest, names};
use engine::{CreateFailed, Event, JobDeleted, Looked, TaskId, Timestamp, Uid};

#[path = "../../src/cluster/observe.rs"]
mod observe;
#[path = "../../src/cluster/outcome.rs"]
mod outcome;
#[path = "../../src/cluster/pods.rs"]
mod pods;
#[path = "../../src/cluster/wire.rs"]
mod wire;

/// The few things that those files take from the adapter's client.
mod client {
    use super::wire::Status;
    use std::time::Duration;

    pub(super) struct Answer {
        pub(super) code: u16,
        pub(super) retry_after_ms: Option<u64>,
        pub(super) body: Vec<u8>,
    }

    impl Answer {
        pub(super) fn words(&self) -> String {
            Status::read(&self.body).map_or_else(|| format!("HTTP {}", self.code), |status| status.message)
        }
    }

    #[derive(Debug, thiserror::Error)]
    pub(super) enum Silence {
        #[error("no answer from the API server within {:.1} s", .0.as_secs_f32())]
        Timeout(Duration),
    }

    pub(super) fn cut(text: &str) -> String {
        text.to_owned()
    }

    pub(super) fn boundary(text: &str, at: usize) -> usize {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// Translates for one instance.
pub(crate) struct Wired {
    ours: observe::Ours,
}

impl Wired {
    pub(crate) fn new(instance: &Instance) -> Self {
        Self {
            ours: observe::Ours::new(instance),
        }
    }

    /// What a list or watch says of a Job, as `feed::report_job`.
    pub(crate) fn job_report(&self, job: &kube::Job, deleted: bool) -> Option<Report> {
        let mut observed = observe::job_facts(&self.ours, &wire_job(job))?;
        if deleted {
            observed.facts.push(Event::JobDeleted(JobDeleted {
                uid: Uid::new(job.uid.as_str()),
            }));
        }
        Some(Report::Job {
            task: observed.task,
            facts: observed.facts,
            adoption: observed.adoption,
        })
    }

    /// What a Job says, with the task that it belongs to.
    pub(crate) fn job_facts(&self, job: &kube::Job) -> Option<(TaskId, Vec<Event>)> {
        let observed = observe::job_facts(&self.ours, &wire_job(job))?;
        Some((observed.task, observed.facts))
    }

    /// What a list or watch says of a pod, as `feed::report_pod`.
    pub(crate) fn pod_report(&self, pod: &kube::Pod, deleted: bool) -> Option<Report> {
        let (task, mut facts) = pods::pod_facts(&self.ours, &wire_pod(pod))?;
        if deleted {
            facts.retain(|fact| !matches!(fact, Event::PodWaiting(_)));
        }
        Some(Report::Facts { task, facts })
    }

    /// What a fresh look finds, as `look::facts`; `pods` may have been listed later than the Job was read.
    pub(crate) fn look(
        &self,
        task: &TaskId,
        known: Option<&Uid>,
        job: Option<&kube::Job>,
        pods: &[kube::Pod],
    ) -> Vec<Event> {
        let mut pods: Vec<&kube::Pod> = pods.iter().collect();
        pods.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        let wired: Vec<wire::Pod> = pods.iter().map(|pod| wire_pod(pod)).collect();
        let mut facts = Vec::new();
        if let Some(job) = job {
            match self.job_facts(job) {
                Some((owner, seen)) if owner == *task => facts.extend(seen),
                Some(_) | None if known.is_some_and(|uid| *uid == Uid::new(&job.uid)) => {
                    facts.extend(observe::end_facts(&wire_job(job)));
                }
                Some(_) | None => {}
            }
        }
        for pod in &wired {
            if let Some((owner, seen)) = pods::pod_facts(&self.ours, pod)
                && owner == *task
            {
                facts.extend(seen);
            }
        }
        let job = job.map(|job| Uid::new(job.uid.as_str()));
        let owned: Vec<&wire::Pod> = wired
            .iter()
            .filter(|pod| job.is_none() || pods::job_of(pod) == job)
            .collect();
        let unstarted = owned.iter().rev().find(|pod| !pods::started(pod));
        facts.push(Event::Looked(Looked {
            waiting: unstarted.and_then(|pod| pods::waiting(pod)),
            has_pods: !owned.is_empty(),
            job,
        }));
        facts
    }
}

/// What an answer to a create means; `None`: the name is taken.
pub(crate) fn create_answer(
    code: u16,
    message: &str,
    kind: &str,
    retry_after_ms: Option<u64>,
) -> Option<CreateFailed> {
    let reason = match code {
        409 => "AlreadyExists",
        403 => "Forbidden",
        404 => "NotFound",
        422 => "Invalid",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let body = serde_json::json!({
        "kind": "Status", "message": message, "reason": reason, "details": {"kind": kind}, "code": code,
    });
    let answer = client::Answer {
        code,
        retry_after_ms,
        body: body.to_string().into_bytes(),
    };
    match outcome::of_answer(&answer) {
        outcome::Outcome::Made | outcome::Outcome::Exists => None,
        outcome::Outcome::Failed(failed) => Some(failed),
    }
}

/// What silence means.
pub(crate) fn create_silence(ms: u64) -> CreateFailed {
    outcome::of_silence(&client::Silence::Timeout(std::time::Duration::from_millis(ms)))
}

/// The API server's times are whole seconds.
const fn seconds(ms: u64) -> Timestamp {
    Timestamp(ms / 1000 * 1000)
}

fn metadata(
    name: &str,
    namespace: &str,
    uid: &str,
    created: u64,
    label: Option<&String>,
    annotations: &std::collections::BTreeMap<String, String>,
) -> wire::Metadata {
    let read = |key: &str| annotations.get(key).cloned();
    wire::Metadata {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: uid.to_owned(),
        creation_timestamp: Some(seconds(created)),
        labels: wire::Labels {
            instance: label.cloned(),
        },
        annotations: wire::Annotations {
            instance: read(annotation::INSTANCE),
            id: read(annotation::ID),
            digest: read(annotation::DIGEST),
            webhook: read(annotation::WEBHOOK),
            service: read(annotation::SERVICE),
            received_at: read(annotation::RECEIVED_AT),
            limits: read(annotation::LIMITS),
            traceparent: read(annotation::TRACEPARENT),
            verdict: read(annotation::VERDICT),
        },
        ..wire::Metadata::default()
    }
}

fn wire_job(job: &kube::Job) -> wire::Job {
    let mut meta = metadata(
        &job.name,
        &job.namespace,
        &job.uid,
        job.created,
        job.label.as_ref(),
        &job.annotations,
    );
    meta.deletion_timestamp = job.deleting.map(seconds);
    let conditions = job
        .end
        .iter()
        .map(|end| wire::Condition {
            r#type: if end.complete { "Complete" } else { "Failed" }.to_owned(),
            status: "True".to_owned(),
            reason: end.reason.clone(),
            message: end.message.clone(),
            last_transition_time: Some(seconds(end.at)),
        })
        .collect();
    wire::Job {
        metadata: meta,
        spec: wire::JobSpec {
            suspend: Some(job.suspended),
        },
        status: wire::JobStatus {
            start_time: job.started.map(seconds),
            completion_time: job
                .end
                .as_ref()
                .filter(|end| end.complete)
                .map(|end| seconds(end.at)),
            conditions,
        },
    }
}

fn wire_pod(pod: &kube::Pod) -> wire::Pod {
    let mut meta = metadata(
        &pod.name,
        &pod.namespace,
        &pod.uid,
        pod.created,
        Some(&pod.label),
        &pod.annotations,
    );
    meta.owner_references = vec![wire::OwnerReference {
        kind: "Job".to_owned(),
        uid: pod.job.clone(),
        controller: Some(true),
    }];
    meta.deletion_timestamp = pod.deleting.map(seconds);
    wire::Pod {
        metadata: meta,
        spec: wire::PodSpec {
            node_name: "n1".to_owned(),
        },
        status: wire_pod_status(pod),
    }
}

fn wire_pod_status(pod: &kube::Pod) -> wire::PodStatus {
    let mut status = wire::PodStatus::default();
    let mut state = wire::ContainerState::default();
    match &pod.state {
        PodState::Unplaced => {
            status.phase = "Pending".to_owned();
            status.conditions.push(wire::Condition {
                r#type: "PodScheduled".to_owned(),
                status: "False".to_owned(),
                reason: "Unschedulable".to_owned(),
                message: "0/1 nodes are available".to_owned(),
                last_transition_time: None,
            });
        }
        PodState::Waiting(reason) => {
            status.phase = "Pending".to_owned();
            state.waiting = Some(wire::Because {
                reason: (*reason).to_owned(),
                message: String::new(),
            });
        }
        PodState::Running { .. } => {
            status.phase = "Running".to_owned();
            state.running = Some(wire::Running {});
        }
        PodState::Ended {
            began,
            at,
            exit,
            reason,
        } => {
            status.phase = if *exit == 0 { "Succeeded" } else { "Failed" }.to_owned();
            state.terminated = Some(wire::Terminated {
                exit_code: *exit,
                reason: (*reason).to_owned(),
                message: String::new(),
                started_at: began.map(seconds),
                finished_at: Some(seconds(*at)),
            });
        }
    }
    if pod.disrupted {
        status.conditions.push(wire::Condition {
            r#type: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
            reason: "PreemptionByScheduler".to_owned(),
            message: String::new(),
            last_transition_time: None,
        });
    }
    if !matches!(pod.state, PodState::Unplaced) {
        status.container_statuses.push(wire::ContainerStatus {
            name: "main".to_owned(),
            state,
            last_state: wire::ContainerState::default(),
        });
    }
    status
}
