//! The configuration of the daemon: everything that the environment says, checked as a whole.
//!
//! It owns CONTRACT 1. It never connects to anything and keeps no secret where it could be printed. `main` loads it
//! before anything else; the parts get plain values from it.

mod kind;
mod reader;
mod variables;

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use adapters::endpoint::{Endpoint, Secret};
use adapters::logs::{Format, Levels};
use ipnet::IpNet;

pub(crate) use kind::{Certificates, SigningSecrets};
use reader::Reader;
pub(crate) use variables::help;
#[cfg(feature = "dev")]
pub(crate) use variables::is_known;
#[cfg(test)]
pub(crate) use variables::{Default, VARIABLES};

/// Holds the configuration of one process.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// `POD_NAME`.
    pub pod_name: String,
    /// `POD_NAMESPACE`.
    pub pod_namespace: String,
    /// What leader election needs.
    pub lease: Lease,
    /// `POLLING_INTERVAL`.
    pub polling_interval: Duration,
    /// `HTTP_SERVER_PORT`; 0 is any free port.
    pub http_port: u16,
    /// `HTTP_SERVER_TIMEOUT_SECONDS`.
    pub http_timeout: Duration,
    /// `QUEUE_TYPE` and what belongs to it.
    pub queue: Queue,
    /// `QUEUE_WORKER_POOL_SIZE`.
    pub pool_size: usize,
    /// The store of snapshots: `CACHE_REDIS_*`.
    pub store: Redis,
    /// `CACHE_JOB_KEY_PREFIX`.
    pub store_key_prefix: String,
    /// `KUBERNETES_CLIENT_TIMEOUT`.
    pub kubernetes_timeout: Duration,
    /// `POD_START_TIMEOUT`.
    pub pod_start_timeout: Duration,
    /// `MAX_TASKS_IN_FLIGHT`.
    pub max_tasks_in_flight: usize,
    /// `DEDUP_WINDOW_SECONDS`.
    pub dedup_window: Duration,
    /// `WATCH_NAMESPACES`; never empty where it is set.
    pub watch_namespaces: Option<Vec<String>>,
    /// What callbacks need.
    pub webhook: Webhook,
    /// `LOG_LEVEL`.
    pub log_levels: Levels,
    /// `LOG_FORMAT`; unset, [`Format::detected`] decides.
    pub log_format: Option<Format>,
    /// `UI_ENABLED`.
    pub ui_enabled: bool,
    /// What is allowed but probably not meant; to be logged once.
    pub warnings: Vec<String>,
    effective: Vec<(&'static str, String)>,
}

/// Holds the settings of the leader lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// `LEADER_ELECTION_LOCK_NAME`.
    pub lock_name: String,
    /// `LEADER_ELECTION_LEASE_SECONDS`.
    pub duration: Duration,
    /// Two thirds of the duration: a leader that could not renew for so long stops.
    pub renew_deadline: Duration,
    /// Two fifteenths of the duration: from one try to the next.
    pub retry: Duration,
}

/// Says where messages come from.
#[derive(Clone, Debug)]
pub(crate) enum Queue {
    /// A Redis list.
    Redis {
        /// `REDIS_QUEUE_*`.
        server: Redis,
        /// `REDIS_QUEUE_KEY_PREFIX`.
        key_prefix: String,
    },
}

/// Holds what the Job of a message depends on beside the message.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    /// `POD_NAMESPACE`.
    pub pod_namespace: String,
    /// `LEADER_ELECTION_LOCK_NAME`.
    pub lock_name: String,
    /// `POD_START_TIMEOUT`.
    pub pod_start_timeout: Duration,
    /// `WATCH_NAMESPACES`; never empty where it is set.
    pub watch_namespaces: Option<Vec<String>>,
}

/// Says where the store is, for whoever looks at it.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// `CACHE_REDIS_*`.
    pub server: Redis,
    /// `CACHE_JOB_KEY_PREFIX`.
    pub key_prefix: String,
    /// `LEADER_ELECTION_LOCK_NAME`.
    pub lock_name: String,
}

/// Holds what a connection to one Redis database needs.
#[derive(Clone, Debug)]
pub(crate) struct Redis {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Number of the database.
    pub db: u32,
    /// From the password file; it stands above a password in the endpoint.
    pub password: Option<Secret>,
    /// PEM of a private CA.
    pub ca: Option<Certificates>,
}

/// Holds what callbacks need.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    /// `WEBHOOK_DENY_CIDRS`.
    pub deny: Vec<IpNet>,
    /// `WEBHOOK_ALLOW_CIDRS`.
    pub allow: Vec<IpNet>,
    /// `WEBHOOK_CA_FILE`.
    pub ca: Option<Certificates>,
    /// `WEBHOOK_SIGNING_SECRET_FILE`.
    pub signing: Option<SigningSecrets>,
}

/// Says what is wrong with one variable; `Display` is one line and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Fault {
    /// The name of the variable.
    pub variable: &'static str,
    /// Its value as it may be shown; `None` where it is missing.
    pub value: Option<String>,
    /// The rule that is broken.
    pub rule: String,
}

/// Longest value in a fault, in characters.
const SHOWN_MAX: usize = 100;

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.variable)?;
        if let Some(value) = &self.value {
            // `Debug` escapes what could end the line.
            let start: String = value.chars().take(SHOWN_MAX).collect();
            let more = if start.len() < value.len() { "…" } else { "" };
            write!(f, "={start:?}{more}")?;
        }
        write!(f, ": {}", self.rule)
    }
}

impl Config {
    /// Reads the configuration from environment variables, such as those of `std::env::vars_os`.
    ///
    /// Files that a variable names are read too. An empty variable counts as unset.
    ///
    /// # Errors
    /// Every fault there is, in the order of `variables::VARIABLES`.
    pub(crate) fn load(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::new(environment);
        match reader.config() {
            Some(config) if reader.faults.is_empty() => Ok(config),
            Some(_) | None => Err(reader.into_faults()),
        }
    }

    /// Describes the effective configuration in one line: `NAME=value` of every variable that has a value,
    /// without secrets, endpoints without their logins.
    pub(crate) fn describe(&self) -> String {
        let pairs: Vec<String> = self
            .effective
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join(" ")
    }
}

impl Queue {
    /// Reads the part of the configuration that a producer needs.
    ///
    /// # Errors
    /// Every fault of that part.
    pub(crate) fn load(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::new(environment);
        match reader.queue() {
            Some(queue) if reader.faults.is_empty() => Ok(queue),
            Some(_) | None => Err(reader.into_faults()),
        }
    }
}

impl Store {
    /// Reads the part of the configuration that names the store.
    ///
    /// # Errors
    /// Every fault of that part.
    pub(crate) fn load(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::new(environment);
        match reader.place() {
            Some(store) if reader.faults.is_empty() => Ok(store),
            Some(_) | None => Err(reader.into_faults()),
        }
    }
}

impl Naming {
    /// Reads the part of the configuration that the Job of a message depends on.
    ///
    /// # Errors
    /// Every fault of that part.
    pub(crate) fn load(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader::new(environment);
        match reader.naming() {
            Some(naming) if reader.faults.is_empty() => Ok(naming),
            Some(_) | None => Err(reader.into_faults()),
        }
    }
}

#[cfg(test)]
mod tests;
