//! What a message asks of its Job, after every rule has been checked.
//!
//! Shown without the command, the arguments and the values of variables. The reader of messages fills it in, the manifest and
//! the digest read it.

use std::fmt;

/// What a message asks of its Job.
#[derive(Clone, PartialEq, Eq)]
pub struct JobTemplate {
    /// The start of the Job's name; a DNS label.
    pub prefix_name: String,
    /// The namespace of the Job; a DNS label.
    pub namespace: String,
    /// The image of the container.
    pub image: String,
    /// The entrypoint; empty: that of the image. Secret.
    pub command: Vec<String>,
    /// The arguments; empty: those of the image. Secret.
    pub args: Vec<String>,
    /// The service account of the pod.
    pub service_account: Option<String>,
    /// Seconds from the Job's end to its removal; more than 30.
    pub ttl_seconds_after_finished: Option<u32>,
    /// How often a failed pod is replaced.
    pub backoff_limit: u32,
    /// Seconds from the Job's start to its forced end; 60 to 86400.
    pub active_deadline_seconds: Option<u32>,
    /// GPUs of the container; 0 to 4.
    pub gpus: u32,
    /// The variables of the container, in their order.
    pub env: Vec<EnvVar>,
    /// The objects whose entries become variables, in their order.
    pub env_from: Vec<EnvFrom>,
    /// The most that the container may use.
    pub limits: Resources,
    /// What the scheduler reserves; each at most its limit.
    pub requests: Resources,
    /// The label that a node must have.
    pub node_selector: Option<NodeSelector>,
    /// The taint with effect NoSchedule that a node may have.
    pub toleration: Option<Toleration>,
    /// The volume that is mounted.
    pub volume: Option<Volume>,
}

/// One variable of the container.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, which may be empty. Secret.
    pub value: String,
}

/// An object whose entries become variables, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvFrom {
    /// A ConfigMap.
    ConfigMap(String),
    /// A Secret.
    Secret(String),
}

/// Amounts of the two resources, as Kubernetes quantities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Cores.
    pub cpu: Option<String>,
    /// Bytes.
    pub memory: Option<String>,
}

/// A label that a node must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSelector {
    /// The label's key.
    pub key: String,
    /// The label's value, which may be empty.
    pub value: String,
}

/// A taint that a node may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    /// The taint's key.
    pub key: String,
    /// The taint's value, which may be empty.
    pub value: String,
}

/// A claim and where it is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// An absolute path in the container.
    pub mount_path: String,
    /// The name of the PersistentVolumeClaim.
    pub claim: String,
}

impl fmt::Debug for JobTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("JobTemplate");
        out.field("prefix_name", &self.prefix_name)
            .field("namespace", &self.namespace)
            .field("image", &self.image);
        out.field("env", &self.env)
            .field("env_from", &self.env_from)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvVar")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
