//! Reads the `job` of a message: which fields there are, and the rules that join two of them.

use super::fault::{Path, Report};
use super::fields::{self, Fields};
use super::json::Json;
use super::quantity::Quantity;
use super::{EnvFrom, EnvVar, JobTemplate, NodeSelector, Resources, Toleration, Volume, rules};

/// The fields of `job`.
pub(super) const KNOWN: [&str; 17] = [
    "prefixName",
    "namespace",
    "image",
    "command",
    "args",
    "serviceAccount",
    "ttlSecondsAfterFinished",
    "backoffLimit",
    "activeDeadlineSeconds",
    "gpuEnable",
    "gpuNumber",
    "env",
    "envRef",
    "resources",
    "nodeSelector",
    "toleration",
    "volume",
];

/// Kubernetes holds these numbers in 32 bits with a sign.
const INT_MAX: u32 = i32::MAX.unsigned_abs();

/// Reads every field, whatever the faults of the others.
pub(super) fn read(job: &Fields<'_>, report: &mut Report) -> JobTemplate {
    let argument = |value: &Json<'_>, path: &Path<'_>, report: &mut Report| {
        fields::string(value, path, &rules::ARGUMENT, report)
    };
    let (limits, requests) = resources(job, report);
    JobTemplate {
        prefix_name: job.required_string("prefixName", &rules::DNS_LABEL, report),
        namespace: job.required_string("namespace", &rules::DNS_LABEL, report),
        image: job.required_string("image", &rules::IMAGE, report),
        command: job.array("command", report, argument),
        args: job.array("args", report, argument),
        service_account: job.string("serviceAccount", &rules::DNS_SUBDOMAIN, report),
        ttl_seconds_after_finished: job.integer(
            "ttlSecondsAfterFinished",
            31..=INT_MAX,
            "must be an integer greater than 30 and at most 2147483647",
            report,
        ),
        backoff_limit: job
            .integer(
                "backoffLimit",
                0..=INT_MAX,
                "must be an integer from 0 to 2147483647",
                report,
            )
            .unwrap_or(0),
        active_deadline_seconds: job.integer(
            "activeDeadlineSeconds",
            60..=86_400,
            "must be an integer from 60 to 86400",
            report,
        ),
        gpus: gpus(job, report),
        env: job.array("env", report, env_var),
        env_from: job.array("envRef", report, env_from),
        limits,
        requests,
        node_selector: node_selector(job, report),
        toleration: toleration(job, report),
        volume: volume(job, report),
    }
}

fn gpus(job: &Fields<'_>, report: &mut Report) -> u32 {
    match job.boolean("gpuEnable", report) {
        Some(true) if job.value("gpuNumber").is_some() => job
            .integer("gpuNumber", 1..=4, "must be an integer from 1 to 4", report)
            .unwrap_or(0),
        Some(true) => 1,
        Some(false) | None => 0,
    }
}

fn env_var(value: &Json<'_>, path: &Path<'_>, report: &mut Report) -> Option<EnvVar> {
    let item = fields::object(value, *path, &["name", "value"], report)?;
    Some(EnvVar {
        name: item.required_string("name", &rules::ENV_NAME, report),
        value: item.string("value", &rules::ARGUMENT, report).unwrap_or_default(),
    })
}

fn env_from(value: &Json<'_>, path: &Path<'_>, report: &mut Report) -> Option<EnvFrom> {
    let item = fields::object(value, *path, &["name", "type"], report)?;
    let name = item.required_string("name", &rules::DNS_SUBDOMAIN, report);
    item.require("type", report);
    let kind = item.value("type")?;
    match kind.as_str() {
        Some("configmap" | "configMap") => Some(EnvFrom::ConfigMap(name)),
        Some("secret") => Some(EnvFrom::Secret(name)),
        Some(_) | None => {
            item.fault_with("type", kind, "must be configmap or secret".to_owned(), report);
            None
        }
    }
}

/// Reads the limits and the requests, and holds each request to its limit.
fn resources(job: &Fields<'_>, report: &mut Report) -> (Resources, Resources) {
    let Some(resources) = job.object("resources", &["limits", "requests"], report) else {
        return Default::default();
    };
    let limits = resources.object("limits", &["cpu", "memory"], report);
    let requests = resources.object("requests", &["cpu", "memory"], report);
    let mut pair = |name: &str| {
        let limit = limits.as_ref().and_then(|limits| amount(limits, name, report));
        let request = requests
            .as_ref()
            .and_then(|requests| amount(requests, name, report));
        if let (Some(limit), Some(request), Some(fields)) = (&limit, &request, &requests)
            && request.quantity > limit.quantity
        {
            let rule = format!("must be at most the limit {}, is {}", limit.text, request.text);
            fields.fault(name, rule, report);
        }
        (limit.map(|limit| limit.text), request.map(|request| request.text))
    };
    let cpu = pair("cpu");
    let memory = pair("memory");
    (
        Resources {
            cpu: cpu.0,
            memory: memory.0,
        },
        Resources {
            cpu: cpu.1,
            memory: memory.1,
        },
    )
}

struct Amount {
    text: String,
    quantity: Quantity,
}

/// As in Kubernetes, a quantity is a string or a number.
fn amount(fields: &Fields<'_>, name: &str, report: &mut Report) -> Option<Amount> {
    let value = fields.value(name)?;
    let text = match value {
        Json::String(text) => text.clone().into_owned(),
        Json::Integer(number) => number.to_string(),
        Json::Float(number) => number.to_string(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => String::new(),
    };
    match Quantity::parse(&text) {
        Ok(quantity) => Some(Amount { text, quantity }),
        Err(malformed) => {
            fields.fault_with(name, value, malformed.to_string(), report);
            None
        }
    }
}

/// An empty value is one that a label may have, as in `node-role.kubernetes.io/worker: ""`.
fn node_selector(job: &Fields<'_>, report: &mut Report) -> Option<NodeSelector> {
    let selector = job.object("nodeSelector", &["matchKey", "matchValue"], report)?;
    Some(NodeSelector {
        key: selector.required_string("matchKey", &rules::LABEL_KEY, report),
        value: selector
            .string("matchValue", &rules::LABEL_VALUE, report)
            .unwrap_or_default(),
    })
}

/// An empty value is one that a taint may have.
fn toleration(job: &Fields<'_>, report: &mut Report) -> Option<Toleration> {
    let toleration = job.object("toleration", &["key", "value"], report)?;
    Some(Toleration {
        key: toleration.required_string("key", &rules::LABEL_KEY, report),
        value: toleration
            .string("value", &rules::LABEL_VALUE, report)
            .unwrap_or_default(),
    })
}

fn volume(job: &Fields<'_>, report: &mut Report) -> Option<Volume> {
    let volume = job.object("volume", &["mountPath", "pvc"], report)?;
    Some(Volume {
        mount_path: volume.required_string("mountPath", &rules::MOUNT_PATH, report),
        claim: volume.required_string("pvc", &rules::DNS_SUBDOMAIN, report),
    })
}
