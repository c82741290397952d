//! The digest of a message: equal for two messages that ask for the same.
//!
//! It is SHA-256 over the canonical form, a text of one entry per field that is present, in the order of [`digest`]:
//!
//! ```text
//! <path> <length of the value in bytes>:<value>\n
//! ```
//!
//! Paths are those of the message without indices: an array gives one entry per item, or per field of an item, in order.
//! Integers are decimal, quantities are as given. Defaults are written out: `job.backoffLimit` always, `job.gpuNumber` as 0 where
//! no GPU is asked for, `job.env.value` where it is empty, and the values of a node selector and a toleration. `configMap` is
//! `configmap`. Everything else that is absent has no entry; `traceparent` and unknown fields have none either. The digest of
//! a message is in Redis and in the annotations of Jobs, so the form never changes: a field that comes later gets an entry
//! where it is present, and none where it is absent.

use engine::Digest;
use sha2::{Digest as _, Sha256};

use super::{EnvFrom, JobTemplate, Message, Resources};

/// Computes the digest of a message.
pub(super) fn digest(message: &Message) -> Digest {
    let mut form = Form(Sha256::new());
    form.text("id", &message.id);
    form.text("service", &message.service);
    form.optional("webhook.url", message.webhook.as_ref());
    form.job(&message.job);
    Digest(form.0.finalize().into())
}

/// Feeds the canonical form to the hash.
struct Form(Sha256);

impl Form {
    fn job(&mut self, job: &JobTemplate) {
        self.text("job.prefixName", &job.prefix_name);
        self.text("job.namespace", &job.namespace);
        self.text("job.image", &job.image);
        job.command.iter().for_each(|item| self.text("job.command", item));
        job.args.iter().for_each(|item| self.text("job.args", item));
        self.optional("job.serviceAccount", job.service_account.as_ref());
        self.optional(
            "job.ttlSecondsAfterFinished",
            job.ttl_seconds_after_finished.as_ref(),
        );
        self.text("job.backoffLimit", &job.backoff_limit.to_string());
        self.optional("job.activeDeadlineSeconds", job.active_deadline_seconds.as_ref());
        self.text("job.gpuNumber", &job.gpus.to_string());
        for variable in &job.env {
            self.text("job.env.name", &variable.name);
            self.text("job.env.value", &variable.value);
        }
        for source in &job.env_from {
            let (kind, name) = match source {
                EnvFrom::ConfigMap(name) => ("configmap", name),
                EnvFrom::Secret(name) => ("secret", name),
            };
            self.text("job.envRef.name", name);
            self.text("job.envRef.type", kind);
        }
        self.resources("job.resources.limits", &job.limits);
        self.resources("job.resources.requests", &job.requests);
        if let Some(selector) = &job.node_selector {
            self.text("job.nodeSelector.matchKey", &selector.key);
            self.text("job.nodeSelector.matchValue", &selector.value);
        }
        if let Some(toleration) = &job.toleration {
            self.text("job.toleration.key", &toleration.key);
            self.text("job.toleration.value", &toleration.value);
        }
        if let Some(volume) = &job.volume {
            self.text("job.volume.mountPath", &volume.mount_path);
            self.text("job.volume.pvc", &volume.claim);
        }
    }

    fn resources(&mut self, path: &str, resources: &Resources) {
        self.optional(&format!("{path}.cpu"), resources.cpu.as_ref());
        self.optional(&format!("{path}.memory"), resources.memory.as_ref());
    }

    fn optional(&mut self, path: &str, value: Option<&impl ToString>) {
        if let Some(value) = value {
            self.text(path, &value.to_string());
        }
    }

    fn text(&mut self, path: &str, value: &str) {
        self.0.update(path);
        self.0.update(format!(" {}:", value.len()));
        self.0.update(value);
        self.0.update("\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::parse;

    /// The canonical form, written out as the module head describes it.
    const WORKED_EXAMPLE: &str = "\
id 36:31a89a91-43d8-4786-a195-9b25cec28a44
service 7:example
webhook.url 35:http://webhook.example.com/callback
job.prefixName 6:my-job
job.namespace 7:default
job.image 14:busybox:latest
job.command 7:/bin/sh
job.command 2:-c
job.command 16:echo Hello World
job.serviceAccount 7:default
job.ttlSecondsAfterFinished 2:60
job.backoffLimit 1:0
job.activeDeadlineSeconds 3:600
job.gpuNumber 1:0
job.env.name 7:ENV_VAR
job.env.value 5:value
job.envRef.name 14:configmap-name
job.envRef.type 9:configmap
job.resources.limits.cpu 1:1
job.resources.limits.memory 5:512Mi
job.resources.requests.cpu 4:500m
job.resources.requests.memory 5:256Mi
job.nodeSelector.matchKey 22:kubernetes.io/hostname
job.nodeSelector.matchValue 10:k8s-node-1
job.toleration.key 3:key
job.toleration.value 5:value
job.volume.mountPath 8:/workdir
job.volume.pvc 23:persistent-volume-claim
";

    #[test]
    fn the_worked_example_has_the_digest_that_it_has_for_ever() {
        let raw = include_bytes!("../../../fixtures/messages/valid/worked-example.json");
        let digest = parse(raw).expect("valid").digest;
        assert_eq!(digest, Digest(Sha256::digest(WORKED_EXAMPLE).into()));
        assert_eq!(
            digest.to_string(),
            "54218da36fbeb03954478f686da18f43a784d5c8353340abc71635fe0b678ff2"
        );
    }
}
