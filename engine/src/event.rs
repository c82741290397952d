//! What adapters report: facts, each seen by somebody outside, never a wish.
//!
//! One observation may yield several facts; they are stepped in the order in which they came. A fact
//! about a Job carries its uid, so that another Job of the same name cannot be mistaken for ours.

use crate::code::Failure;
use crate::id::Digest;
use crate::spec::Spec;
use crate::time::Timestamp;
use crate::uid::Uid;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A fact about one task.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A message was taken from the queue; begins a task.
    Taken(Arc<Spec>),
    /// A Job of ours was found that no task and no tombstone knows; begins a task.
    Adopted(Box<Adopted>),
    /// A create slot is free for this task.
    Granted(Granted),
    /// The task's namespace is closed: creates there are refused.
    Held(Refusal),
    /// The task's namespace is open again.
    Released(Released),
    /// The closed namespace refused once more.
    StillRefused(Refusal),
    /// A new leader loaded the task.
    TookOver(TookOver),
    /// The deadline of the state has passed.
    Woke(Woke),
    /// The Job exists: a 201, a 409 with our labels, a list or watch event, or a pod that it owns.
    JobSeen(JobSeen),
    /// The create request did not yield a Job.
    CreateFailed(CreateFailed),
    /// An earlier stop wrote its verdict to the Job.
    JobJudged(JobJudged),
    /// The Job has condition Complete or Failed.
    JobEnded(JobEnded),
    /// The watch said DELETED.
    JobDeleted(JobDeleted),
    /// A consistent list does not hold the Job.
    JobMissing(JobMissing),
    /// A container of a pod of the Job runs, or has ended after a real start.
    PodStarted(PodStarted),
    /// A pod of the Job cannot start for now.
    PodWaiting(PodWaiting),
    /// A pod of the Job ended other than well.
    PodFailed(PodFailed),
    /// A fresh look at Job and pods is complete; its other facts came before.
    Looked(Looked),
    /// A fresh look did not succeed.
    LookFailed(LookFailed),
    /// The API server does not allow a fresh look.
    LookRefused(LookRefused),
    /// The request that stops the Job was answered.
    StopAnswered(StopAnswered),
    /// The request that sets the Job's TTL was answered.
    TtlAnswered(TtlAnswered),
    /// The task made the worker fail too often.
    SetAside(SetAside),
    /// An operator wants it to end.
    Cancelled(Cancelled),
}

/// Says that the task's namespace is open again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Released;

/// Says that a new leader loaded the task: a request of the former one may still be under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TookOver;

/// Says that a deadline has passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Woke;

/// Says that a consistent list does not hold the Job.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct JobMissing;

/// Says that a fresh look did not succeed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LookFailed;

/// Says that the API server does not allow a fresh look.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LookRefused {
    /// Its words.
    pub message: String,
}

/// Gives a create slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Granted {
    /// `patch` on Jobs is granted in the namespace: the Job can be stopped, its TTL set later.
    pub stoppable: bool,
}

/// A Job without a task.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Adopted {
    /// What the Job's annotations say of the task.
    pub spec: Arc<Spec>,
    /// The Job.
    pub job: JobSeen,
}

/// What was seen of a Job that carries our labels and the task's id.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct JobSeen {
    /// `metadata.uid`.
    pub uid: Uid,
    /// The digest in its annotation.
    pub digest: Digest,
    /// When the message was taken for which it was created: tells the incarnations of one id apart.
    pub received_at: Timestamp,
    /// `metadata.creationTimestamp`.
    pub created_at: Timestamp,
    /// When condition Complete or Failed came; `None` while unfinished.
    pub ended_at: Option<Timestamp>,
    /// `spec.suspend`.
    pub suspended: bool,
    /// It was created to be stopped, and given its TTL, by a patch.
    pub stoppable: bool,
    /// Only a pod was seen that it owns; `created_at`, `ended_at`, `suspended` and `stoppable` say nothing.
    pub by_pod: bool,
}

/// How a create request came to no Job.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct CreateFailed {
    /// The class of the answer.
    pub why: CreateFailure,
    /// The API server's own words, or what kept it from answering.
    pub message: String,
    /// `Retry-After`, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// The classes of a create request without a Job.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum CreateFailure {
    /// No answer, or one that leaves open whether the Job was made (timeout, reset, 5xx).
    Unknown,
    /// Not made; the server asks for patience or a fresh token (429, 401), or the request was not begun.
    Deferred,
    /// Not made: refused for good (400, 404 namespace, 413, 422, admission).
    Refused,
    /// Not made: a permission is missing (403).
    Forbidden,
    /// Not made: the quota is spent (403).
    Quota,
    /// Not made: the name belongs to a Job that is not ours (409).
    NameTaken,
}

/// Why a namespace is closed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// What closed it.
    pub why: RefusalKind,
    /// The API server's own words.
    pub message: String,
}

/// The refusals that concern a whole namespace.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum RefusalKind {
    /// A permission is missing.
    Forbidden,
    /// The quota is spent.
    Quota,
}

/// A verdict found on a Job; it comes before whatever the Job's conditions say.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct JobJudged {
    /// The Job's uid.
    pub uid: Uid,
    /// The verdict.
    pub failure: Failure,
}

/// The end of a Job.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct JobEnded {
    /// The Job's uid.
    pub uid: Uid,
    /// How it ended.
    pub end: JobEnd,
}

/// The terminal condition of a Job.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum JobEnd {
    /// Condition Complete.
    Complete {
        /// Whole seconds from startTime to completionTime.
        duration_secs: u64,
    },
    /// Condition Failed.
    Failed {
        /// The condition's reason, such as `BackoffLimitExceeded`.
        reason: String,
        /// The condition's message.
        message: String,
    },
}

/// A Job that the watch reported deleted.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct JobDeleted {
    /// The Job's uid.
    pub uid: Uid,
}

/// A pod that has started.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PodStarted {
    /// The uid of the Job that owns it.
    pub job: Uid,
    /// The pod's uid.
    pub uid: Uid,
    /// The pod's name.
    pub name: String,
}

/// A pod that waits for something.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PodWaiting {
    /// The uid of the Job that owns it.
    pub job: Uid,
    /// What it waits for.
    pub waiting: Waiting,
}

/// What keeps a pod from starting.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The class.
    pub kind: WaitingKind,
    /// Kubernetes' reason, such as `ImagePullBackOff`.
    pub reason: String,
    /// Kubernetes' message.
    pub message: String,
}

/// The classes of what a pod waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum WaitingKind {
    /// No node takes it.
    Scheduling,
    /// The image cannot be pulled.
    Image,
    /// The image's name cannot be parsed.
    ImageName,
    /// A ConfigMap, a Secret or a key of one is missing, or the container's configuration is invalid.
    Config,
    /// Something else: a volume, the sandbox, the container being made.
    Other,
}

/// A pod that ended other than well.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PodFailed {
    /// The uid of the Job that owns it.
    pub job: Uid,
    /// What it left behind.
    pub end: PodEnd,
}

/// What a failed pod says of its end.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PodEnd {
    /// The pod's uid.
    pub uid: Uid,
    /// The reason of condition DisruptionTarget, where it is true, with its message.
    pub disruption: Option<String>,
    /// The container that ended, where one did.
    pub container: Option<ContainerEnd>,
    /// `status.reason` and `status.message` of the pod, where given (`Evicted`, …).
    pub pod_reason: Option<String>,
}

/// How a container ended.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ContainerEnd {
    /// The container's name.
    pub name: String,
    /// Its exit code.
    pub exit_code: i32,
    /// Kubernetes' reason, such as `Error` or `OOMKilled`.
    pub reason: String,
    /// The end of its termination message, at most `ContainerEnd::MESSAGE_MAX` bytes.
    pub message: String,
}

impl ContainerEnd {
    /// Longest termination message that is kept, in bytes.
    pub const MESSAGE_MAX: usize = 1024;
}

/// The result of a fresh look.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Looked {
    /// The uid of the Job that was found under the name; `None` where there is none (404).
    pub job: Option<Uid>,
    /// What its newest pod waits for; `None` where no pod waits.
    pub waiting: Option<Waiting>,
    /// The Job has at least one pod.
    pub has_pods: bool,
}

/// The answer to the request that stops a Job.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum StopAnswered {
    /// A verdict and the deadline are on the Job; the [`JobJudged`] before it says which verdict.
    Done,
    /// The Job changed meanwhile (409).
    Conflict,
    /// There is no such Job (404).
    Gone,
    /// The permission is missing (403).
    Forbidden,
    /// No answer that tells; it may be tried again.
    Unknown,
}

/// The answer to the request that sets a Job's TTL.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum TtlAnswered {
    /// Set, or nothing is left to set it on, or it may not be set.
    Settled,
    /// No answer that tells; it may be tried again.
    Unknown,
}

/// Says what went wrong inside the worker.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SetAside {
    /// For the operator: what failed.
    pub message: String,
}

/// An order of an operator.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Who gave it.
    pub by: String,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
}

impl Event {
    /// Returns the uid of the Job that the fact is about, where it is about one.
    pub fn job(&self) -> Option<&Uid> {
        match self {
            Self::JobJudged(e) => Some(&e.uid),
            Self::JobEnded(e) => Some(&e.uid),
            Self::JobDeleted(e) => Some(&e.uid),
            Self::PodStarted(e) => Some(&e.job),
            Self::PodWaiting(e) => Some(&e.job),
            Self::PodFailed(e) => Some(&e.job),
            Self::JobSeen(e) => Some(&e.uid),
            Self::Taken(_)
            | Self::Adopted(_)
            | Self::Granted(_)
            | Self::Held(_)
            | Self::Released(_)
            | Self::StillRefused(_)
            | Self::TookOver(_)
            | Self::Woke(_)
            | Self::CreateFailed(_)
            | Self::JobMissing(_)
            | Self::Looked(_)
            | Self::LookFailed(_)
            | Self::LookRefused(_)
            | Self::StopAnswered(_)
            | Self::TtlAnswered(_)
            | Self::SetAside(_)
            | Self::Cancelled(_) => None,
        }
    }
}
