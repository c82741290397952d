//! A running adapter with its scripted API server, and the objects that the tests speak of.

use adapters::cluster::names::Instance;
use adapters::cluster::{Cluster, Hooks, Report, Request, Settings};
use adapters::lease::Known;
use crossbeam_channel::{Receiver, Sender, unbounded};
use engine::{Digest, Event, JobSeen, Spec, TaskId, Timestamp, Uid};
use fixtures::apiserver::{Answer, ApiServer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest wait for what has to come.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const JOBS: &str = "/apis/batch/v1/jobs";
pub(crate) const PODS: &str = "/api/v1/pods";
pub(crate) const DEFAULT_JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
pub(crate) const DEFAULT_PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const JOB: &str = "/apis/batch/v1/namespaces/default/jobs/complete-aaaaaaaaaaaaaaaa";
pub(crate) const REVIEW: &str = "create /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
pub(crate) const NOW: Timestamp = Timestamp(1_795_502_500_000);

macro_rules! fixture {
    ($name:literal) => {
        serde_json::from_str::<serde_json::Value>(include_str!(concat!(
            "../../../fixtures/cluster/",
            $name,
            ".json"
        )))
        .unwrap()
    };
}
pub(crate) use fixture;

pub(crate) struct Bench {
    pub(crate) server: ApiServer,
    pub(crate) cluster: Cluster,
    pub(crate) reports: Receiver<Report>,
    pub(crate) counted: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Bench {
    /// Starts an adapter in front of an empty cluster.
    pub(crate) fn start() -> Self {
        Self::with(|_, _| {})
    }

    /// Starts an adapter after `script` has had its say.
    pub(crate) fn with(script: impl FnOnce(&ApiServer, &mut Settings)) -> Self {
        let (sender, reports) = unbounded();
        Self::over(sender, reports, script)
    }

    /// Starts an adapter that reports over this channel.
    pub(crate) fn over(
        sender: Sender<Report>,
        reports: Receiver<Report>,
        script: impl FnOnce(&ApiServer, &mut Settings),
    ) -> Self {
        Self::launch(sender, reports, script, |_| {})
    }

    /// Starts an adapter that shows the token of a file.
    pub(crate) fn known_by(token: &Path, script: impl FnOnce(&ApiServer, &mut Settings)) -> Self {
        let (sender, reports) = unbounded();
        Self::launch(sender, reports, script, |config| {
            config.auth_info.token_file = Some(token.display().to_string());
        })
    }

    fn launch(
        sender: Sender<Report>,
        reports: Receiver<Report>,
        script: impl FnOnce(&ApiServer, &mut Settings),
        identify: impl FnOnce(&mut kube::Config),
    ) -> Self {
        let server = ApiServer::start();
        let counted = Arc::new(Mutex::new(BTreeMap::new()));
        let mut settings = settings(&counted);
        script(&server, &mut settings);
        let mut config = kube::Config::new(server.url().parse().unwrap());
        identify(&mut config);
        let cluster = Cluster::connect(config, settings, sender).unwrap();
        Self {
            server,
            cluster,
            reports,
            counted,
        }
    }

    /// Returns the reports up to and with the first that is wanted.
    pub(crate) fn until(&self, wanted: impl Fn(&Report) -> bool) -> Vec<Report> {
        let deadline = Instant::now() + LIMIT;
        let mut seen = Vec::new();
        loop {
            match self.reports.recv_deadline(deadline) {
                Ok(report) => {
                    let found = wanted(&report);
                    seen.push(report);
                    if found {
                        return seen;
                    }
                }
                Err(_) => panic!("not reported; what was: {seen:#?}"),
            }
        }
    }

    /// Waits for the start to be over.
    pub(crate) fn synced(&self) {
        self.until(|report| *report == Report::Synced);
    }

    /// Sends a request and returns the facts of its answer.
    pub(crate) fn ask(&self, request: Request) -> Vec<Event> {
        self.cluster.request(request);
        self.facts()
    }

    /// Returns the next facts of `task()`.
    pub(crate) fn facts(&self) -> Vec<Event> {
        let mut reports = self.until(|report| matches!(report, Report::Facts { .. }));
        match reports.pop() {
            Some(Report::Facts { task: of, facts }) => {
                assert_eq!(of, task());
                facts
            }
            other => panic!("{other:?}"),
        }
    }

    /// Returns how often something was counted.
    pub(crate) fn count(&self, what: &str) -> u32 {
        self.counted.lock().unwrap().get(what).copied().unwrap_or(0)
    }
}

fn settings(counted: &Arc<Mutex<BTreeMap<String, u32>>>) -> Settings {
    let requests = Arc::clone(counted);
    let restarts = Arc::clone(counted);
    Settings {
        instance: Instance {
            namespace: "jobs".to_owned(),
            lock_name: "job-worker-lock".to_owned(),
        },
        pod_namespace: "jobs".to_owned(),
        watch_namespaces: None,
        known: Known::default(),
        request_timeout: 2 * LIMIT,
        creates_max: 4,
        write_timeout: Arc::new(|| Some(2 * LIMIT)),
        clock: Arc::new(|| NOW),
        relist_after: 2 * LIMIT,
        hooks: Hooks {
            request: Arc::new(move |verb, code| {
                *requests
                    .lock()
                    .unwrap()
                    .entry(format!("{verb} {code}"))
                    .or_insert(0) += 1;
            }),
            watch_restart: Arc::new(move |reason| {
                *restarts.lock().unwrap().entry(reason.to_owned()).or_insert(0) += 1;
            }),
        },
    }
}

/// The task that the fixtures `job-created` and `job-complete` belong to.
pub(crate) fn task() -> TaskId {
    TaskId::new("task-complete")
}

pub(crate) fn uid_of(object: &Value) -> Uid {
    Uid::new(object["metadata"]["uid"].as_str().unwrap())
}

pub(crate) fn spec() -> Spec {
    Spec {
        digest: Digest([1; 32]),
        namespace: "default".to_owned(),
        job_name: "complete-aaaaaaaaaaaaaaaa".to_owned(),
        service: "example".to_owned(),
        webhook: Some("http://webhook.example.com/callback".to_owned()),
        traceparent: None,
        received_at: Timestamp(1_795_502_400_123),
        start_timeout_secs: 600,
        active_deadline_secs: Some(600),
        ttl_secs: Some(60),
    }
}

/// What is seen of the fixtures' Jobs.
pub(crate) fn job_seen(job: &Value, ended_at: Option<Timestamp>) -> Event {
    Event::JobSeen(JobSeen {
        uid: uid_of(job),
        digest: Digest([1; 32]),
        received_at: Timestamp(1_795_502_400_123),
        created_at: Timestamp(1_795_502_894_000),
        ended_at,
        suspended: false,
        stoppable: false,
        by_pod: false,
    })
}

/// When the fixture `job-complete` ended.
pub(crate) const ENDED: Timestamp = Timestamp(1_795_502_898_000);

pub(crate) fn list(version: &str, items: &[&Value]) -> Answer {
    let metadata = json!({"resourceVersion": version});
    Answer::Json(200, json!({"kind": "List", "metadata": metadata, "items": items}))
}

pub(crate) fn status(code: u16, reason: &str, message: &str) -> Answer {
    Answer::Json(
        code,
        json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message,
            "details": {"kind": "jobs"}}),
    )
}

pub(crate) fn denied() -> Answer {
    Answer::Json(201, json!({"status": {"allowed": false}}))
}
