//! Trouble of the API server as a whole, and of what it keeps.

use std::time::{Duration, Instant};

use fixtures::kubernetes::{Access, WORKER_NAMESPACE};
use serde_json::json;

use super::cluster;
use super::stage::{PATIENCE, Stage};
use crate::story::statuses;
use crate::world::eventually;

/// Runs a verb of `scripts/cluster`.
fn run(verb: &str, options: &[&str]) {
    cluster().run(verb, options).expect("the cluster can be harmed");
}

/// Lets a trouble last.
fn last(since: Instant, seconds: u64) {
    let lasted = || (since.elapsed() >= Duration::from_secs(seconds)).then_some(());
    eventually(PATIENCE, "the trouble lasts", lasted);
}

/// Waits until a watch was begun anew for a reason.
fn await_restarts(stage: &Stage, reason: &str) {
    stage.await_metric(&format!("job_worker_watch_restarts_total{{reason=\"{reason}\"}}"));
}

/// Two replicas with the permissions that are needed, and one with `patch`, suffer the same.
fn stages(name: &str, lease_seconds: u64) -> [Stage; 2] {
    [
        Stage::new(&format!("{name}-needed"), Access::Needed, 2, lease_seconds),
        Stage::new(&format!("{name}-patch"), Access::Patch, 1, lease_seconds),
    ]
}

/// Plays a trouble of so many seconds that loses nothing.
fn suffer(name: &str, lease_seconds: u64, seconds: u64, trouble: impl FnOnce(&mut [Stage; 2])) {
    let mut stages = stages(name, lease_seconds);
    for stage in &mut stages {
        stage.before(Duration::from_secs(seconds));
    }
    stages.iter_mut().for_each(Stage::begins);
    trouble(&mut stages);
    for stage in &mut stages {
        stage.ends();
        stage.after();
    }
    stages.into_iter().for_each(Stage::judge);
}

#[test]
fn a_restart_of_the_api_server_is_no_more_than_a_pause() {
    suffer("restart", 15, 5, |stages| {
        run("stop-apiserver", &["--term"]);
        stages.iter_mut().for_each(Stage::during);
        for stage in stages.iter() {
            await_restarts(stage, "ended");
        }
        run("start-apiserver", &[]);
    });
}

#[test]
fn an_api_server_that_is_away_for_a_minute_ends_no_task() {
    suffer("absence", 15, 60, |stages| {
        run("stop-apiserver", &[]);
        let began = Instant::now();
        stages.iter_mut().for_each(Stage::during);
        stages.iter().for_each(Stage::assert_not_ready);
        last(began, 60);
        for stage in stages.iter() {
            assert_eq!(
                stage.metric("job_worker_leader"),
                0.0,
                "nobody leads beyond the lease"
            );
        }
        run("start-apiserver", &[]);
    });
}

#[test]
fn an_api_server_that_is_frozen_beyond_the_lease_makes_no_second_job() {
    suffer("frozen", 6, 20, |stages| {
        stages.iter_mut().for_each(Stage::during);
        run("freeze-apiserver", &[]);
        let began = Instant::now();
        stages.iter().for_each(Stage::assert_not_ready);
        last(began, 20);
        run("thaw-apiserver", &[]);
    });
}

#[test]
fn watches_that_cannot_be_resumed_begin_with_a_new_list() {
    suffer("compacted", 15, 5, |stages| {
        run("stop-apiserver", &[]);
        run("compact", &[]);
        stages.iter_mut().for_each(Stage::during);
        run("start-apiserver", &[]);
        for stage in stages.iter() {
            await_restarts(stage, "broken");
        }
    });
}

#[test]
fn replicas_without_the_permission_on_leases_lead_again_once_they_have_it() {
    suffer("leaseless", 6, 15, |stages| {
        let bindings =
            format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{WORKER_NAMESPACE}/rolebindings");
        let names = ["job-worker", "job-worker-patch-base", "job-worker-patch"];
        for name in names {
            cluster().delete(&format!("{bindings}/{name}"));
        }
        for stage in stages.iter() {
            stage.await_line("leases (coordination.k8s.io)");
            eventually(PATIENCE, "nobody leads", || {
                (stage.metric("job_worker_leader") == 0.0).then_some(())
            });
        }
        stages.iter_mut().for_each(Stage::during);
        cluster().bind(WORKER_NAMESPACE, Access::Patch);
    });
}

/// Holds the only place for changes: an admission webhook does not answer, for the seconds that it is given.
fn hold_the_only_place(name: &str) -> impl FnOnce() + use<> {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    nobody.set_nonblocking(true).expect("a socket can be set");
    let port = nobody.local_addr().expect("it listens").port();
    // The Lease of the replicas has the name that was given.
    let name = format!("{name}-holds");
    let webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    cluster().create(
        webhooks,
        &json!({
            "metadata": {"name": name.as_str()},
            "webhooks": [{
                "name": "holds.example.com",
                "clientConfig": {"url": format!("https://127.0.0.1:{port}/")},
                "rules": [{
                    "apiGroups": ["coordination.k8s.io"], "apiVersions": ["v1"],
                    "operations": ["CREATE"], "resources": ["leases"],
                }],
                "objectSelector": {"matchLabels": {"holds": "the-place"}},
                "failurePolicy": "Ignore",
                "sideEffects": "None",
                "timeoutSeconds": 10,
                "admissionReviewVersions": ["v1"],
            }],
        }),
    );
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{WORKER_NAMESPACE}/leases");
    let lease = json!({"metadata": {"name": name.as_str(), "labels": {"holds": "the-place"}}});
    let (held, configuration) = (format!("{leases}/{name}"), format!("{webhooks}/{name}"));
    let holder = std::thread::spawn(move || {
        // It may be turned away itself.
        eventually(PATIENCE, "the place is held", || {
            let began = Instant::now();
            let code = cluster().create_as("job-worker-sa", &leases, &lease);
            cluster().delete(&held);
            (code == 201 && began.elapsed() > Duration::from_secs(5)).then_some(())
        });
    });
    let call = eventually(PATIENCE, "the API server asks nobody", || nobody.accept().ok());
    move || {
        holder.join().expect("the place was held");
        drop(call);
        cluster().delete(&configuration);
    }
}

#[test]
fn an_api_server_that_asks_for_patience_is_given_it() {
    let narrow = [
        "--apiserver-flag=--enable-priority-and-fairness=false",
        "--apiserver-flag=--max-mutating-requests-inflight=1",
    ];
    suffer("patience", 30, 30, |stages| {
        run("stop-apiserver", &[]);
        run("start-apiserver", &narrow);
        let release = hold_the_only_place(&stages[0].world.lock_name);
        stages.iter_mut().for_each(Stage::during);
        for stage in stages.iter() {
            stage.await_metric("job_worker_kubernetes_requests_total{code=\"429\",verb=\"create\"}");
        }
        release();
        run("stop-apiserver", &[]);
        run("start-apiserver", &[]);
    });
}

#[test]
fn older_data_that_is_restored_makes_no_second_job_and_no_second_verdict() {
    let mut stages = stages("restored", 15);
    let mut kept = Vec::new();
    for stage in &mut stages {
        kept.push(stage.well("kept", "exec sleep 45"));
        kept.push(stage.well("done", "true"));
    }
    for (n, task) in kept.iter().enumerate() {
        let count = if n % 2 == 0 { 2 } else { 3 };
        stages[n / 2].world.wait_for(&task.id, count, PATIENCE);
    }
    run("save", &[]);
    let mut lost = Vec::new();
    for stage in &stages {
        let tasks = [
            stage.world.task("lost", "exec sleep 600"),
            stage.world.task("over", "true"),
        ];
        tasks.iter().for_each(|task| stage.world.push(task));
        stage.world.wait_for(&tasks[0].id, 2, PATIENCE);
        stage.world.verdict(&tasks[1].id, PATIENCE);
        lost.push(tasks);
    }
    stages.iter_mut().for_each(Stage::begins);
    run("restore", &[]);
    for (stage, [running, over]) in stages.iter_mut().zip(&lost) {
        stage.ends();
        let told = stage.world.verdict(&running.id, PATIENCE);
        assert_eq!(told.len(), 3, "{told:?}");
        told[2].assert_says("JOB_RESULT_UNKNOWN", &[]);
        assert_eq!(stage.world.find_job(running), None);
        let told = stage.world.told(&over.id);
        assert_eq!(statuses(&told), [0, 1, 2]);
        stage.gone.extend([running.clone(), over.clone()]);
        stage.after();
    }
    stages.into_iter().for_each(Stage::judge);
}
