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
        stoppable: false,
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
    let over = |container: &ContainerStatus| container.state.terminated.is_some();
    if !pending
        || pod.metadata.deletion_timestamp.is_some()
        || started(pod)
        || pod.status.container_statuses.iter().any(over)
    {
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

#[cfg(test)]
mod tests {
    use super::super::names::Instance;
    use super::*;
    use engine::Digest;

    macro_rules! fixture {
        ($name:literal) => {
            serde_json::from_str::<Pod>(include_str!(concat!(
                "../../../fixtures/cluster/",
                $name,
                ".json"
            )))
            .unwrap()
        };
    }

    fn ours() -> Ours {
        Ours::new(&Instance {
            namespace: "jobs".to_owned(),
            lock_name: "job-worker-lock".to_owned(),
        })
    }

    /// The facts without the `JobSeen` that comes first, which is checked here.
    fn facts(pod: &Pod) -> Vec<Event> {
        let (task, mut facts) = pod_facts(&ours(), pod).unwrap();
        let id = pod.metadata.annotations.id.as_deref().unwrap();
        assert_eq!(task.as_str(), id);
        let digest = pod.metadata.annotations.digest.as_deref().unwrap();
        let seen = Event::JobSeen(JobSeen {
            uid: job_of(pod).unwrap(),
            digest: Digest::from_hex(digest).unwrap(),
            received_at: Timestamp(1_795_502_400_123),
            created_at: Timestamp(0),
            ended_at: None,
            suspended: false,
            stoppable: false,
            by_pod: true,
        });
        assert_eq!(facts.remove(0), seen);
        facts
    }

    fn start_of(pod: &Pod) -> Event {
        Event::PodStarted(PodStarted {
            job: job_of(pod).unwrap(),
            uid: Uid::new(pod.metadata.uid.as_str()),
            name: pod.metadata.name.clone(),
        })
    }

    fn wait_of(pod: &Pod, kind: WaitingKind, reason: &str, message: &str) -> Event {
        Event::PodWaiting(PodWaiting {
            job: job_of(pod).unwrap(),
            waiting: Waiting {
                kind,
                reason: reason.to_owned(),
                message: message.to_owned(),
            },
        })
    }

    fn failure_of(pod: &Pod, disruption: Option<&str>, container: Option<ContainerEnd>) -> Event {
        Event::PodFailed(PodFailed {
            job: job_of(pod).unwrap(),
            end: PodEnd {
                uid: Uid::new(pod.metadata.uid.as_str()),
                disruption: disruption.map(str::to_owned),
                container,
                pod_reason: None,
            },
        })
    }

    fn container(exit_code: i32, reason: &str, message: &str) -> Option<ContainerEnd> {
        Some(ContainerEnd {
            name: "example".to_owned(),
            exit_code,
            reason: reason.to_owned(),
            message: message.to_owned(),
        })
    }

    #[test]
    fn steps_on_the_way_to_every_start_are_no_facts() {
        assert_eq!(facts(&fixture!("pod-pending-unplaced")), []);
        assert_eq!(facts(&fixture!("pod-container-creating")), []);
    }

    #[test]
    fn a_look_says_them() {
        let pod = fixture!("pod-pending-unplaced");
        let expected = Waiting {
            kind: WaitingKind::Other,
            reason: "Pending".to_owned(),
            message: "no scheduler has placed the pod yet".to_owned(),
        };
        assert_eq!(waiting(&pod), Some(expected));
        let pod = fixture!("pod-container-creating");
        let expected = Waiting {
            kind: WaitingKind::Other,
            reason: "ContainerCreating".to_owned(),
            message: "on node k8s-node-1; its volumes, sandbox or network are not ready".to_owned(),
        };
        assert_eq!(waiting(&pod), Some(expected));
    }

    #[test]
    fn problems_are_sorted_by_what_the_pod_waits_for() {
        let pod = fixture!("pod-unschedulable");
        let message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
        let expected = wait_of(&pod, WaitingKind::Scheduling, "Unschedulable", message);
        assert_eq!(facts(&pod), [expected]);

        let pod = fixture!("pod-image-name");
        let message = "Failed to apply default image tag \"Bad::Name\": couldn't parse image name \"Bad::Name\": invalid reference format: repository name (library/Bad) must be lowercase";
        let expected = wait_of(&pod, WaitingKind::ImageName, "InvalidImageName", message);
        assert_eq!(facts(&pod), [expected]);

        let pod = fixture!("pod-config-error");
        let message = "configmap \"no-such-map\" not found";
        let expected = wait_of(&pod, WaitingKind::Config, "CreateContainerConfigError", message);
        assert_eq!(facts(&pod), [expected]);

        let pod = fixture!("pod-image-never-pull");
        let message = "Container image \"busybox:none\" is not present with pull policy of Never";
        let expected = wait_of(&pod, WaitingKind::Image, "ErrImageNeverPull", message);
        assert_eq!(facts(&pod), [expected]);
    }

    #[test]
    fn a_long_reason_is_kept_up_to_its_bound() {
        let mut pod = fixture!("pod-image-pull");
        let because = pod.status.container_statuses[0].state.waiting.as_mut().unwrap();
        assert_eq!(because.reason, "ImagePullBackOff");
        because.message = "é".repeat(MESSAGE_MAX);
        let kept = "é".repeat(MESSAGE_MAX / 2);
        let expected = wait_of(&pod, WaitingKind::Image, "ImagePullBackOff", &kept);
        assert_eq!(facts(&pod), [expected]);
    }

    #[test]
    fn a_pod_that_is_being_deleted_waits_for_nothing() {
        let mut pod = fixture!("pod-unschedulable");
        pod.metadata.deletion_timestamp = Some(Timestamp(1));
        assert_eq!(facts(&pod), []);
        assert_eq!(waiting(&pod), None);
    }

    #[test]
    fn a_running_pod_has_started() {
        let pod = fixture!("pod-running");
        assert_eq!(facts(&pod), [start_of(&pod)]);
    }

    #[test]
    fn a_pod_that_was_never_seen_running_has_started_all_the_same() {
        let pod = fixture!("pod-succeeded");
        assert_eq!(facts(&pod), [start_of(&pod)]);
    }

    #[test]
    fn a_failed_pod_says_which_container_failed_and_why() {
        let pod = fixture!("pod-exit-42");
        let end = container(42, "Error", "cannot open the ledger");
        assert_eq!(facts(&pod), [start_of(&pod), failure_of(&pod, None, end)]);

        let pod = fixture!("pod-out-of-memory");
        let end = container(137, "OOMKilled", "");
        assert_eq!(facts(&pod), [start_of(&pod), failure_of(&pod, None, end)]);
    }

    #[test]
    fn a_container_that_never_ran_is_no_start() {
        for pod in [fixture!("pod-start-error-pending"), fixture!("pod-start-error")] {
            let message = &pod.status.container_statuses[0]
                .state
                .terminated
                .as_ref()
                .unwrap()
                .message;
            let end = container(128, "StartError", message);
            assert_eq!(facts(&pod), [failure_of(&pod, None, end)]);
            assert_eq!(waiting(&pod), None);
        }
    }

    #[test]
    fn an_evicted_pod_names_the_disruption_before_and_after_its_end() {
        let disruption = "EvictionByEvictionAPI: Eviction API: evicting";
        let pod = fixture!("pod-evicting");
        let failure = failure_of(&pod, Some(disruption), None);
        assert_eq!(facts(&pod), [start_of(&pod), failure]);

        let pod = fixture!("pod-evicted");
        let failure = failure_of(&pod, Some(disruption), container(137, "Error", ""));
        assert_eq!(facts(&pod), [start_of(&pod), failure]);
    }

    #[test]
    fn a_pod_evicted_by_its_node_says_so_in_its_own_reason() {
        let mut pod = fixture!("pod-pending-unplaced");
        pod.status.phase = "Failed".to_owned();
        pod.status.reason = "Evicted".to_owned();
        pod.status.message = "The node was low on resource: memory.".to_owned();
        let mut expected = failure_of(&pod, None, None);
        if let Event::PodFailed(failed) = &mut expected {
            failed.end.pod_reason = Some("Evicted: The node was low on resource: memory.".to_owned());
        }
        assert_eq!(facts(&pod), [expected]);
    }

    #[test]
    fn out_of_memory_with_exit_code_0_is_a_failure() {
        let mut pod = fixture!("pod-succeeded");
        let end = pod.status.container_statuses[0]
            .state
            .terminated
            .as_mut()
            .unwrap();
        end.reason = "OOMKilled".to_owned();
        let failure = failure_of(&pod, None, container(0, "OOMKilled", ""));
        assert_eq!(facts(&pod), [start_of(&pod), failure]);
    }

    #[test]
    fn of_several_containers_the_first_to_fail_is_named() {
        let mut pod = fixture!("pod-exit-42");
        let mut later = pod.status.container_statuses[0].clone();
        later.name = "later".to_owned();
        let end = later.state.terminated.as_mut().unwrap();
        end.exit_code = 1;
        end.finished_at = end.finished_at.map(|at| at.plus_secs(1));
        pod.status.container_statuses.insert(0, later);
        let end = container(42, "Error", "cannot open the ledger");
        assert_eq!(facts(&pod), [start_of(&pod), failure_of(&pod, None, end)]);
    }

    #[test]
    fn of_a_long_termination_message_the_end_is_kept() {
        let mut pod = fixture!("pod-exit-42");
        let end = pod.status.container_statuses[0]
            .state
            .terminated
            .as_mut()
            .unwrap();
        end.message = format!("{}é the end\n", "x".repeat(2 * ContainerEnd::MESSAGE_MAX));
        let kept = format!("{}é the end", "x".repeat(ContainerEnd::MESSAGE_MAX - 10));
        let end = container(42, "Error", &kept);
        assert_eq!(facts(&pod), [start_of(&pod), failure_of(&pod, None, end)]);
    }

    #[test]
    fn a_pod_of_another_instance_or_without_a_job_says_nothing() {
        let ours = ours();
        let mut pod = fixture!("pod-running");
        pod.metadata.owner_references.clear();
        assert_eq!(pod_facts(&ours, &pod), None);
        let mut pod = fixture!("pod-running");
        pod.metadata.annotations.instance = Some("other/job-worker-lock".to_owned());
        assert_eq!(pod_facts(&ours, &pod), None);
        let mut pod = fixture!("pod-running");
        pod.metadata.labels.instance = None;
        assert_eq!(pod_facts(&ours, &pod), None);
    }
}
