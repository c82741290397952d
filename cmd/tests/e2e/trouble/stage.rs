//! Replicas behind relays, and their tasks before, during and after a trouble.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use fixtures::kubernetes::Access;
use fixtures::worker::Worker;

use super::account::Account;
use super::cluster;
use super::judge;
use super::relay::Relay;
use crate::story::Told;
use crate::task::Task;
use crate::world::{World, binary, end, eventually};

/// The longest wait for anything: a trouble is judged by what follows, not by how soon.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// One replica.
pub(super) struct Replica {
    pub(super) worker: Worker,
    pub(super) relay: Relay,
    pub(super) account: Account,
}

/// A world whose replicas suffer.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) replicas: Vec<Replica>,
    pub(super) lease: Duration,
    name: String,
    /// Tasks that go well, and those that end with exit code 7.
    well: Vec<Task>,
    badly: Vec<Task>,
    /// Tasks whose Jobs are gone in the end.
    pub(super) gone: Vec<Task>,
    /// The connections that were tried, and when, at the begin of the trouble.
    since: Option<(usize, Instant, i64)>,
}

impl Stage {
    /// Starts replicas with a lease of so many seconds.
    pub(super) fn new(name: &str, access: Access, replicas: usize, lease_seconds: u64) -> Stage {
        Stage::prepared(name, access, replicas, lease_seconds, &[], |_, _| {})
    }

    /// Starts replicas with further variables, after `prepare` has had its say about how they know their API server.
    pub(super) fn prepared(
        name: &str,
        access: Access,
        replicas: usize,
        lease_seconds: u64,
        variables: &[(&str, &str)],
        prepare: impl Fn(&Account, &Relay),
    ) -> Stage {
        let world = World::on(cluster(), name, access);
        let mut stage = Stage {
            world,
            replicas: Vec::new(),
            lease: Duration::from_secs(lease_seconds),
            name: name.to_owned(),
            well: Vec::new(),
            badly: Vec::new(),
            gone: Vec::new(),
            since: None,
        };
        for n in 0..replicas {
            let relay = Relay::start(stage.port()).expect("a relay can listen");
            let cluster = &stage.world.cluster;
            let account = Account::new(cluster, access, &relay.url(), &stage.secret(n));
            prepare(&account, &relay);
            stage.start(n, relay, account, variables);
        }
        stage
    }

    /// The port of the API server.
    fn port(&self) -> u16 {
        let port = self.world.cluster.facts.server.rsplit(':').next();
        let port = port.and_then(|port| port.parse().ok());
        port.expect("the server has a port")
    }

    /// The Secret that the token of a replica is bound to.
    pub(super) fn secret(&self, n: usize) -> String {
        format!("{}-{n}", self.world.namespace)
    }

    fn start(&mut self, n: usize, relay: Relay, account: Account, variables: &[(&str, &str)]) {
        let kubeconfig = account.kubeconfig().display().to_string();
        let lease = self.lease.as_secs().to_string();
        let mut settings = vec![
            ("KUBECONFIG", kubeconfig.as_str()),
            ("LEADER_ELECTION_LEASE_SECONDS", lease.as_str()),
        ];
        settings.extend(variables);
        let worker = self.world.worker_with(&format!("worker-{n}"), &settings);
        self.replicas.push(Replica {
            worker,
            relay,
            account,
        });
    }

    /// Sends a task that goes well.
    pub(super) fn well(&mut self, name: &str, script: &str) -> Task {
        let task = self.world.task(name, script);
        self.world.push(&task);
        self.well.push(task.clone());
        task
    }

    /// Sends a task that ends with exit code 7.
    pub(super) fn badly(&mut self, name: &str, script: &str) -> Task {
        let task = self.world.task(name, &format!("{script}; exit 7"));
        self.world.push(&task);
        self.badly.push(task.clone());
        task
    }

    /// Tasks that run when the trouble begins: some end within it, one after it.
    pub(super) fn before(&mut self, trouble: Duration) {
        let longer = trouble.as_secs() + 15;
        let running = [
            self.well("ends", "exec sleep 8"),
            self.badly("fails", "sleep 8"),
            self.well("outlives", &format!("exec sleep {longer}")),
        ];
        for task in &running {
            self.world.wait_for(&task.id, 2, PATIENCE);
        }
    }

    /// The trouble begins: whatever is tried from here on is counted.
    pub(super) fn begins(&mut self) {
        let now = jiff::Timestamp::now().as_millisecond();
        self.since = Some((self.tried(), Instant::now(), now));
    }

    /// Tasks that come within the trouble.
    pub(super) fn during(&mut self) {
        self.well("came-1", "true");
        self.well("came-2", "exec sleep 3");
        self.badly("came-3", "true");
    }

    /// The trouble is over: nothing was tried in a tight loop. Returns the connections that were tried.
    pub(super) fn ends(&mut self) -> usize {
        let (tried, at, _) = self.since.expect("the trouble has begun");
        let (tried, lasted) = (self.tried() - tried, at.elapsed());
        judge::pace(
            &self.name,
            "connections",
            tried,
            lasted,
            self.lease,
            self.replicas.len(),
        );
        tried
    }

    /// Connections that the replicas have tried so far.
    pub(super) fn tried(&self) -> usize {
        self.replicas.iter().map(|replica| replica.relay.tried()).sum()
    }

    /// Waits for every verdict, and for those of two more tasks.
    pub(super) fn after(&mut self) {
        let sent: Vec<Task> = self.well.iter().chain(&self.badly).cloned().collect();
        for task in &sent {
            self.world.verdict(&task.id, PATIENCE);
        }
        for task in [self.well("later-1", "true"), self.badly("later-2", "true")] {
            self.world.verdict(&task.id, PATIENCE);
        }
    }

    /// The probes tell of an API server that is away, and do not ask for a restart.
    pub(super) fn assert_not_ready(&self) {
        for replica in &self.replicas {
            eventually(PATIENCE, "the outage shows on /readyz", || {
                (replica.worker.get("/readyz").ok()?.0 == 503).then_some(())
            });
            assert_eq!(replica.worker.get("/healthz").expect("the door answers").0, 200);
        }
    }

    /// Waits until a replica has written a line to its log that holds a text.
    pub(super) fn await_line(&self, text: &str) {
        eventually(PATIENCE, &format!("{text:?} in a log"), || {
            self.has_line(text).then_some(())
        });
    }

    /// Whether a replica has written such a line.
    pub(super) fn has_line(&self, text: &str) -> bool {
        let mut logs = self.replicas.iter().map(|replica| replica.worker.log());
        logs.any(|lines| lines.iter().any(|line| line.to_string().contains(text)))
    }

    /// Waits until a metric is above zero.
    pub(super) fn await_metric(&self, name: &str) {
        eventually(PATIENCE, name, || (self.metric(name) > 0.0).then_some(()));
    }

    /// The sum of a metric over the replicas.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let values = self.replicas.iter();
        values
            .map(|replica| replica.worker.metric(name).unwrap_or(0.0))
            .sum()
    }

    /// One replica leads in the end, and each task has one Job and the one story that fits it.
    pub(super) fn judge(mut self) {
        for task in &self.well {
            self.world.assert_completed(task);
        }
        for task in &self.badly {
            let (job, pod) = (self.world.job(task), self.world.pod(task));
            let said = "Job execution failed with exit code 7 (container tests, reason Error)";
            let told = [
                Told::created(&job),
                Told::started(&pod),
                Told::failed("JOB_EXECUTION_FAILED", said),
            ];
            assert_eq!(self.world.told(&task.id), told);
        }
        self.world
            .assert_jobs(self.well.iter().chain(&self.badly), &self.gone);
        self.judge_replicas();
    }

    /// What holds whatever became of the tasks: one leader at a time, a bounded number of requests, a store that fits the Jobs.
    pub(super) fn judge_replicas(&mut self) {
        eventually(PATIENCE, "one replica leads", || {
            (self.metric("job_worker_leader") == 1.0).then_some(())
        });
        // The audit log knows replicas by their tokens, and one alone may have had two.
        let several = self.replicas.len() > 1;
        let terms = if several {
            judge::terms(&self.world, self.lease)
        } else {
            1
        };
        let (_, at, since_ms) = self.since.expect("there was a trouble");
        let requests = judge::requests(&self.world, since_ms);
        judge::pace(
            &self.name,
            "requests",
            requests,
            at.elapsed(),
            self.lease,
            self.replicas.len(),
        );
        let audit = self.audit();
        assert_eq!(audit, "", "what job-worker audit finds");
        eprintln!("trouble: {}: {terms} terms, {requests} requests", self.name);
        for replica in self.replicas.drain(..) {
            end(replica.worker);
        }
    }

    /// What `job-worker audit` says, empty where everything fits.
    fn audit(&self) -> String {
        let kubeconfig = self.replicas[0].account.kubeconfig();
        let output = Command::new(binary())
            .args(["audit", "--namespace", &self.world.namespace])
            .env_clear()
            .envs(self.world.environment("auditor"))
            .env("KUBECONFIG", kubeconfig)
            .output()
            .expect("cargo has built the binary");
        let mut said = String::new();
        if !output.status.success() {
            let (out, err) = (&output.stdout, &output.stderr);
            write!(
                said,
                "{}{}",
                String::from_utf8_lossy(out),
                String::from_utf8_lossy(err)
            )
            .expect("a String never refuses");
        }
        said
    }
}
