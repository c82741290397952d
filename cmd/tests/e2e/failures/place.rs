//! Where a row happens: its namespace and what an administrator does there.

use std::sync::Mutex;
use std::time::Duration;

use fixtures::kubernetes::{Access, WORKER_NAMESPACE};
use fixtures::sink::Sink;
use serde_json::{Value, json};

use super::row::Asks;
use crate::task::Task;
use crate::world::{World, eventually};

/// The longest wait for anything: rows are judged by what happens, not by how soon.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// The namespace of one row, and the world of the worker that takes its task.
pub(super) struct Place<'a> {
    pub(super) world: &'a World,
    pub(super) access: Access,
    pub(super) name: String,
    pub(super) namespace: String,
    kept: Mutex<Vec<Sink>>,
}

impl<'a> Place<'a> {
    /// The place of a row.
    pub(super) fn new(world: &'a World, access: Access, row: &str) -> Place<'a> {
        Place {
            world,
            access,
            name: row.to_owned(),
            namespace: format!("e2e-{}", world.id(row)),
            kept: Mutex::new(Vec::new()),
        }
    }

    /// Lets a server run until the row is over.
    pub(super) fn keep(&self, server: Sink) {
        self.kept.lock().expect("nobody panics with it").push(server);
    }

    /// The path of a kind in the namespace, core ones without a group.
    pub(super) fn path(&self, kind: &str) -> String {
        let (root, kind) = match kind.rsplit_once('/') {
            Some((group, kind)) => (format!("/apis/{group}"), kind),
            None => ("/api/v1".to_owned(), kind),
        };
        format!("{root}/namespaces/{}/{kind}", self.namespace)
    }

    /// The path of the namespace.
    pub(super) fn itself(&self) -> String {
        format!("/api/v1/namespaces/{}", self.namespace)
    }

    /// Lets the worker's permissions outlive a deletion of the namespace.
    pub(super) fn keep_bindings(&self) {
        self.finalize_bindings(&json!(["example.com/held"]));
    }

    /// Lets them go.
    pub(super) fn let_bindings_go(&self) {
        self.finalize_bindings(&Value::Null);
    }

    /// Takes the worker's permissions away.
    pub(super) fn delete_bindings(&self) {
        for binding in self.bindings() {
            self.world.cluster.delete(&binding);
        }
    }

    fn finalize_bindings(&self, finalizers: &Value) {
        let change = json!({"metadata": {"finalizers": finalizers}});
        for binding in self.bindings() {
            self.world.cluster.patch(&binding, &change);
        }
    }

    /// The paths of the RoleBindings.
    fn bindings(&self) -> Vec<String> {
        let bindings = self.path("rbac.authorization.k8s.io/v1/rolebindings");
        let list = self.world.cluster.get(&bindings).unwrap_or_default();
        let names = list["items"].as_array().into_iter().flatten();
        names
            .filter_map(|binding| binding["metadata"]["name"].as_str())
            .map(|name| format!("{bindings}/{name}"))
            .collect()
    }

    /// Creates an object in the namespace.
    pub(super) fn add(&self, kind: &str, object: &Value) {
        self.world.cluster.create(&self.path(kind), object);
    }

    /// Waits until `look` sees something.
    pub(super) fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        eventually(PATIENCE, &format!("{}: {what}", self.name), look)
    }

    /// The path of the task's Job.
    pub(super) fn job_path(&self, task: &Task) -> String {
        format!("{}/{}", self.path("batch/v1/jobs"), self.world.job_name(task))
    }

    /// Waits until the task is known to run; returns its pod.
    pub(super) fn running(&self, task: &Task) -> Value {
        self.world.wait_for(&task.id, 2, PATIENCE);
        self.pod(task, |pod| pod["status"]["phase"] == "Running")
    }

    /// Waits for a pod of the task of which `wanted` is true.
    pub(super) fn pod(&self, task: &Task, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until("a pod", || {
            self.world.pods(task).into_iter().find(|pod| wanted(pod))
        })
    }

    /// The path of a pod.
    pub(super) fn pod_path(&self, pod: &Value) -> String {
        let name = pod["metadata"]["name"].as_str().expect("a pod has a name");
        format!("{}/{name}", self.path("pods"))
    }

    /// Writes a pod's status, as its kubelet or a controller would.
    pub(super) fn set_status(&self, pod: &Value, status: &Value) {
        let path = format!("{}/status", self.pod_path(pod));
        self.world.cluster.patch(&path, &json!({"status": status}));
    }

    /// Adds the condition that says that a pod is disrupted, and by whom.
    ///
    /// The controller manager takes it back where it is older than two minutes.
    pub(super) fn mark_disrupted(&self, pod: &Value, reason: &str, message: &str) {
        let mut conditions = pod["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        conditions.push(json!({
            "type": "DisruptionTarget",
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": jiff::Timestamp::now().to_string(),
        }));
        self.set_status(pod, &json!({"conditions": conditions}));
    }

    /// Waits until the API server answers a try to create such an object with a refusal.
    pub(super) fn until_refused(&self, kind: &str, object: &Value) {
        self.until("a refusal", || {
            (self.world.cluster.dry_run(&self.path(kind), object).0 >= 400).then_some(())
        });
    }

    /// The answer to a request, made once more in the name of the worker; a create is tried and not carried out.
    pub(super) fn answer(&self, asks: Asks, task: &Task) -> (u16, Value) {
        let account = match self.access {
            Access::Patch => "job-worker-patch-sa",
            Access::Needed | Access::None => "job-worker-sa",
        };
        let user = format!("system:serviceaccount:{WORKER_NAMESPACE}:{account}");
        let jobs = self.path("batch/v1/jobs");
        let cluster = &self.world.cluster;
        match asks {
            Asks::Nothing => (0, Value::Null),
            Asks::Create => {
                let job = plain_job(&self.world.job_name(task));
                cluster.ask_as(&user, "POST", &format!("{jobs}?dryRun=All"), Some(&job))
            }
            Asks::List => cluster.ask_as(&user, "GET", &jobs, None),
            Asks::Get => cluster.ask_as(&user, "GET", &self.job_path(task), None),
        }
    }

    /// The names of the Jobs that the worker created in this namespace.
    pub(super) fn created(&self) -> Vec<String> {
        let entries = self.world.cluster.audit(&self.namespace);
        entries
            .into_iter()
            .filter(|entry| entry.namespace == self.namespace && entry.resource == "jobs")
            .filter(|entry| entry.verb == "create" && entry.code == 201)
            .filter(|entry| entry.user.starts_with("system:serviceaccount:job-worker:"))
            .map(|entry| entry.name)
            .collect()
    }
}

/// A Job that asks for nothing.
pub(super) fn plain_job(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"template": plain_pod(name)}})
}

/// A pod that asks for nothing.
pub(super) fn plain_pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox:latest", "command": ["sleep", "600"]}],
        },
    })
}
