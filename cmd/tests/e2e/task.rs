//! The messages that tests send.

use serde_json::{Value, json};

/// One message, and where its Job will be.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub id: String,
    pub namespace: String,
    pub prefix: String,
    pub message: Value,
}

impl Task {
    /// A task that runs a shell script.
    pub(crate) fn new(id: &str, namespace: &str, webhook: &str, script: &str) -> Task {
        Task {
            id: id.to_owned(),
            namespace: namespace.to_owned(),
            prefix: "e2e".to_owned(),
            message: json!({
                "id": id,
                "service": "tests",
                "webhook": {"url": webhook},
                "job": {
                    "prefixName": "e2e",
                    "namespace": namespace,
                    "image": "busybox:latest",
                    "command": ["/bin/sh", "-c", script],
                },
            }),
        }
    }

    /// Sets a field of `job`.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Task {
        self.message["job"][field] = value.into();
        self
    }
}
