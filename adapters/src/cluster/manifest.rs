//! Builds the Job of a message. Pure: the same message and identity give the same object.
//!
//! The pod is constructed here, field by field, and holds nothing that the message did not ask for beside what the contract
//! names. The creator of Jobs calls it, and checks of a message without a cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    ConfigMapEnvSource, Container, EnvFromSource, EnvVar, PersistentVolumeClaimVolumeSource, PodSpec,
    PodTemplateSpec, ResourceRequirements, SecretEnvSource, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::names::{self, Instance, annotation, label};
use crate::message::{Digest, EnvFrom, JobTemplate, Message, Resources, rules};

/// The name of the container where the service is not a DNS label.
pub const CONTAINER: &str = "main";

const VOLUME: &str = "volume";
const GPU: &str = "nvidia.com/gpu";
const TRACEPARENT: &str = "TRACEPARENT";

/// What a Job carries beside the message: whose it is, and of which incarnation of the task.
#[derive(Clone, Debug)]
pub struct Identity<'a> {
    /// The instance that creates it.
    pub instance: &'a Instance,
    /// The digest of the message.
    pub digest: &'a Digest,
    /// When the message became ours, in milliseconds since 1970.
    pub received_at_ms: u64,
    /// `POD_START_TIMEOUT`, in seconds.
    pub start_timeout_seconds: u32,
    /// When the TTL of the message is set on the Job.
    pub ttl: Ttl,
}

/// When the TTL of the message is set on the Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// With the create: without `patch` it cannot be set later.
    AtCreation,
    /// By a patch, once the verdict is durable.
    AfterVerdict,
}

/// What a task that is rebuilt from its Job needs, times in seconds. JSON in [`annotation::LIMITS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// `POD_START_TIMEOUT` at the time of the create.
    pub start_timeout_seconds: u32,
    /// As in the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline_seconds: Option<u32>,
    /// As in the message, also where the Job does not have it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<u32>,
    /// `patch` on Jobs was granted at the time of the create.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stoppable: bool,
}

/// Builds the Job of a message.
pub fn job(message: &Message, identity: &Identity<'_>) -> Job {
    let template = &message.job;
    let ttl = match identity.ttl {
        Ttl::AtCreation => template.ttl_seconds_after_finished,
        Ttl::AfterVerdict => None,
    };
    let name = names::job_name(
        identity.instance,
        &template.namespace,
        &message.id,
        &template.prefix_name,
    );
    Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(template.namespace.clone()),
            labels: Some(labels(message, identity)),
            annotations: Some(annotations(message, identity)),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            active_deadline_seconds: template.active_deadline_seconds.map(i64::from),
            backoff_limit: Some(int(template.backoff_limit)),
            ttl_seconds_after_finished: ttl.map(int),
            template: pod(message, identity),
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// The message's rules hold these numbers to 31 bits.
fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn labels(message: &Message, identity: &Identity<'_>) -> BTreeMap<String, String> {
    owned([
        (label::APP, message.service.clone()),
        (label::APP_NAME, message.service.clone()),
        (label::JOB_ID, names::id_label(&message.id)),
        (label::INSTANCE, identity.instance.hash()),
        (
            label::TASK,
            names::task_hash(identity.instance, &message.job.namespace, &message.id),
        ),
    ])
}

fn annotations(message: &Message, identity: &Identity<'_>) -> BTreeMap<String, String> {
    let limits = Limits {
        start_timeout_seconds: identity.start_timeout_seconds,
        active_deadline_seconds: message.job.active_deadline_seconds,
        ttl_seconds_after_finished: message.job.ttl_seconds_after_finished,
        stoppable: identity.ttl == Ttl::AfterVerdict,
    };
    let limits = serde_json::to_string(&limits).expect("a struct of integers is JSON");
    let mut annotations = pod_annotations(message, identity);
    annotations.extend(owned([
        (annotation::SERVICE, message.service.clone()),
        (annotation::LIMITS, limits),
    ]));
    annotations.extend(
        message
            .webhook
            .iter()
            .map(|url| (annotation::WEBHOOK.to_owned(), url.clone())),
    );
    annotations.extend(
        message
            .traceparent
            .iter()
            .map(|trace| (annotation::TRACEPARENT.to_owned(), trace.clone())),
    );
    annotations
}

fn pod_annotations(message: &Message, identity: &Identity<'_>) -> BTreeMap<String, String> {
    owned([
        (annotation::INSTANCE, identity.instance.to_string()),
        (annotation::ID, message.id.clone()),
        (annotation::DIGEST, identity.digest.to_string()),
        (annotation::RECEIVED_AT, identity.received_at_ms.to_string()),
    ])
}

fn owned<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn pod(message: &Message, identity: &Identity<'_>) -> PodTemplateSpec {
    let template = &message.job;
    let mut labels = labels(message, identity);
    let mut annotations = pod_annotations(message, identity);
    // Istio reads the label, older versions of it only the annotation: either alone would let some sidecar in.
    for map in [&mut labels, &mut annotations] {
        map.insert(label::ISTIO_INJECT.to_owned(), "false".to_owned());
    }
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            containers: vec![container(message)],
            enable_service_links: Some(false),
            node_selector: template
                .node_selector
                .as_ref()
                .map(|selector| BTreeMap::from([(selector.key.clone(), selector.value.clone())])),
            restart_policy: Some("Never".to_owned()),
            service_account_name: template.service_account.clone(),
            tolerations: template.toleration.as_ref().map(|toleration| {
                vec![Toleration {
                    key: Some(toleration.key.clone()),
                    operator: Some("Equal".to_owned()),
                    value: Some(toleration.value.clone()),
                    effect: Some("NoSchedule".to_owned()),
                    toleration_seconds: None,
                }]
            }),
            volumes: template.volume.as_ref().map(|volume| {
                vec![Volume {
                    name: VOLUME.to_owned(),
                    persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                        claim_name: volume.claim.clone(),
                        read_only: None,
                    }),
                    ..Volume::default()
                }]
            }),
            ..PodSpec::default()
        }),
    }
}

fn container(message: &Message) -> Container {
    let template = &message.job;
    let name = if rules::is_dns_label(&message.service) {
        &message.service
    } else {
        CONTAINER
    };
    Container {
        name: name.to_owned(),
        image: Some(template.image.clone()),
        command: some(template.command.clone()),
        args: some(template.args.clone()),
        env: some(env(message)),
        env_from: some(template.env_from.iter().map(env_from).collect()),
        resources: resources(template),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: template.volume.as_ref().map(|volume| {
            vec![VolumeMount {
                name: VOLUME.to_owned(),
                mount_path: volume.mount_path.clone(),
                ..VolumeMount::default()
            }]
        }),
        ..Container::default()
    }
}

/// A `TRACEPARENT` of the message's own `env` stands.
fn env(message: &Message) -> Vec<EnvVar> {
    let variable = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    };
    let own = &message.job.env;
    let traceparent = message
        .traceparent
        .as_ref()
        .filter(|_| own.iter().all(|own| own.name != TRACEPARENT));
    own.iter()
        .map(|own| variable(&own.name, &own.value))
        .chain(traceparent.map(|value| variable(TRACEPARENT, value)))
        .collect()
}

fn env_from(source: &EnvFrom) -> EnvFromSource {
    match source {
        EnvFrom::ConfigMap(name) => EnvFromSource {
            config_map_ref: Some(ConfigMapEnvSource {
                name: name.clone(),
                optional: None,
            }),
            ..EnvFromSource::default()
        },
        EnvFrom::Secret(name) => EnvFromSource {
            secret_ref: Some(SecretEnvSource {
                name: name.clone(),
                optional: None,
            }),
            ..EnvFromSource::default()
        },
    }
}

fn resources(template: &JobTemplate) -> Option<ResourceRequirements> {
    let mut limits = amounts(&template.limits);
    if template.gpus > 0 {
        limits.insert(GPU.to_owned(), Quantity(template.gpus.to_string()));
    }
    let requests = amounts(&template.requests);
    if limits.is_empty() && requests.is_empty() {
        return None;
    }
    let some = |map: BTreeMap<String, Quantity>| (!map.is_empty()).then_some(map);
    Some(ResourceRequirements {
        claims: None,
        limits: some(limits),
        requests: some(requests),
    })
}

fn amounts(resources: &Resources) -> BTreeMap<String, Quantity> {
    [("cpu", &resources.cpu), ("memory", &resources.memory)]
        .into_iter()
        .filter_map(|(name, amount)| Some((name.to_owned(), Quantity(amount.clone()?))))
        .collect()
}

fn some<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message;

    fn built(raw: &str, ttl: Ttl) -> Job {
        let parsed = message::parse(raw.as_bytes()).expect("valid");
        let instance = Instance {
            namespace: "default".to_owned(),
            lock_name: "job-worker-lock".to_owned(),
        };
        let identity = Identity {
            instance: &instance,
            digest: &parsed.digest,
            received_at_ms: 1_700_000_000_123,
            start_timeout_seconds: 600,
            ttl,
        };
        job(&parsed.message, &identity)
    }

    fn container(job: &Job) -> &Container {
        &pod(job).containers[0]
    }

    fn pod(job: &Job) -> &PodSpec {
        job.spec
            .as_ref()
            .and_then(|spec| spec.template.spec.as_ref())
            .expect("a Job has a pod")
    }

    fn minimal(service: &str, extra: &str, job: &str) -> String {
        format!(
            r#"{{"id":"a b","service":"{service}"{extra},"job":{{"prefixName":"p","namespace":"n","image":"i"{job}}}}}"#
        )
    }

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn the_job_of_the_worked_example() {
        let raw = include_str!("../../../fixtures/messages/valid/worked-example.json");
        let job = serde_json::to_string_pretty(&built(raw, Ttl::AtCreation)).expect("an object is JSON");
        insta::assert_snapshot!(job);
    }

    #[test]
    fn the_job_of_a_minimal_message_asks_for_nothing_more() {
        let job = built(&minimal("My_Service", "", ""), Ttl::AtCreation);
        insta::assert_snapshot!(serde_json::to_string_pretty(&job).expect("an object is JSON"));
    }

    #[test]
    fn the_ttl_waits_for_the_verdict_where_it_can_be_patched() {
        let raw = minimal("s", "", r#","ttlSecondsAfterFinished":60"#);
        let ttl = |job: &Job| job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
        let early = built(&raw, Ttl::AtCreation);
        let late = built(&raw, Ttl::AfterVerdict);
        assert_eq!((ttl(&early), ttl(&late)), (Some(60), None));
        assert_eq!(early.metadata.labels, late.metadata.labels);
        let limits = &late.metadata.annotations.expect("a Job has annotations")[annotation::LIMITS];
        assert_eq!(
            serde_json::from_str::<Limits>(limits).expect("JSON"),
            Limits {
                start_timeout_seconds: 600,
                active_deadline_seconds: None,
                ttl_seconds_after_finished: Some(60),
                stoppable: true,
            }
        );
    }

    #[test]
    fn a_traceparent_becomes_a_variable_unless_the_message_has_its_own() {
        let extra = format!(r#","traceparent":"{TRACE}""#);
        let env = |job: &str| {
            let variables = container(&built(&minimal("s", &extra, job), Ttl::AtCreation))
                .env
                .clone()
                .unwrap_or_default();
            variables
                .into_iter()
                .map(|variable| (variable.name, variable.value.unwrap_or_default()))
                .collect::<Vec<_>>()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(env(""), [pair(TRACEPARENT, TRACE)]);
        assert_eq!(
            env(r#","env":[{"name":"A","value":"1"}]"#),
            [pair("A", "1"), pair(TRACEPARENT, TRACE)]
        );
        assert_eq!(
            env(r#","env":[{"name":"TRACEPARENT","value":"mine"}]"#),
            [pair(TRACEPARENT, "mine")]
        );
        let annotations = built(&minimal("s", &extra, ""), Ttl::AtCreation)
            .metadata
            .annotations;
        assert_eq!(
            annotations.expect("a Job has annotations")[annotation::TRACEPARENT],
            TRACE
        );
    }

    #[test]
    fn gpus_are_a_limit_beside_the_others() {
        let resources = |job: &str| {
            container(&built(&minimal("s", "", job), Ttl::AtCreation))
                .resources
                .clone()
        };
        let quantity = |text: &str| Quantity(text.to_owned());
        assert_eq!(resources(""), None);
        assert_eq!(
            resources(r#","gpuEnable":true,"gpuNumber":2,"resources":{"limits":{"cpu":1}}"#),
            Some(ResourceRequirements {
                claims: None,
                limits: Some(BTreeMap::from([
                    ("cpu".to_owned(), quantity("1")),
                    (GPU.to_owned(), quantity("2"))
                ])),
                requests: None,
            })
        );
    }

    #[test]
    fn the_container_has_the_name_of_the_service_where_that_is_a_dns_label() {
        let name = |service: &str| {
            container(&built(&minimal(service, "", ""), Ttl::AtCreation))
                .name
                .clone()
        };
        assert_eq!(name("example"), "example");
        for service in ["Example", "a.b", "a_b"] {
            assert_eq!(name(service), CONTAINER);
        }
    }

    #[test]
    fn a_reference_to_a_secret_is_no_reference_to_a_configmap() {
        let job = r#","envRef":[{"name":"a","type":"secret"},{"name":"b","type":"configMap"}]"#;
        let sources = container(&built(&minimal("s", "", job), Ttl::AtCreation))
            .env_from
            .clone();
        let secret = SecretEnvSource {
            name: "a".to_owned(),
            optional: None,
        };
        let config_map = ConfigMapEnvSource {
            name: "b".to_owned(),
            optional: None,
        };
        assert_eq!(
            sources,
            Some(vec![
                EnvFromSource {
                    secret_ref: Some(secret),
                    ..EnvFromSource::default()
                },
                EnvFromSource {
                    config_map_ref: Some(config_map),
                    ..EnvFromSource::default()
                },
            ])
        );
    }
}
