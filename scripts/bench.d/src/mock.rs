//! Whole lives of tasks against the embedded cluster, and which process and thread spends how much on each.
//!
//! Everything shares this machine: worker, Redis, cluster and receiver. The cluster's pods are scripted and run no process.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fixtures::embedded::{Embedded, Options as Cluster, Resource};
use fixtures::redis::{self as server, Server};
use fixtures::sink::{Script, Sink};
use fixtures::worker::Worker;
use serde_json::{Value, json};

use crate::micro::rate;
use crate::spent::{Spent, by_thread, redis_server};
use crate::verdict::{Bound, Table};

const QUEUE: &str = "queue-";
/// Callbacks of a life that ends well.
const CALLBACKS: usize = 3;
/// Lives that are not counted: connections open, caches fill.
const WARM_UP: usize = 200;
/// Longest wait for a leader, and for the next callback.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages pushed with one round trip.
const PAGE: usize = 500;

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The worker, a release build
    #[arg(long, env = "JOB_WORKER_BINARY")]
    binary: PathBuf,
    /// Tasks
    #[arg(long, default_value_t = 10_000)]
    tasks: usize,
}

/// Measures.
pub(crate) fn run(options: &Options) -> io::Result<Table> {
    let mut mock = Mock::new(options)?;
    mock.live("warm", WARM_UP)?;
    let before = mock.spent()?;
    let requests = mock.requests();
    let connections = mock.sink.connections();
    let begun = Instant::now();
    mock.live("task", options.tasks)?;
    let took = begun.elapsed();
    let requests = mock.requests() - requests;
    let connections = mock.sink.connections() - connections;
    let after = mock.spent()?;
    let tasks = options.tasks;
    let mut table = Table::default();
    table.add(
        format!("lives/s, {CALLBACKS} callbacks each, {tasks} tasks"),
        rate(tasks, took),
        None,
        Bound::AtLeast {
            goal: 5e3,
            floor: 2.5e3,
        },
    );
    let a_life = |count: usize| rate(count, Duration::from_secs(1)) / rate(tasks, Duration::from_secs(1));
    let at_most = |most| Bound::AtMost {
        goal: most,
        floor: most,
    };
    table.add(
        "requests to the API server a life",
        a_life(requests),
        None,
        at_most(1.02),
    );
    table.add(
        "connections to the receiver a callback",
        a_life(connections) / rate(CALLBACKS, Duration::from_secs(1)),
        None,
        at_most(0.01),
    );
    for (process, threads) in &after {
        let mut whole = 0.0;
        let mut rows = Vec::new();
        for (thread, spent) in threads {
            let earlier = before[process].get(thread).copied().unwrap_or_default();
            let micros =
                spent.saturating_sub(earlier).as_secs_f64() * 1e6 / rate(tasks, Duration::from_secs(1));
            whole += micros;
            rows.push((thread, micros));
        }
        table.add(
            format!("µs of processor time a life: {process}"),
            whole,
            None,
            Bound::Shown,
        );
        rows.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (thread, micros) in rows.into_iter().filter(|row| row.1 >= 1.0) {
            table.add(format!("  its threads {thread}"), micros, None, Bound::Shown);
        }
    }
    Ok(table)
}

struct Mock {
    worker: Worker,
    sink: Sink,
    cluster: Embedded,
    queue: redis::Connection,
    _directory: tempfile::TempDir,
    // Ends last.
    _redis: Server,
}

impl Mock {
    fn new(options: &Options) -> io::Result<Self> {
        let redis = Server::start(server::Options::default())?;
        let cluster = Embedded::start(Cluster {
            events_max: 0,
            history_max: 1 << 17,
            job_sync_delay: Duration::ZERO,
            ..Cluster::default()
        })?;
        let account = json!({"metadata": {"name": "default"}});
        match cluster.create(Resource::ServiceAccount, "default", account) {
            // The cluster's own controller was quicker.
            Err(refused) if refused.code == 409 => {}
            made => drop(made.map_err(io::Error::other)?),
        }
        let directory = tempfile::tempdir()?;
        let kubeconfig = directory.path().join("kubeconfig");
        cluster.kubeconfig(&kubeconfig)?;
        let environment = [
            ("POD_NAME", "worker-0".to_owned()),
            ("POD_NAMESPACE", "default".to_owned()),
            ("HTTP_SERVER_PORT", "0".to_owned()),
            ("REDIS_QUEUE_ENDPOINT", redis.url()),
            ("CACHE_REDIS_ENDPOINT", redis.url()),
            ("CACHE_REDIS_DB", "0".to_owned()),
            ("KUBECONFIG", kubeconfig.display().to_string()),
            ("WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let worker = Worker::start(&options.binary, "worker-0", &environment)?;
        worker.wait_for_line(PATIENCE, |line| line["msg"] == "this replica leads")?;
        Ok(Self {
            worker,
            sink: Sink::start(Script::default()),
            cluster,
            queue: redis.connection(0).map_err(io::Error::other)?,
            _directory: directory,
            _redis: redis,
        })
    }

    /// Lets so many tasks live from LPUSH to the verdict's callback.
    fn live(&mut self, name: &str, tasks: usize) -> io::Result<()> {
        let ids: Vec<String> = (0..tasks).map(|number| format!("{name}-{number:08}")).collect();
        for page in ids.chunks(PAGE) {
            let mut push = redis::pipe();
            for id in page {
                push.lpush(QUEUE, self.message(id).to_string()).ignore();
            }
            push.exec(&mut self.queue).map_err(io::Error::other)?;
        }
        let mut told = 0;
        while told < CALLBACKS * tasks {
            let callbacks = self.sink.take(PATIENCE);
            if callbacks.is_empty() {
                return Err(io::Error::other(format!(
                    "{told} callbacks of {tasks} tasks, and none within {PATIENCE:?}"
                )));
            }
            told += callbacks.len();
        }
        Ok(())
    }

    fn message(&self, id: &str) -> Value {
        json!({
            "id": id,
            "service": "bench",
            "webhook": {"url": self.sink.url("/callback")},
            "job": {
                "prefixName": "bench",
                "namespace": "default",
                "image": "scripted.invalid/ok",
                "command": ["/bin/sh", "-c", "echo Hello World"],
                "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}},
            },
        })
    }

    /// The requests about Jobs and pods; those about the lease are a matter of time.
    fn requests(&self) -> usize {
        let requests = self.cluster.requests();
        let of_tasks = requests
            .iter()
            .filter(|((_, kind), _)| kind == "jobs" || kind == "pods");
        let count: u64 = of_tasks.map(|(_, count)| count).sum();
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    fn spent(&mut self) -> io::Result<BTreeMap<&'static str, Spent>> {
        Ok(BTreeMap::from([
            ("worker", by_thread(self.worker.pid())?),
            ("Redis", redis_server(&mut self.queue)?),
            ("cluster and receiver", by_thread(std::process::id())?),
        ]))
    }
}
