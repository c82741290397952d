//! The Kubernetes adapter: creates Jobs, watches them and their pods, looks, stops.
//!
//! It owns the only async runtime of the worker, on one thread of its own. It translates the wire to `engine::Event` and requests
//! to the wire, makes every attempt once, and never decides about a task. The driver sends `Request`s and takes `Report`s.

mod access;
mod backoff;
mod client;
mod create;
pub mod credentials;
mod events;
mod feed;
mod frames;
pub mod inventory;
mod look;
pub mod manifest;
pub mod names;
mod observe;
mod outcome;
mod pods;
mod pump;
#[cfg(test)]
mod recorded;
mod reports;
pub mod review;
mod scopes;
mod stop;
mod watch;
mod wire;

pub(crate) use client::chain;

use crate::lease::Known;
use client::Client;
use crossbeam_channel::Sender;
use engine::Failure;
use engine::Spec;
use engine::Timestamp;
use engine::{Event, Refusal};
use engine::{TaskId, Uid};
use futures::FutureExt as _;
use k8s_openapi::api::batch::v1::Job;
use names::Instance;
use observe::Ours;
use reports::Reports;
use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;

/// What the adapter is told at its start.
pub struct Settings {
    /// Whose Jobs it cares for.
    pub instance: Instance,
    /// `POD_NAMESPACE`: watched where the whole cluster may not be.
    pub pod_namespace: String,
    /// `WATCH_NAMESPACES`: exactly these are watched.
    pub watch_namespaces: Option<Vec<String>>,
    /// What the Lease names: also watched from the start where neither the whole cluster nor a list of namespaces is. A namespace
    /// is added before its first Job, and removed where it is refused for long or its place is needed.
    pub known: Known,
    /// `KUBERNETES_CLIENT_TIMEOUT`: the bound of every request.
    pub request_timeout: Duration,
    /// Create requests in flight, at least 1.
    pub creates_max: usize,
    /// How long a write to the API server may take by the rule of the lease; `None`: it may not begin.
    pub write_timeout: Arc<dyn Fn() -> Option<Duration> + Send + Sync>,
    /// The wall clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// How long watches go on from one list before a new one is made, beside what makes one necessary.
    pub relist_after: Duration,
    /// Where requests are counted.
    pub hooks: Hooks,
}

/// Takes the verb and the outcome of a request.
pub type RequestHook = Arc<dyn Fn(&'static str, &str) + Send + Sync>;

/// Called back for metrics, on the adapter's thread: they must not block.
#[derive(Clone)]
pub struct Hooks {
    /// A request was answered: its verb, and the HTTP code or `timeout`, `error`, `too_long`.
    pub request: RequestHook,
    /// A watch ended and will be resumed or begun anew: why.
    pub watch_restart: Arc<dyn Fn(&'static str) + Send + Sync>,
}

/// What the driver asks for.
#[derive(Clone, Debug)]
pub enum Request {
    /// Creates a Job; answered by facts with `JobSeen` or `CreateFailed`.
    Create {
        /// The task.
        task: TaskId,
        /// What it is.
        spec: Arc<Spec>,
        /// The Job, as it goes to the API server.
        job: Box<Job>,
    },
    /// Reads a Job and its pods afresh; answered by facts that end with `Looked`, or by `LookRefused` or `LookFailed`.
    Look {
        /// The task.
        task: TaskId,
        /// The Job's namespace.
        namespace: String,
        /// The Job's name.
        job_name: String,
        /// The Job's uid, where it is known.
        uid: Option<Uid>,
    },
    /// Writes a verdict to a Job and ends it; answered by `StopAnswered`.
    Stop {
        /// The task.
        task: TaskId,
        /// The Job's namespace.
        namespace: String,
        /// The Job's name.
        job_name: String,
        /// The Job's uid, a precondition.
        uid: Uid,
        /// The verdict.
        failure: Failure,
    },
    /// Sets a Job's TTL; answered by `TtlAnswered`.
    SetTtl {
        /// The task.
        task: TaskId,
        /// The Job's namespace.
        namespace: String,
        /// The Job's name.
        job_name: String,
        /// The Job's uid, a precondition.
        uid: Uid,
        /// Seconds after its end.
        seconds: u32,
    },
    /// Reviews the access to a namespace and watches it where it is not yet; answered by `NamespaceReady` or `NamespaceRefused`,
    /// the latter again every few seconds while it lasts. To be repeated for a namespace that new tasks still want.
    Prepare {
        /// The namespace.
        namespace: String,
    },
}

/// What the adapter says, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Report {
    /// Answers to a request, or what a pod shows.
    Facts {
        /// The task.
        task: TaskId,
        /// Facts, to be stepped in this order.
        facts: Vec<Event>,
    },
    /// What a list or watch shows of a Job.
    Job {
        /// The task.
        task: TaskId,
        /// Facts, to be stepped in this order.
        facts: Vec<Event>,
        /// The task as the Job's annotations have it; `None` where they do not hold enough.
        adoption: Option<Box<Spec>>,
    },
    /// A consistent list of Jobs is complete; each of its Jobs was reported before.
    Relisted {
        /// What was listed.
        scope: Scope,
        /// The tasks that have a Job there.
        jobs: BTreeSet<TaskId>,
        /// When the list was begun: what was known of a Job created later says nothing.
        began_at: Timestamp,
    },
    /// A namespace is watched.
    NamespaceReady {
        /// The namespace.
        namespace: String,
        /// `patch` on Jobs is granted there.
        stoppable: bool,
    },
    /// A namespace may not be watched.
    NamespaceRefused {
        /// The namespace.
        namespace: String,
        /// Why, in the API server's words.
        refusal: Refusal,
    },
    /// Jobs, then pods, of everything that is watched from the start were listed, or are refused. Sent once.
    Synced,
    /// The API server answers, or does not; sent when that changes.
    ApiServer(Result<(), String>),
}

impl Report {
    /// Returns the task of a Job that could be adopted, should it have none.
    pub fn adoptable(&self) -> Option<&TaskId> {
        match self {
            Self::Job {
                task,
                adoption: Some(_),
                ..
            } => Some(task),
            Self::Job { .. }
            | Self::Facts { .. }
            | Self::Relisted { .. }
            | Self::NamespaceReady { .. }
            | Self::NamespaceRefused { .. }
            | Self::Synced
            | Self::ApiServer(_) => None,
        }
    }
}

/// What is listed and watched as one.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub enum Scope {
    /// Every namespace.
    All,
    /// One.
    Namespace(String),
}

impl Scope {
    /// Returns the one namespace, where it is one.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Namespace(namespace) => Some(namespace),
        }
    }
}

/// Why the adapter cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime or its thread was refused by the operating system.
    #[error("no thread for the cluster adapter: {0}")]
    Thread(#[from] std::io::Error),
    /// The client's configuration is of no use (a certificate, a proxy, a credential).
    #[error("the Kubernetes client cannot be configured: {0}")]
    Client(#[from] kube::Error),
}

/// The running adapter. It ends when it is dropped.
pub struct Cluster {
    requests: mpsc::UnboundedSender<Request>,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Cluster {
    /// Starts the adapter: its thread, its watches. Nothing is asked of the API server before it returns.
    ///
    /// `reports` may be bounded: a full one holds the adapter back.
    ///
    /// # Errors
    /// Where the configuration is of no use, or there is no thread to be had.
    pub fn connect(
        mut config: kube::Config,
        settings: Settings,
        reports: Sender<Report>,
    ) -> Result<Self, Error> {
        // It would send a POST again.
        config.default_retry = false;
        config.connect_timeout = Some(settings.request_timeout);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let client = {
            let _context = runtime.enter();
            Client::new(config, settings.request_timeout, settings.hooks.clone())?
        };
        let stopping = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            client,
            ours: Ours::new(&settings.instance),
            reports: Reports::new(reports, Arc::clone(&stopping)),
            settings,
            died: Notify::new(),
        });
        let (requests, inbox) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("cluster".to_owned())
            .spawn(move || {
                runtime.block_on(pump::run(&shared, inbox));
                runtime.shutdown_background();
            })?;
        Ok(Self {
            requests,
            stopping,
            thread,
        })
    }

    /// Hands over a request; never blocks. What waits is bounded by the tasks in flight.
    pub fn request(&self, request: Request) {
        if let Err(refused) = self.requests.send(request) {
            log::error!(
                "the cluster adapter has died, a request is lost: {:?}",
                Kind(&refused.0)
            );
        }
    }

    /// Tells whether the adapter still works; where not, the role has to end.
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Ends the watches, gives up the requests in flight, and returns once nothing more will be reported.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        drop(self.requests);
        if self.thread.join().is_err() {
            log::error!("the cluster adapter had panicked");
        }
    }
}

/// Names a request without its contents.
struct Kind<'a>(&'a Request);

impl std::fmt::Debug for Kind<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Request::Create { .. } => "create",
            Request::Look { .. } => "look",
            Request::Stop { .. } => "stop",
            Request::SetTtl { .. } => "set TTL",
            Request::Prepare { .. } => "prepare",
        })
    }
}

/// What every part of the adapter needs.
struct Shared {
    client: Client,
    ours: Ours,
    reports: Reports,
    settings: Settings,
    /// A part has panicked.
    died: Notify,
}

impl Shared {
    fn now(&self) -> Timestamp {
        (self.settings.clock)()
    }

    /// The bound of a write that begins at this moment.
    fn write_timeout(&self) -> Option<Duration> {
        let limit = (self.settings.write_timeout)()?;
        Some(limit.min(self.client.timeout()))
    }

    /// Runs a part of the adapter; its panic ends the adapter, so that it cannot be missing in silence.
    fn spawn(self: &Arc<Self>, part: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let shared = Arc::clone(self);
        let guarded = AssertUnwindSafe(part).catch_unwind();
        tokio::spawn(async move {
            if guarded.await.is_err() {
                shared.died.notify_one();
            }
        })
        .abort_handle()
    }
}

/// Draws a number from 0 to 1 for jitter.
fn chance() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}
