//! The API server, our permissions (CONTRACT 7), and the Lease.

use std::collections::BTreeSet;

use adapters::clock::Clock;
use adapters::cluster::credentials;
use adapters::cluster::review::{Error, Held, Permission, Reviewer};

use super::finding::{Finding, Level};
use crate::config::Config;

/// Oldest minor version of Kubernetes 1.
const MINOR_MIN: u32 = 20;

/// API group, resource and verbs.
type Rule = (&'static str, &'static str, &'static [&'static str]);

const LEASES: Rule = (
    "coordination.k8s.io",
    "leases",
    &["get", "list", "watch", "create", "update"],
);
const JOBS: Rule = ("batch", "jobs", &["get", "list", "watch", "create"]);
const PODS: Rule = ("", "pods", &["get", "list", "watch"]);
const PATCH: Rule = ("batch", "jobs", &["patch"]);
const EVENTS: [Rule; 2] = [("", "events", &["list"]), ("events.k8s.io", "events", &["list"])];

/// Looks at the cluster. `others` are namespaces that messages will name, beside those of the configuration.
pub(super) fn findings(config: &Config, others: &[String]) -> Vec<Finding> {
    let connected = credentials::find()
        .map_err(|error| error.to_string())
        .and_then(|kubernetes| {
            let server = kubernetes.cluster_url.to_string();
            Reviewer::new(kubernetes, config.kubernetes_timeout)
                .map(|reviewer| (server, reviewer))
                .map_err(|error| error.to_string())
        });
    let (server, reviewer) = match connected {
        Ok(connected) => connected,
        Err(error) => {
            let advice = "inside a pod: automountServiceAccountToken; outside: KUBECONFIG";
            return vec![Finding::fail("API server", error, advice)];
        }
    };
    let version = match reviewer.version() {
        Ok(version) => version,
        Err(error) => {
            let advice = format!("is {server} right, and may this machine connect to it?");
            return vec![Finding::fail("API server", error, advice)];
        }
    };
    let mut findings = vec![self::version(&server, &version)];
    match permissions(&reviewer, config, others) {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::fail(
            "permissions",
            error,
            "the API server has to answer a SelfSubjectAccessReview: is the token valid?",
        )),
    }
    findings.push(lease(&reviewer, config));
    findings
}

fn version(server: &str, version: &str) -> Finding {
    let found = format!("Kubernetes {version} at {server}");
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(1)), Some(Ok(minor))) if minor < MINOR_MIN => {
            Finding::fail("API server", found, "Kubernetes 1.20 or newer is needed")
        }
        _ => Finding::new("API server", Level::Ok, found),
    }
}

fn permissions(reviewer: &Reviewer, config: &Config, others: &[String]) -> Result<Vec<Finding>, Error> {
    let own = config.pod_namespace.as_str();
    let mut findings = vec![required(reviewer, config, LEASES, own)?];
    let mut namespaces: BTreeSet<&str> = match &config.watch_namespaces {
        Some(listed) => listed.iter().map(String::as_str).collect(),
        None => {
            findings.push(watch(reviewer)?);
            BTreeSet::from([own])
        }
    };
    namespaces.extend(others.iter().map(String::as_str));
    for namespace in namespaces {
        if let Some(listed) = &config.watch_namespaces
            && !listed.iter().any(|name| name == namespace)
        {
            let found = format!("messages that name {namespace} are refused");
            findings.push(Finding::fail("WATCH_NAMESPACES", found, "add it to the list"));
        }
        findings.push(required(reviewer, config, JOBS, namespace)?);
        findings.push(required(reviewer, config, PODS, namespace)?);
        findings.push(patch(reviewer, namespace)?);
        findings.push(events(reviewer, namespace)?);
    }
    Ok(findings)
}

/// The verbs of a rule that are missing in a namespace, or in the whole cluster.
fn missing(reviewer: &Reviewer, rule: Rule, namespace: Option<&str>) -> Result<Vec<&'static str>, Error> {
    let (group, resource, verbs) = rule;
    let mut missing = Vec::new();
    for verb in verbs {
        let permission = Permission {
            verb,
            group,
            resource,
            namespace,
        };
        if !reviewer.granted(permission)? {
            missing.push(*verb);
        }
    }
    Ok(missing)
}

fn required(reviewer: &Reviewer, config: &Config, rule: Rule, namespace: &str) -> Result<Finding, Error> {
    let (_, resource, verbs) = rule;
    let check = format!("{resource} in {namespace}");
    let missing = missing(reviewer, rule, Some(namespace))?;
    if missing.is_empty() {
        return Ok(Finding::new(check, Level::Ok, verbs.join(" ")));
    }
    Ok(Finding::fail(
        check,
        format!("missing: {}", missing.join(" ")),
        format!(
            "kubectl create rolebinding job-worker --namespace {namespace} --clusterrole job-worker \
             --serviceaccount {}:job-worker-sa",
            config.pod_namespace
        ),
    ))
}

fn watch(reviewer: &Reviewer) -> Result<Finding, Error> {
    let mut whole = true;
    for (group, resource, _) in [JOBS, PODS] {
        whole &= missing(reviewer, (group, resource, &["list", "watch"]), None)?.is_empty();
    }
    let found = if whole {
        "the whole cluster is watched as one"
    } else {
        "each namespace that has tasks is watched on its own"
    };
    Ok(Finding::new("watch", Level::Info, found))
}

fn patch(reviewer: &Reviewer, namespace: &str) -> Result<Finding, Error> {
    let check = format!("patch in {namespace}");
    let found = if missing(reviewer, PATCH, Some(namespace))?.is_empty() {
        "granted: the TTL is set after the verdict, and a Job can be stopped"
    } else {
        "not granted: the TTL is set at creation, and no Job is stopped"
    };
    Ok(Finding::new(check, Level::Info, found))
}

fn events(reviewer: &Reviewer, namespace: &str) -> Result<Finding, Error> {
    let check = format!("events in {namespace}");
    let mut all = true;
    for rule in EVENTS {
        all &= missing(reviewer, rule, Some(namespace))?.is_empty();
    }
    let found = if all {
        "list is granted: refusals by quota and admission are told with their reason"
    } else {
        "list is not granted: the reason of a refusal by quota or admission may be missing"
    };
    Ok(Finding::new(check, Level::Info, found))
}

fn lease(reviewer: &Reviewer, config: &Config) -> Finding {
    let name = &config.lease.lock_name;
    let check = format!("lease {name}");
    match reviewer.lease(&config.pod_namespace, name) {
        Ok(None) => Finding::new(check, Level::Info, "nobody has held it yet"),
        Ok(Some(held)) if held.holder.is_empty() => {
            Finding::new(check, Level::Info, "released: nobody leads")
        }
        Ok(Some(held)) => holder(check, &held),
        Err(error) => Finding::new(check, Level::Warn, format!("cannot be read: {error}")),
    }
}

fn holder(check: String, held: &Held) -> Finding {
    let age = held
        .renewed_at
        .map(|at| Clock.now_ms().saturating_sub(at.0) / 1000);
    let renewed = age.map_or("never".to_owned(), |age| format!("{age} s ago"));
    let found = format!("{} leads, renewed {renewed}", held.holder);
    if age.is_some_and(|age| age <= held.duration.as_secs()) {
        return Finding::new(check, Level::Ok, found);
    }
    Finding::new(check, Level::Warn, found).advise("nobody leads until a replica takes it: does one run?")
}
