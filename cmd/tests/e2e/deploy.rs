//! What `scripts/deploy` and `render` hold, judged by the API server: a dry run with admission, every field known.

use std::path::{Path, PathBuf};
use std::process::Command;

use fixtures::kubernetes::WORKER_NAMESPACE;
use serde_json::Value;

use crate::world::World;

/// The plural of each kind that a plain cluster knows.
const PLURALS: [(&str, &str); 9] = [
    ("ClusterRole", "clusterroles"),
    ("Deployment", "deployments"),
    ("Job", "jobs"),
    ("Namespace", "namespaces"),
    ("NetworkPolicy", "networkpolicies"),
    ("PodDisruptionBudget", "poddisruptionbudgets"),
    ("RoleBinding", "rolebindings"),
    ("Service", "services"),
    ("ServiceAccount", "serviceaccounts"),
];
/// The group of objects whose definitions a plain cluster lacks.
const FOREIGN: &str = "monitoring.coreos.com/";

fn tree(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// The files of a directory with this extension.
fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(tree(directory)).expect("it is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    assert!(!files.is_empty(), "{directory}");
    files
}

/// Lets the API server judge an object; returns what is wrong with it.
fn judged(world: &World, object: &Value) -> Option<String> {
    let version = object["apiVersion"]
        .as_str()
        .expect("it has a version")
        .to_owned();
    if version.starts_with(FOREIGN) {
        return None;
    }
    let group = if version == "v1" {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{version}")
    };
    let kind = object["kind"].as_str().expect("it has a kind");
    let plural = PLURALS.iter().find(|(known, _)| *known == kind);
    let plural = plural.unwrap_or_else(|| panic!("{kind} is not in the list")).1;
    let path = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{plural}"),
        None => format!("{group}/{plural}"),
    };
    match world.cluster.dry_run(&path, object) {
        (201, _) => None,
        (code, answer) => Some(format!("{kind}: {code} {}", answer["message"])),
    }
}

#[test]
fn the_api_server_takes_each_manifest() {
    let world = World::new("deploy");
    let mut faults = Vec::new();
    for directory in ["scripts/deploy/manifests", "scripts/deploy/manifests/options"] {
        for file in files(directory, "yaml") {
            let text = std::fs::read_to_string(&file).expect("a file");
            let objects: Vec<Value> = serde_saphyr::from_multiple(&text).expect("it is YAML");
            assert!(!objects.is_empty(), "{}", file.display());
            for mut object in objects {
                // The cluster may hold an object of the same name.
                let name = object["metadata"]["name"].as_str().expect("it has a name");
                object["metadata"]["name"] = format!("{name}-dry-run").into();
                faults.extend(judged(&world, &object).map(|fault| format!("{}: {fault}", file.display())));
            }
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn the_api_server_takes_what_render_prints_of_each_valid_message() {
    let world = World::new("render");
    let mut faults = Vec::new();
    for file in files("fixtures/messages/valid", "json") {
        let output = Command::new(env!("CARGO_BIN_EXE_job-worker"))
            .arg("render")
            .arg(&file)
            .args(["--instance-namespace", WORKER_NAMESPACE])
            .env_clear()
            .output()
            .expect("cargo has built the binary");
        assert!(output.status.success(), "{}: {output:?}", file.display());
        let mut job: Value = serde_saphyr::from_slice(&output.stdout).expect("it is YAML");
        // A dry run needs a namespace that exists; everything else stays as it is.
        job["metadata"]["namespace"] = world.namespace.clone().into();
        faults.extend(judged(&world, &job).map(|fault| format!("{}: {fault}", file.display())));
    }
    assert_eq!(faults, Vec::<String>::new());
}
