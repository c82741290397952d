//! That `scripts/deploy` says what the program says.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::{run, text};

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../scripts/deploy")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&file(name)).expect("it is YAML")
}

/// The variables that the chart sets by values of their own.
const OWN: [&str; 16] = [
    "POD_NAME",
    "POD_NAMESPACE",
    "HTTP_SERVER_PORT",
    "REDIS_QUEUE_ENDPOINT",
    "REDIS_QUEUE_DB",
    "REDIS_QUEUE_KEY_PREFIX",
    "CACHE_REDIS_ENDPOINT",
    "CACHE_REDIS_DB",
    "CACHE_JOB_KEY_PREFIX",
    "WATCH_NAMESPACES",
    "CACHE_REDIS_PASSWORD_FILE",
    "REDIS_QUEUE_PASSWORD_FILE",
    "CACHE_REDIS_CA_FILE",
    "REDIS_QUEUE_CA_FILE",
    "WEBHOOK_CA_FILE",
    "WEBHOOK_SIGNING_SECRET_FILE",
];

#[test]
fn the_chart_takes_every_variable_and_no_other() {
    let schema: Value = serde_json::from_str(&file("chart/values.schema.json")).expect("it is JSON");
    let env = schema
        .pointer("/properties/env/properties")
        .and_then(Value::as_object);
    let mut taken: BTreeSet<String> = env.expect("the schema has env").keys().cloned().collect();
    taken.extend(OWN.map(str::to_owned));
    let help = text(run(&["--help"], &[], b"").stdout);
    let (_, environment) = help
        .split_once("Environment:\n")
        .expect("help has a section on it");
    let known: BTreeSet<String> = environment
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|name| !name.starts_with(' ')))
        .map(str::to_owned)
        .collect();
    assert_eq!(taken, known);
}

#[test]
fn the_role_holds_the_permissions_of_the_contract_and_no_more() {
    let roles = documents("manifests/rbac.yaml");
    assert_eq!(roles.len(), 2);
    assert_eq!(
        roles[0]["rules"],
        json!([
            {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "create"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                "verbs": ["get", "list", "watch", "create", "update"]},
        ])
    );
    assert_eq!(
        (&roles[1]["kind"], &roles[1]["subjects"][0]["name"]),
        (&json!("RoleBinding"), &json!("job-worker-sa"))
    );
}

#[test]
fn the_example_message_is_the_worked_example() {
    let example: Value = serde_json::from_str(&file("example-message.json")).expect("it is JSON");
    let fixture = std::fs::read(crate::message("valid/worked-example.json")).expect("it is there");
    assert_eq!(
        example,
        serde_json::from_slice::<Value>(&fixture).expect("it is JSON")
    );
}

#[test]
fn the_deployment_starts_with_the_configuration_that_it_names() {
    let deployment = documents("manifests/deployment.yaml").remove(0);
    let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    let variables: Vec<(String, String)> = variables
        .as_array()
        .expect("it has variables")
        .iter()
        .map(|variable| {
            let name = variable["name"].as_str().expect("each has a name").to_owned();
            (
                name,
                variable["value"].as_str().unwrap_or("from-a-field").to_owned(),
            )
        })
        .collect();
    let environment: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain([("KUBECONFIG", "/nowhere")])
        .collect();
    let findings = text(run(&["check"], &environment, b"").stdout);
    assert!(findings.starts_with("ok    configuration"), "{findings}");
}
