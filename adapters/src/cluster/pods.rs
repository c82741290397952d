//! From a pod on the wire to facts. Pure.
//!
//! It never weighs evidence: a pod that was disrupted and ran out of memory says both. Called by the watch and the look.

use super::client::boundary;
use super::observe::Ours;
use super::wire::{Condition, ContainerState, ContainerStatus, Pod, Terminated};
use engine::Timestamp;
use engine::{ContainerEnd, Event, JobSeen, PodEnd, PodFailed, PodStarted, PodWaiting, Waiting, WaitingKind};
use engine::{TaskId, Uid};

/// Reasons of a terminated container that never ran.
const NEVER_RAN: [&str; 4] = [
    "StartError",
    "ContainerCannotRun",
    "ContainerStatusUnknown",
    "ContainerCreateError",
];

/// Longest message of a waiting or disrupted pod that is kept, in bytes.
const MESSAGE_MAX: usize = 1024;

/// Reads a pod: `JobSeen` of its Job, then whether it started, waits or failed; `None` where it is not this instance's.
pub(super) fn pod_facts(ours: &Ours, pod: &Pod) -> Option<(TaskId, Vec<Event>)> {
    let owner = ours.owner_of(&pod.metadata)?;
    let job = job_of(pod)?;
    let mut facts = vec![Event::JobSeen(JobSeen {
        uid: job.clone(),
        digest: owner.digest,
        received_at: owner.received_at,
        created_at: Timestamp::default(),
        ended_at: None,
        suspended: false,
        by_pod: true,
    })];
    if started(pod) {
        facts.push(Event::PodStarted(PodStarted {
            job: job.clone(),
            uid: Uid::new(pod.metadata.uid.as_str()),
            name: pod.metadata.name.clone(),
        }));
    }
    if let Some(waiting) = waiting(pod).filter(is_problem) {
        facts.push(Event::PodWaiting(PodWaiting {
            job: job.clone(),
            waiting,
        }));
    }
    if let Some(end) = end(pod) {
        facts.push(Event::PodFailed(PodFailed { job, end }));
    }
    Some((owner.task, facts))
}

/// Returns the uid of the Job that controls the pod.
pub(super) fn job_of(pod: &Pod) -> Option<Uid> {
    pod.metadata
        .owner_references
        .iter()
        .find(|owner| owner.kind == "Job" && owner.controller == Some(true))
        .map(|owner| Uid::new(owner.uid.as_str()))
}

/// Tells whether a container of the pod runs, or ended after a real start; init containers do not count.
pub(super) fn started(pod: &Pod) -> bool {
    pod.status
        .container_statuses
        .iter()
        .flat_map(|container| [&container.state, &container.last_state])
        .any(ran)
}

/// Returns what a pod waits for that has not started; `None` where it waits for nothing or is being deleted.
pub(super) fn waiting(pod: &Pod) -> Option<Waiting> {
    let pending = pod.status.phase.is_empty() || pod.status.phase == "Pending";
    if !pending || pod.metadata.deletion_timestamp.is_some() || started(pod) {
        return None;
    }
    let containers = pod
        .status
        .init_container_statuses
        .iter()
        .chain(&pod.status.container_statuses);
    let mut first = None;
    for because in containers.filter_map(|container| container.state.waiting.as_ref()) {
        let waiting = Waiting {
            kind: kind_of(&because.reason),
            reason: because.reason.clone(),
            message: head(&because.message, MESSAGE_MAX),
        };
        if is_problem(&waiting) {
            return Some(waiting);
        }
        first.get_or_insert(waiting);
    }
    let unscheduled = pod
        .status
        .conditions
        .iter()
        .find(|condition| condition.r#type == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        return Some(Waiting {
            kind: WaitingKind::Scheduling,
            reason: condition.reason.clone(),
            message: head(&condition.message, MESSAGE_MAX),
        });
    }
    let mut waiting = first.unwrap_or_else(|| Waiting {
        kind: WaitingKind::Other,
        reason: "Pending".to_owned(),
        message: String::new(),
    });
    if waiting.message.is_empty() {
        waiting.message = circumstances(pod);
    }
    Some(waiting)
}

/// Tells whether it is worth a fact of its own, rather than a step on the way to every start.
fn is_problem(waiting: &Waiting) -> bool {
    match waiting.kind {
        WaitingKind::Image | WaitingKind::ImageName | WaitingKind::Config => true,
        WaitingKind::Scheduling => waiting.reason == "Unschedulable",
        WaitingKind::Other => {
            matches!(
                waiting.reason.as_str(),
                "CreateContainerError" | "RunContainerError" | "CrashLoopBackOff"
            )
        }
    }
}

/// Sorts the kubelet's waiting reasons (`pkg/kubelet/images/types.go`, `pkg/kubelet/container/sync_result.go`).
fn kind_of(reason: &str) -> WaitingKind {
    match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => WaitingKind::Image,
        "InvalidImageName" => WaitingKind::ImageName,
        "CreateContainerConfigError" => WaitingKind::Config,
        _ => WaitingKind::Other,
    }
}

fn circumstances(pod: &Pod) -> String {
    let node = &pod.spec.node_name;
    if node.is_empty() {
        return "no scheduler has placed the pod yet".to_owned();
    }
    let sandbox = pod
        .status
        .conditions
        .iter()
        .find(|condition| condition.r#type == "PodReadyToStartContainers");
    match sandbox.map(|condition| condition.status.as_str()) {
        Some("False") => {
            format!("on node {node}; its volumes, sandbox or network are not ready")
        }
        Some(_) => format!("on node {node}; its sandbox is ready, its container is not"),
        None => format!("on node {node}"),
    }
}

/// Returns what the pod left behind, where it ended other than well.
fn end(pod: &Pod) -> Option<PodEnd> {
    let status = &pod.status;
    let container = first_failed(&status.container_statuses)
        .or_else(|| first_failed(&status.init_container_statuses))
        .map(|(container, end)| ContainerEnd {
            name: container.name.clone(),
            exit_code: end.exit_code,
            reason: end.reason.clone(),
            message: tail(&end.message, ContainerEnd::MESSAGE_MAX),
        });
    let disruption = status
        .conditions
        .iter()
        .find(|condition| condition.holds("DisruptionTarget"))
        .filter(|_| status.phase != "Succeeded");
    if status.phase != "Failed" && container.is_none() && disruption.is_none() {
        return None;
    }
    Some(PodEnd {
        uid: Uid::new(pod.metadata.uid.as_str()),
        disruption: disruption.map(in_words),
        container,
        pod_reason: join(&status.reason, &status.message),
    })
}

fn first_failed(containers: &[ContainerStatus]) -> Option<(&ContainerStatus, &Terminated)> {
    containers
        .iter()
        .filter_map(|container| Some((container, container.state.terminated.as_ref()?)))
        .filter(|(_, end)| end.exit_code != 0 || end.reason == "OOMKilled")
        .min_by_key(|(_, end)| end.finished_at.unwrap_or(Timestamp(u64::MAX)))
}

/// The kubelet gives a container that never ran no start, or the epoch.
fn ran(state: &ContainerState) -> bool {
    let ended = state.terminated.as_ref().is_some_and(|end| {
        !NEVER_RAN.contains(&end.reason.as_str())
            && end.started_at.is_some_and(|at| at > Timestamp::default())
    });
    state.running.is_some() || ended
}

fn in_words(condition: &Condition) -> String {
    join(&condition.reason, &condition.message).unwrap_or_default()
}

fn join(reason: &str, message: &str) -> Option<String> {
    match (reason.is_empty(), message.is_empty()) {
        (true, true) => None,
        (false, true) => Some(reason.to_owned()),
        (true, false) => Some(head(message, MESSAGE_MAX)),
        (false, false) => Some(format!("{reason}: {}", head(message, MESSAGE_MAX))),
    }
}

/// Keeps the first `max` bytes at most.
fn head(text: &str, max: usize) -> String {
    text[..boundary(text, max)].to_owned()
}

/// Keeps the last `max` bytes at most, without the line break at the end.
fn tail(text: &str, max: usize) -> String {
    let text = text.trim_end();
    let mut begin = text.len().saturating_sub(max);
    while !text.is_char_boundary(begin) {
        begin += 1;
    }
    text[begin..].to_owned()
}
