//! The few fields of Jobs, pods and answers that facts are made of; everything else is skipped at decode.
//!
//! It never fails on a field that it does not need: unknown ones are ignored, `null` and absent are the same.
//! Called by everything that reads an answer of the API server.

use engine::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A kind of object that is listed and watched.
pub(super) trait Watched: DeserializeOwned + Send + 'static {
    /// The API group and version, as a path.
    const ROOT: &'static str;
    /// The plural name.
    const RESOURCE: &'static str;

    /// Returns the object's metadata.
    fn metadata(&self) -> &Metadata;
}

/// A Job of `batch/v1`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Job {
    #[serde(deserialize_with = "nullable")]
    pub(super) metadata: Metadata,
    #[serde(deserialize_with = "nullable")]
    pub(super) spec: JobSpec,
    #[serde(deserialize_with = "nullable")]
    pub(super) status: JobStatus,
}

impl Watched for Job {
    const ROOT: &'static str = "/apis/batch/v1";
    const RESOURCE: &'static str = "jobs";

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// A Pod of `v1`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    #[serde(deserialize_with = "nullable")]
    pub(super) metadata: Metadata,
    #[serde(deserialize_with = "nullable")]
    pub(super) spec: PodSpec,
    #[serde(deserialize_with = "nullable")]
    pub(super) status: PodStatus,
}

impl Watched for Pod {
    const ROOT: &'static str = "/api/v1";
    const RESOURCE: &'static str = "pods";

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// `metadata` of an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) resource_version: String,
    #[serde(deserialize_with = "time")]
    pub(super) creation_timestamp: Option<Timestamp>,
    #[serde(deserialize_with = "time")]
    pub(super) deletion_timestamp: Option<Timestamp>,
    #[serde(deserialize_with = "nullable")]
    pub(super) owner_references: Vec<OwnerReference>,
    #[serde(deserialize_with = "nullable")]
    pub(super) labels: Labels,
    #[serde(deserialize_with = "nullable")]
    pub(super) annotations: Annotations,
}

/// Our labels.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Labels {
    #[serde(rename = "job-worker/instance")]
    pub(super) instance: Option<String>,
}

/// Our annotations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Annotations {
    #[serde(rename = "job-worker/instance")]
    pub(super) instance: Option<String>,
    #[serde(rename = "job-worker/id")]
    pub(super) id: Option<String>,
    #[serde(rename = "job-worker/digest")]
    pub(super) digest: Option<String>,
    #[serde(rename = "job-worker/webhook")]
    pub(super) webhook: Option<String>,
    #[serde(rename = "job-worker/service")]
    pub(super) service: Option<String>,
    #[serde(rename = "job-worker/received-at")]
    pub(super) received_at: Option<String>,
    #[serde(rename = "job-worker/limits")]
    pub(super) limits: Option<String>,
    #[serde(rename = "job-worker/traceparent")]
    pub(super) traceparent: Option<String>,
    #[serde(rename = "job-worker/verdict")]
    pub(super) verdict: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OwnerReference {
    pub(super) kind: String,
    pub(super) uid: String,
    pub(super) controller: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct JobSpec {
    pub(super) suspend: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct JobStatus {
    #[serde(deserialize_with = "time")]
    pub(super) start_time: Option<Timestamp>,
    #[serde(deserialize_with = "time")]
    pub(super) completion_time: Option<Timestamp>,
    #[serde(deserialize_with = "nullable")]
    pub(super) conditions: Vec<Condition>,
}

/// A condition of a Job or a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Condition {
    pub(super) r#type: String,
    pub(super) status: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) reason: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) message: String,
    #[serde(deserialize_with = "time")]
    pub(super) last_transition_time: Option<Timestamp>,
}

impl Condition {
    /// Tells whether it is of the type and true.
    pub(super) fn holds(&self, r#type: &str) -> bool {
        self.r#type == r#type && self.status == "True"
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    #[serde(deserialize_with = "nullable")]
    pub(super) node_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodStatus {
    #[serde(deserialize_with = "nullable")]
    pub(super) phase: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) reason: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) message: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) conditions: Vec<Condition>,
    #[serde(deserialize_with = "nullable")]
    pub(super) container_statuses: Vec<ContainerStatus>,
    #[serde(deserialize_with = "nullable")]
    pub(super) init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerStatus {
    pub(super) name: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) state: ContainerState,
    #[serde(deserialize_with = "nullable")]
    pub(super) last_state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub(super) waiting: Option<Because>,
    pub(super) running: Option<Running>,
    pub(super) terminated: Option<Terminated>,
}

/// A reason with its message.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Because {
    #[serde(deserialize_with = "nullable")]
    pub(super) reason: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) message: String,
}

/// Says only that the container runs.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Running {}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Terminated {
    pub(super) exit_code: i32,
    #[serde(deserialize_with = "nullable")]
    pub(super) reason: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) message: String,
    #[serde(deserialize_with = "time")]
    pub(super) started_at: Option<Timestamp>,
    #[serde(deserialize_with = "time")]
    pub(super) finished_at: Option<Timestamp>,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "K: DeserializeOwned"))]
pub(super) struct List<K> {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) metadata: ListMetadata,
    #[serde(default = "Vec::new", deserialize_with = "nullable")]
    pub(super) items: Vec<K>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListMetadata {
    pub(super) resource_version: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) r#continue: String,
}

/// One line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct Frame<'a> {
    #[serde(borrow)]
    pub(super) r#type: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// What a bookmark carries.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Bookmark {
    pub(super) metadata: Metadata,
}

/// `metav1.Status`, the answer that is not an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    #[serde(deserialize_with = "nullable")]
    pub(super) kind: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) message: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) reason: String,
    #[serde(deserialize_with = "nullable")]
    pub(super) details: StatusDetails,
    #[serde(deserialize_with = "nullable")]
    pub(super) code: u16,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct StatusDetails {
    #[serde(deserialize_with = "nullable")]
    pub(super) kind: String,
    pub(super) retry_after_seconds: Option<u64>,
}

impl Status {
    /// Reads a Status; `None` where the body is anything else, such as a proxy's page.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(body)
            .ok()
            .filter(|status| status.kind == "Status")
    }
}

/// The answer to an access review.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccessReview {
    pub(super) status: AccessStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccessStatus {
    pub(super) allowed: bool,
}

fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads an RFC 3339 time; one that cannot be read, or lies before the epoch, counts as absent.
fn time<'de, D>(deserializer: D) -> Result<Option<Timestamp>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
    Ok(text
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .and_then(|time| u64::try_from(time.as_millisecond()).ok())
        .map(Timestamp))
}
