//! From evidence to a code and a message: pure, so that recorded evidence gives the same verdict for ever.
//!
//! Order of evidence: the Job's own reason, then a disruption of the pod, then OOM, then the exit code. An
//! exit code of 137 or 143 alone proves nothing.

use crate::code::{Code, Failure};
use crate::event::{
    Cancelled, ContainerEnd, CreateFailure, Looked, PodEnd, Refusal, RefusalKind, Waiting, WaitingKind,
};
use crate::spec::Spec;

/// The Job condition's reason when `activeDeadlineSeconds` has passed.
pub(crate) const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
/// The container's reason when the kernel killed it for its memory.
const OOM_KILLED: &str = "OOMKilled";

/// What is known of a failed Job besides its own condition.
pub(crate) struct Evidence<'a> {
    pub(crate) started: bool,
    pub(crate) pod: Option<&'a PodEnd>,
    pub(crate) waiting: Option<&'a Waiting>,
}

/// Judges a Job with condition Failed.
pub(crate) fn job_failed(reason: &str, message: &str, evidence: &Evidence<'_>, spec: &Spec) -> Failure {
    if reason == DEADLINE_EXCEEDED {
        return deadline_exceeded(evidence, spec);
    }
    let Some(pod) = evidence.pod else {
        return Failure::new(
            Code::JobFailed,
            format!("{} (no pod is left that says why)", job_says(reason, message)),
        );
    };
    if let Some(disruption) = &pod.disruption {
        return Failure::new(
            Code::JobDisrupted,
            format!(
                "A pod of the Job was disrupted: {}. The cause is the cluster, not the program; the task can be sent again.",
                unended(disruption)
            ),
        );
    }
    match &pod.container {
        Some(container) if container.reason == OOM_KILLED => Failure::new(
            Code::JobOutOfMemory,
            format!(
                "{}. The container used more memory than job.resources.limits.memory allows, or the node ran out of it.",
                ended(container)
            ),
        ),
        Some(container) if container.exit_code != 0 => {
            Failure::new(Code::JobExecutionFailed, ended(container))
        }
        Some(_) | None => Failure::new(
            Code::JobFailed,
            match &pod.pod_reason {
                Some(pod_reason) => format!("{} (pod: {pod_reason})", job_says(reason, message)),
                None => job_says(reason, message),
            },
        ),
    }
}

fn deadline_exceeded(evidence: &Evidence<'_>, spec: &Spec) -> Failure {
    let limit = spec
        .active_deadline_secs
        .map_or_else(String::new, |secs| format!(" of {secs} s"));
    let what = match (evidence.started, evidence.waiting) {
        (true, _) => {
            "a pod had started. Raise job.activeDeadlineSeconds if the program needs longer".to_owned()
        }
        (false, Some(waiting)) => format!(
            "no container had started; it was waiting: {}. {}",
            describe(waiting),
            unended(remedy(waiting.kind))
        ),
        (false, None) => "no container had started".to_owned(),
    };
    Failure::new(
        Code::JobDeadlineExceeded,
        format!("The Job's activeDeadlineSeconds{limit} has passed; {what}."),
    )
}

fn job_says(reason: &str, message: &str) -> String {
    format!("The Job failed: {reason}: {message}")
}

fn ended(container: &ContainerEnd) -> String {
    let ContainerEnd {
        name,
        exit_code,
        reason,
        message,
    } = container;
    let mut text =
        format!("Job execution failed with exit code {exit_code} (container {name}, reason {reason}");
    if let Some(hint) = hint(reason, *exit_code) {
        text.push_str(", ");
        text.push_str(hint);
    }
    text.push(')');
    if !message.is_empty() {
        text.push_str(": ");
        text.push_str(message.trim_end());
    }
    text
}

/// What a code usually means, by the conventions of shells and of the signals that end programs.
fn hint(reason: &str, exit_code: i32) -> Option<&'static str> {
    if matches!(reason, "StartError" | "ContainerCannotRun") {
        return Some("it did not start: look at job.command, job.args and job.volume");
    }
    match exit_code {
        126 => Some("usually: not executable"),
        127 => Some("usually: command not found"),
        129 => Some("the code of SIGHUP"),
        130 => Some("the code of SIGINT"),
        132 => Some("the code of SIGILL"),
        134 => Some("the code of SIGABRT"),
        135 => Some("the code of SIGBUS"),
        136 => Some("the code of SIGFPE"),
        137 if reason != OOM_KILLED => Some("the code of SIGKILL"),
        139 => Some("the code of SIGSEGV"),
        141 => Some("the code of SIGPIPE"),
        143 => Some("the code of SIGTERM"),
        _ => None,
    }
}

fn describe(waiting: &Waiting) -> String {
    if waiting.message.is_empty() {
        waiting.reason.clone()
    } else {
        format!("{}: {}", waiting.reason, unended(&waiting.message))
    }
}

/// Takes the end off a sentence of somebody else, to go on with it.
fn unended(text: &str) -> &str {
    text.trim_end().trim_end_matches('.')
}

/// Judges a Job none of whose containers started in time.
pub(crate) fn start_timeout(look: &Looked, spec: &Spec) -> Failure {
    let what = match (&look.waiting, look.has_pods) {
        (Some(waiting), false) => format!("No pod was created: {}.", describe(waiting)),
        (Some(waiting), true) => format!(
            "It was waiting for {}: {}. {}",
            subject(waiting.kind),
            describe(waiting),
            remedy(waiting.kind)
        ),
        (None, true) => "Its pod exists but says nothing of what it waits for.".to_owned(),
        (None, false) => format!(
            "No pod was created; `kubectl describe job {} -n {}` shows why (a quota, an admission rule, a missing ServiceAccount).",
            spec.job_name, spec.namespace
        ),
    };
    Failure::new(
        Code::PodStartTimeout,
        format!(
            "No container started within {} s of the Job's creation. {what}",
            spec.start_timeout_secs
        ),
    )
}

const fn subject(kind: WaitingKind) -> &'static str {
    match kind {
        WaitingKind::Scheduling => "a node",
        WaitingKind::Image => "its image",
        WaitingKind::ImageName => "a valid image name",
        WaitingKind::Config => "its configuration",
        WaitingKind::Other => "its container",
    }
}

/// Where the sender of the message finds what is wrong.
const fn remedy(kind: WaitingKind) -> &'static str {
    match kind {
        WaitingKind::Scheduling => {
            "Look at job.nodeSelector, job.toleration, job.resources, job.gpuNumber and job.volume."
        }
        WaitingKind::Image => "Look at job.image, and whether the nodes may pull it.",
        WaitingKind::ImageName => "Look at job.image.",
        WaitingKind::Config => "Look at job.envRef, and at what it names in job.namespace.",
        WaitingKind::Other => "The events of its pod say more: `kubectl describe pod`.",
    }
}

/// Judges a Job whose container can never start.
pub(crate) fn start_failed(waiting: Option<&Waiting>) -> Failure {
    let what = waiting.map_or_else(
        || "the reason is gone.".to_owned(),
        |waiting| format!("{}. {}", describe(waiting), remedy(waiting.kind)),
    );
    Failure::new(
        Code::PodStartFailed,
        format!("The container can never start: {what} Correct it and send the task again under a new id."),
    )
}

/// Adds what the client has to know of a Job that was not stopped.
pub(crate) fn left_in_place(failure: Failure, spec: &Spec) -> Failure {
    Failure::new(
        failure.code,
        format!(
            "{} The Job was left in place and may still run; delete it with `kubectl delete job {} -n {}`.",
            failure.message, spec.job_name, spec.namespace
        ),
    )
}

/// Judges a task whose end an operator has ordered.
pub(crate) fn cancelled(order: &Cancelled) -> Failure {
    let why = if order.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", order.reason.trim_end_matches('.'))
    };
    Failure::new(
        Code::TaskCancelled,
        format!("The task was cancelled by {}{why}.", order.by),
    )
}

/// Judges a Job that is gone.
pub(crate) fn gone(deleted: bool, spec: &Spec) -> Failure {
    let Spec {
        job_name, namespace, ..
    } = spec;
    if deleted {
        Failure::new(
            Code::JobDeleted,
            format!(
                "Job {namespace}/{job_name} was deleted before it ended. If it is still wanted, send the task again under a new id."
            ),
        )
    } else {
        Failure::new(
            Code::JobResultUnknown,
            format!(
                "Job {namespace}/{job_name} is gone and its end was not seen: it may have completed, failed, or been deleted."
            ),
        )
    }
}

/// Judges a Job that could not be looked at for very long.
pub(crate) fn unreadable(message: &str, spec: &Spec) -> Failure {
    let Spec {
        job_name, namespace, ..
    } = spec;
    Failure::new(
        Code::JobResultUnknown,
        format!(
            "Job {namespace}/{job_name} could not be read for a day, and its end was not seen: its namespace was deleted, or a permission was taken away: {}.",
            unended(message)
        ),
    )
}

/// Judges a task that was to end without a Job, where no look at whether there is one was allowed for very long.
pub(crate) fn unconfirmed(otherwise: &Failure, message: &str, spec: &Spec) -> Failure {
    let Spec {
        job_name, namespace, ..
    } = spec;
    Failure::new(
        Code::JobResultUnknown,
        format!(
            "A request that creates Job {namespace}/{job_name} was never answered, and for a day the API server has not allowed to look whether there is such a Job: {}. It may have been made and may run; `kubectl get job {job_name} -n {namespace}` tells. Without it the task would have ended with {}: {}",
            unended(message),
            otherwise.code,
            otherwise.message
        ),
    )
}

/// Judges a Job that may have been made, run and removed while nobody could see it.
pub(crate) fn lost(spec: &Spec) -> Failure {
    Failure::new(
        Code::JobResultUnknown,
        format!(
            "The request that creates Job {}/{} was never answered and there is no such Job: it may have run and been removed by its ttlSecondsAfterFinished, so it is not made again.",
            spec.namespace, spec.job_name
        ),
    )
}

/// Judges a name that belongs to a Job which is not ours.
pub(crate) fn name_taken(spec: &Spec) -> Failure {
    Failure::new(
        Code::JobAlreadyExists,
        format!(
            "Job {}/{} exists and does not belong to this task; it was not touched.",
            spec.namespace, spec.job_name
        ),
    )
}

/// Judges a create request that was refused.
pub(crate) fn create_failed(why: CreateFailure, message: &str, spec: &Spec) -> Failure {
    let lasting = |why| {
        let message = message.to_owned();
        refused_too_long(&Refusal { why, message }, spec)
    };
    match why {
        CreateFailure::NameTaken => name_taken(spec),
        CreateFailure::Forbidden => lasting(RefusalKind::Forbidden),
        CreateFailure::Quota => lasting(RefusalKind::Quota),
        CreateFailure::Refused | CreateFailure::Unknown | CreateFailure::Deferred => Failure::new(
            Code::JobCreateFailed,
            format!("The API server refuses the Job: {message}"),
        ),
    }
}

/// Judges a refusal that lasted too long.
pub(crate) fn refused_too_long(refusal: &Refusal, spec: &Spec) -> Failure {
    let what = match refusal.why {
        RefusalKind::Forbidden => "a permission is missing, or there is no such namespace",
        RefusalKind::Quota => "the quota is spent",
    };
    Failure::new(
        Code::JobCreateFailed,
        format!(
            "No Job can be created in namespace {}: {what}: {}",
            spec.namespace, refusal.message
        ),
    )
}
