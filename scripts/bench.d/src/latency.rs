//! How long an idle worker takes from LPUSH to the POST of the Job, beside a POST without a worker.
//!
//! Both end at the same point, when the API server has received the request, by its audit log; both begin on the same clock, before
//! the bytes are sent. The raw POST carries the same Job, with the same ServiceAccount, over a connection that is open.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use adapters::cluster::manifest::{self, Identity, Ttl};
use adapters::cluster::names::{self, Instance};
use adapters::message;
use fixtures::kubernetes::{Access, Cluster, WORKER_NAMESPACE};
use fixtures::redis::{self as server, Server};
use fixtures::worker::Worker;
use jiff::Timestamp;
use redis::Commands as _;
use serde_json::{Value, json};

use crate::Place;
use crate::sample::Samples;
use crate::verdict::{Bound, Table};

const QUEUE: &str = "queue-";
const PREFIX: &str = "bench";
/// Longest wait for a leader, or for one Job.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rounds that are not counted: connections open, caches fill.
const WARM_UP: usize = 5;

/// What is measured, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// How many of each
    #[arg(long, default_value_t = 200)]
    samples: usize,
    /// Rest between two, in milliseconds
    #[arg(long, default_value_t = 100)]
    rest: u64,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> io::Result<Table> {
    let mut bench = Bench::new(&options.place)?;
    let mut sent = Vec::new();
    for round in 0..WARM_UP + options.samples.div_ceil(2) {
        // A B B A: what drifts hits both alike.
        for way in [Way::Worker, Way::Raw, Way::Raw, Way::Worker] {
            let one = match way {
                Way::Worker => bench.by_worker()?,
                Way::Raw => bench.raw()?,
            };
            if round >= WARM_UP {
                sent.push(one);
            }
            thread::sleep(Duration::from_millis(options.rest));
        }
    }
    let posts = posts(&bench.cluster.facts.audit_log, &bench.namespace)?;
    let table = table(&sent, &posts);
    bench.end();
    Ok(table)
}

/// How a Job is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Worker,
    Raw,
}

/// One Job that was asked for.
#[derive(Debug)]
struct Sent {
    way: Way,
    job: String,
    at: Timestamp,
    /// How long LPUSH or POST took until it was answered.
    answered: Duration,
}

/// A POST as the API server saw it.
#[derive(Clone, Copy, Debug)]
struct Post {
    received: Timestamp,
    answered: Timestamp,
}

struct Bench {
    cluster: Cluster,
    namespace: String,
    queue: redis::Connection,
    worker: Worker,
    lines: usize,
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
    count: usize,
    // Ends after the worker.
    _redis: Server,
}

impl Bench {
    fn new(place: &Place) -> io::Result<Bench> {
        // Only a second call finds one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let cluster = Cluster::open(&place.cluster)?;
        let nonce: String = uuid::Uuid::new_v4()
            .simple()
            .to_string()
            .chars()
            .take(6)
            .collect();
        let namespace = format!("bench-{nonce}");
        cluster.create_namespace(&namespace, Access::Needed);
        let redis = Server::start(server::Options::default())?;
        let environment = [
            ("POD_NAME", "worker-0".to_owned()),
            ("POD_NAMESPACE", WORKER_NAMESPACE.to_owned()),
            ("LEADER_ELECTION_LOCK_NAME", namespace.clone()),
            ("HTTP_SERVER_PORT", "0".to_owned()),
            ("REDIS_QUEUE_ENDPOINT", redis.url()),
            ("CACHE_REDIS_ENDPOINT", redis.url()),
            ("CACHE_REDIS_DB", "1".to_owned()),
            (
                "KUBECONFIG",
                cluster.facts.worker_kubeconfig.display().to_string(),
            ),
            ("LOG_FORMAT", "json".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let worker = Worker::start(&place.binary, "worker-0", &environment)?;
        worker.wait_for_line(PATIENCE, |line| line["msg"] == "this replica leads")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let client = runtime.block_on(client(&cluster.facts.worker_kubeconfig))?;
        Ok(Bench {
            queue: redis.connection(0).map_err(io::Error::other)?,
            lines: 0,
            count: 0,
            cluster,
            namespace,
            worker,
            runtime,
            client,
            _redis: redis,
        })
    }

    /// Pushes a message and waits until its task is Created.
    fn by_worker(&mut self) -> io::Result<Sent> {
        let (id, message) = self.message();
        let job = names::job_name(&self.instance(), &self.namespace, &id, PREFIX);
        let message = message.to_string();
        let (at, begun) = (Timestamp::now(), Instant::now());
        let _length: u64 = self.queue.lpush(QUEUE, message).map_err(io::Error::other)?;
        let answered = begun.elapsed();
        while begun.elapsed() < PATIENCE {
            let lines = self.worker.lines_after(self.lines, PATIENCE);
            self.lines += lines.len();
            let done = |line: &String| line.contains(&id) && line.contains(r#""to":"Created""#);
            if lines.iter().any(done) {
                return Ok(Sent {
                    way: Way::Worker,
                    job,
                    at,
                    answered,
                });
            }
        }
        Err(io::Error::other(format!("no Job for {id} within {PATIENCE:?}")))
    }

    /// Posts the Job that the worker would make of a message.
    fn raw(&mut self) -> io::Result<Sent> {
        let (_, message) = self.message();
        let raw = message.to_string();
        let parsed =
            message::parse(raw.as_bytes()).map_err(|_| io::Error::other("the message is refused"))?;
        // Of another instance: the worker looks away.
        let instance = Instance {
            lock_name: format!("{}-raw", self.namespace),
            ..self.instance()
        };
        let job = manifest::job(
            &parsed.message,
            &Identity {
                instance: &instance,
                digest: &parsed.digest,
                received_at_ms: 0,
                start_timeout_seconds: 600,
                ttl: Ttl::AtCreation,
            },
        );
        let body = serde_json::to_vec(&job)?;
        let request = http::Request::post(format!("/apis/batch/v1/namespaces/{}/jobs", self.namespace))
            .header("Content-Type", "application/json")
            .body(body)
            .map_err(io::Error::other)?;
        let (at, begun) = (Timestamp::now(), Instant::now());
        self.runtime
            .block_on(self.client.request_text(request))
            .map_err(io::Error::other)?;
        let answered = begun.elapsed();
        let job = job.metadata.name.unwrap_or_default();
        Ok(Sent {
            way: Way::Raw,
            job,
            at,
            answered,
        })
    }

    fn message(&mut self) -> (String, Value) {
        self.count += 1;
        let id = format!("{}-{}", self.namespace, self.count);
        let message = json!({
            "id": id,
            "service": "bench",
            "job": {
                "prefixName": PREFIX,
                "namespace": self.namespace,
                "image": "busybox:latest",
                "command": ["/bin/sh", "-c", "echo Hello World"],
                "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}},
            },
        });
        (id, message)
    }

    fn instance(&self) -> Instance {
        Instance {
            namespace: WORKER_NAMESPACE.to_owned(),
            lock_name: self.namespace.clone(),
        }
    }

    fn end(self) {
        drop(self.worker);
        self.cluster
            .delete(&format!("/api/v1/namespaces/{}", self.namespace));
    }
}

/// A client with the worker's permissions.
async fn client(kubeconfig: &Path) -> io::Result<kube::Client> {
    let file = kube::config::Kubeconfig::read_from(kubeconfig).map_err(io::Error::other)?;
    let config = kube::Config::from_custom_kubeconfig(file, &kube::config::KubeConfigOptions::default())
        .await
        .map_err(io::Error::other)?;
    kube::Client::try_from(config).map_err(io::Error::other)
}

/// The creates of a namespace that succeeded, by the name of the Job.
fn posts(audit_log: &Path, namespace: &str) -> io::Result<BTreeMap<String, Post>> {
    let text = fs::read_to_string(audit_log)?;
    let post = |line: &str| -> Option<(String, Post)> {
        let line: Value = serde_json::from_str(line).ok()?;
        if line["verb"] != "create"
            || line["responseStatus"]["code"] != 201
            || line["objectRef"]["resource"] != "jobs"
        {
            return None;
        }
        let time = |field: &str| line[field].as_str()?.parse().ok();
        let post = Post {
            received: time("requestReceivedTimestamp")?,
            answered: time("stageTimestamp")?,
        };
        Some((line["objectRef"]["name"].as_str()?.to_owned(), post))
    };
    Ok(text
        .lines()
        .filter(|line| line.contains(namespace))
        .filter_map(post)
        .collect())
}

fn table(sent: &[Sent], posts: &BTreeMap<String, Post>) -> Table {
    let measured = |way: Way| {
        let (mut begun, mut inside, mut answered) =
            (Samples::default(), Samples::default(), Samples::default());
        for one in sent.iter().filter(|one| one.way == way) {
            answered.add(i64::try_from(one.answered.as_micros()).unwrap_or(i64::MAX));
            if let Some(post) = posts.get(&one.job) {
                begun.add(post.received.as_microsecond() - one.at.as_microsecond());
                inside.add(post.answered.as_microsecond() - post.received.as_microsecond());
            }
        }
        (begun, inside, answered)
    };
    let (begun, inside, pushed) = measured(Way::Worker);
    let (raw_begun, raw_inside, posted) = measured(Way::Raw);
    let mut table = Table::default();
    for (what, samples, raw) in [
        ("until the API server has the POST", &begun, &raw_begun),
        ("the POST inside the API server", &inside, &raw_inside),
        ("until LPUSH or POST is answered", &pushed, &posted),
    ] {
        for (name, of_thousand) in [("p50", 500), ("p90", 900), ("p99", 990)] {
            let quantiles = (samples.quantile(of_thousand), raw.quantile(of_thousand));
            table.add(
                format!("ms {what}, {name} of {}", samples.len()),
                quantiles.0,
                Some(quantiles.1),
                Bound::Shown,
            );
        }
    }
    table.add(
        "ms added before the POST, p50, against a whole raw create",
        begun.median() - raw_begun.median(),
        Some(posted.median()),
        Bound::RatioAtMost {
            goal: 0.1,
            floor: 0.2,
        },
    );
    table
}
