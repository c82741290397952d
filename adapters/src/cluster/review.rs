//! Questions to the API server, one at a time and from a plain thread, for `job-worker check`. It never writes.
//!
//! An access review is a create request, of an object that is answered and kept nowhere.

use std::sync::Arc;
use std::time::Duration;

use engine::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use super::Hooks;
use super::client::{Client, Silence, Verb, chain, objects};
use super::wire::AccessReview;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// Names a permission as RBAC does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Permission<'a> {
    /// The verb.
    pub verb: &'a str,
    /// The API group, empty for the core.
    pub group: &'a str,
    /// The resource.
    pub resource: &'a str,
    /// The namespace; `None` means every namespace.
    pub namespace: Option<&'a str>,
}

/// Is what a Lease says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Held {
    /// Who holds it; empty where it was released.
    pub holder: String,
    /// For how long after the last renewal.
    pub duration: Duration,
    /// The last renewal, by the clock of the holder.
    pub renewed_at: Option<Timestamp>,
}

/// Why there is no answer, or not the one that was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime of the client.
    #[error("no runtime: {0}")]
    Runtime(#[from] std::io::Error),
    /// The client.
    #[error("configuring the client: {0}")]
    Client(String),
    /// No answer.
    #[error("{0}")]
    Silence(String),
    /// Another answer.
    #[error("{code}: {text}")]
    Refused {
        /// The HTTP code.
        code: u16,
        /// The API server's own words.
        text: String,
    },
}

impl From<Silence> for Error {
    fn from(silence: Silence) -> Self {
        Self::Silence(silence.to_string())
    }
}

/// Asks one API server.
pub struct Reviewer {
    runtime: Runtime,
    client: Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
}

impl Reviewer {
    /// Prepares the client; nothing is connected before the first question. `timeout` bounds each of them.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn new(mut config: kube::Config, timeout: Duration) -> Result<Self, Error> {
        config.default_retry = false;
        config.connect_timeout = Some(timeout);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let hooks = Hooks {
            request: Arc::new(|_, _| {}),
            watch_restart: Arc::new(|_| {}),
        };
        let client = {
            let _context = runtime.enter();
            Client::new(config, timeout, hooks).map_err(|error| Error::Client(chain(&error)))?
        };
        Ok(Self { runtime, client })
    }

    /// Returns the version of the API server, as `v1.36.3`.
    ///
    /// # Errors
    /// The API server cannot be asked.
    pub fn version(&self) -> Result<String, Error> {
        let version: Version = self.get("/version")?;
        Ok(version.git_version)
    }

    /// Asks whether we have a permission.
    ///
    /// # Errors
    /// The API server cannot be asked, or does not review.
    pub fn granted(&self, permission: Permission<'_>) -> Result<bool, Error> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "verb": permission.verb,
                "group": permission.group,
                "resource": permission.resource,
                "namespace": permission.namespace.unwrap_or_default(),
            }},
        });
        let review: AccessReview = self.ask(Verb::Create, REVIEWS, review.to_string().into_bytes())?;
        Ok(review.status.allowed)
    }

    /// Reads a Lease; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn lease(&self, namespace: &str, name: &str) -> Result<Option<Held>, Error> {
        let leases = objects("/apis/coordination.k8s.io/v1", Some(namespace), "leases");
        let lease: Lease = match self.get(&format!("{leases}/{name}")) {
            Ok(lease) => lease,
            Err(Error::Refused { code: 404, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let spec = lease.spec.unwrap_or_default();
        let seconds = spec.lease_duration_seconds.unwrap_or_default();
        Ok(Some(Held {
            holder: spec.holder_identity.unwrap_or_default(),
            duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
            renewed_at: spec
                .renew_time
                .and_then(|time| u64::try_from(time.0.as_millisecond()).ok())
                .map(Timestamp),
        }))
    }

    fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.ask(Verb::Get, path, Vec::new())
    }

    pub(super) fn ask<T: serde::de::DeserializeOwned>(
        &self,
        verb: Verb,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, Error> {
        let answer = self
            .runtime
            .block_on(self.client.send(verb, path, body, self.client.timeout()))?;
        let refused = |text: String| Error::Refused {
            code: answer.code,
            text,
        };
        if !(200..300).contains(&answer.code) {
            return Err(refused(answer.words()));
        }
        serde_json::from_slice(&answer.body).map_err(|error| refused(error.to_string()))
    }
}
