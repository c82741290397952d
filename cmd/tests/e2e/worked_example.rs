//! The worked example of the documentation, field by field.

use std::time::Duration;

use serde_json::{Value, json};

use crate::story::Told;
use crate::task::Task;
use crate::world::{World, end};

const MESSAGE: &str = include_str!("../../../fixtures/messages/valid/worked-example.json");

/// What the example needs in namespace `default`; it is left there.
fn prepare(world: &World) {
    let namespaced = "/api/v1/namespaces/default";
    let directory = world.cluster.facts.audit_log.with_file_name("worked-example");
    world.cluster.create(
        &format!("{namespaced}/configmaps"),
        &json!({"metadata": {"name": "configmap-name"}, "data": {"FROM_CONFIGMAP": "1"}}),
    );
    world.cluster.create(
        "/api/v1/persistentvolumes",
        &json!({
            "metadata": {"name": "worked-example"},
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "hostPath": {"path": directory, "type": "DirectoryOrCreate"},
            },
        }),
    );
    world.cluster.create(
        &format!("{namespaced}/persistentvolumeclaims"),
        &json!({
            "metadata": {"name": "persistent-volume-claim"},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "",
                "volumeName": "worked-example",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }),
    );
}

fn example(world: &World) -> Task {
    let mut message: Value = serde_json::from_str(MESSAGE).expect("the fixture is JSON");
    let id = uuid::Uuid::new_v4().to_string();
    message["id"] = id.clone().into();
    message["webhook"]["url"] = world.sink.url("/callback").into();
    Task {
        id,
        namespace: "default".to_owned(),
        prefix: "my-job".to_owned(),
        message,
    }
}

#[test]
fn the_worked_example_runs_and_its_job_is_what_the_message_asks_for() {
    let world = World::new("worked-example");
    prepare(&world);
    let worker = world.worker("worker-0");
    let task = example(&world);
    world.push(&task);

    world.verdict(&task.id, Duration::from_secs(180));
    let job = world.job(&task);
    world.assert_completed(&task);
    end(worker);
    world.assert_completed(&task);

    assert_job(&world, &task, &job);
    let pod = world.pod(&task);
    assert_eq!(pod["spec"]["nodeName"], "k8s-node-1");
    assert_eq!(world.dead_letters(), []);
}

/// Compares the Job with CONTRACT 4, what the API server adds left aside.
fn assert_job(world: &World, task: &Task, job: &Value) {
    let instance = world.instance();
    let name = world.job_name(task);
    assert!(name.starts_with("my-job-") && name.len() == "my-job-".len() + 16);
    assert_eq!(job["metadata"]["name"], name);

    let annotations = &job["metadata"]["annotations"];
    let (digest, received) = (
        &annotations["job-worker/digest"],
        &annotations["job-worker/received-at"],
    );
    assert_eq!(digest.as_str().map(str::len), Some(64));
    assert!(received.as_str().is_some_and(|ms| ms.parse::<u64>().is_ok()));
    let limits: Value = parsed(&annotations["job-worker/limits"]);
    assert_eq!(
        limits,
        json!({"startTimeoutSeconds": 600, "activeDeadlineSeconds": 600, "ttlSecondsAfterFinished": 60})
    );
    assert_eq!(
        *annotations,
        json!({
            "job-worker/digest": digest,
            "job-worker/id": task.id,
            "job-worker/instance": instance.to_string(),
            "job-worker/limits": annotations["job-worker/limits"],
            "job-worker/received-at": received,
            "job-worker/service": "example",
            "job-worker/webhook": world.sink.url("/callback"),
        })
    );
    let ours = json!({
        "app": "example",
        "app.kubernetes.io/name": "example",
        "jobId": task.id,
        "job-worker/instance": instance.hash(),
        "job-worker/task": adapters::cluster::names::task_hash(&instance, "default", &task.id),
    });
    // A Job without labels of its own gets those of its template: the API server adds nothing here.
    assert_eq!(job["metadata"]["labels"], ours);

    let spec = &job["spec"];
    assert_eq!(spec["backoffLimit"], 0);
    assert_eq!(spec["activeDeadlineSeconds"], 600);
    assert_eq!(spec["ttlSecondsAfterFinished"], 60);
    for absent in ["podFailurePolicy", "successPolicy", "managedBy"] {
        assert_eq!(spec[absent], Value::Null, "{absent}");
    }
    // What every Job has by default.
    assert_eq!(
        (&spec["parallelism"], &spec["completions"], &spec["suspend"]),
        (&json!(1), &json!(1), &json!(false))
    );
    assert_pod_template(job, &ours);
}

fn parsed(text: &Value) -> Value {
    let text = text.as_str().expect("an annotation is text");
    serde_json::from_str(text).expect("it is JSON")
}

fn remove(object: &mut Value, names: &[&str]) {
    let object = object.as_object_mut().expect("it is an object");
    object.retain(|name, _| !names.contains(&name.as_str()));
}

fn assert_pod_template(job: &Value, ours: &Value) {
    let template = &job["spec"]["template"];
    let mut labels = template["metadata"]["labels"].clone();
    // What the API server adds to find the pods of a Job.
    let added = [
        "batch.kubernetes.io/controller-uid",
        "batch.kubernetes.io/job-name",
        "controller-uid",
        "job-name",
    ];
    remove(&mut labels, &added);
    let mut wanted = ours.clone();
    wanted["sidecar.istio.io/inject"] = "false".into();
    assert_eq!(labels, wanted);
    let on_job = &job["metadata"]["annotations"];
    let names = [
        "job-worker/digest",
        "job-worker/id",
        "job-worker/instance",
        "job-worker/received-at",
    ];
    let mut wanted: Value = names
        .iter()
        .map(|name| ((*name).to_owned(), on_job[*name].clone()))
        .collect();
    wanted["sidecar.istio.io/inject"] = "false".into();
    assert_eq!(template["metadata"]["annotations"], wanted);
    let mut pod = template["spec"].clone();
    // Defaults of the API server.
    let added = [
        "dnsPolicy",
        "schedulerName",
        "securityContext",
        "terminationGracePeriodSeconds",
    ];
    remove(&mut pod, &added);
    remove(
        &mut pod["containers"][0],
        &["imagePullPolicy", "terminationMessagePath"],
    );
    assert_eq!(
        pod,
        json!({
            "containers": [{
                "name": "example",
                "image": "busybox:latest",
                "command": ["/bin/sh", "-c", "echo Hello World"],
                "env": [{"name": "ENV_VAR", "value": "value"}],
                "envFrom": [{"configMapRef": {"name": "configmap-name"}}],
                "resources": {
                    "limits": {"cpu": "1", "memory": "512Mi"},
                    "requests": {"cpu": "500m", "memory": "256Mi"},
                },
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": [{"mountPath": "/workdir", "name": "volume"}],
            }],
            "enableServiceLinks": false,
            "nodeSelector": {"kubernetes.io/hostname": "k8s-node-1"},
            "restartPolicy": "Never",
            "serviceAccount": "default",
            "serviceAccountName": "default",
            "tolerations": [{"effect": "NoSchedule", "key": "key", "operator": "Equal", "value": "value"}],
            "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": "persistent-volume-claim"}}],
        })
    );
}

#[test]
fn the_ttl_of_a_job_removes_it_and_nothing_more_is_told() {
    let world = World::new("ttl");
    let worker = world.worker("worker-0");
    let task = world.task("ttl", "true").with("ttlSecondsAfterFinished", 31);
    world.push(&task);
    world.verdict(&task.id, Duration::from_secs(180));
    world.assert_completed(&task);
    let (job, pod) = (world.job(&task), world.pod(&task));
    crate::world::eventually(Duration::from_secs(180), "the Job is gone by its TTL", || {
        world.find_job(&task).is_none().then_some(())
    });
    end(worker);
    assert_eq!(
        world.told(&task.id),
        [Told::created(&job), Told::started(&pod), Told::completed(&job)]
    );
}
