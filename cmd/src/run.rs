//! `job-worker run`: the daemon.
//!
//! It wires the parts and holds the one loop of a replica: campaign, lead, campaign again. It decides nothing.

use crate::config::{Config, Queue, Redis};
use crate::exit::{EX_CONFIG, EX_SOFTWARE, EX_UNAVAILABLE, FAILURE};
use crate::probes::{Doors, Watched};
use adapters::clock::Clock;
use adapters::cluster::{credentials, names::Instance};
use adapters::connection::Target;
use adapters::health::Health;
use adapters::leader::{self, Ended, Shared, Tenure};
use adapters::metrics::{Metrics, Words};
use adapters::page::Page;
use adapters::source::{Source, counted::Counted, letters::Letters, list::List};
use adapters::webhook::{Clock as WebhookClock, Guard};
use adapters::{driver, lease, store, webhook};
use crossbeam_channel::{Receiver, bounded};
use engine::{Code, EventKind, MOVES, Policy, StateKind};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long a replica without the lease may take for a round.
const SILENCE: Duration = Duration::from_secs(30);
/// The wait before a term that ended by itself is begun again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error(transparent)]
    Credentials(#[from] credentials::Error),
    #[error(transparent)]
    Lease(#[from] lease::Error),
    #[error("{0}")]
    Http(#[from] adapters::http::Error),
    #[error(transparent)]
    Queue(#[from] adapters::source::Error),
    #[error("store: {0}")]
    Store(#[from] adapters::connection::Error),
    #[error("page: {0}")]
    Page(#[from] adapters::page::Error),
    #[error("no thread or signal handler: {0}")]
    System(#[from] std::io::Error),
}

/// Runs the daemon until it is told to stop.
pub(crate) fn run() -> ExitCode {
    let config = match Config::load(std::env::vars_os()) {
        Ok(config) => config,
        Err(faults) => return refuse(&faults.iter().map(ToString::to_string).collect::<Vec<_>>()),
    };
    let format = config.log_format.unwrap_or_else(adapters::logs::Format::detected);
    if let Err(error) = adapters::logs::init(&config.log_levels, format) {
        return refuse(&[error.to_string()]);
    }
    for warning in &config.warnings {
        log::warn!("{warning}");
    }
    log::info!(version = env!("CARGO_PKG_VERSION"), configuration = config.describe(); "starting");
    match Replica::start(config) {
        Ok(replica) => replica.live(),
        Err(fatal) => {
            log::error!("{fatal}");
            ExitCode::from(match fatal {
                Fatal::Credentials(_) => EX_CONFIG,
                Fatal::Lease(_)
                | Fatal::Http(_)
                | Fatal::Queue(_)
                | Fatal::Page(_)
                | Fatal::Store(_)
                | Fatal::System(_) => EX_UNAVAILABLE,
            })
        }
    }
}

/// Prints every fault, one a line.
fn refuse(faults: &[String]) -> ExitCode {
    let lines: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
    // Where stderr is closed, the exit code alone has to say it.
    match std::io::stderr().write_all(lines.as_bytes()) {
        Ok(()) | Err(_) => ExitCode::from(EX_CONFIG),
    }
}

/// One running replica.
struct Replica {
    settings: leader::Settings,
    stop: Arc<AtomicBool>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    doors: Doors,
    campaign: lease::Handle,
    losses: Arc<AtomicU64>,
    gained: Receiver<()>,
}

impl Replica {
    fn start(config: Config) -> Result<Self, Fatal> {
        let stop = stop_on_signals()?;
        let kubernetes = credentials::find()?;
        let metrics = Arc::new(metrics());
        let health = Health::new(|| Clock.monotonic_ms(), &["queue", "store", "kubernetes"]);
        let source = source(&config, &metrics)?;
        let losses = Arc::new(AtomicU64::new(0));
        let (tell, gained) = bounded(1);
        let lease_settings = lease_settings(&config);
        let campaign = {
            let (losses, metrics) = (Arc::clone(&losses), Arc::clone(&metrics));
            lease::campaign(
                lease_settings.clone(),
                kubernetes.clone(),
                || Clock.monotonic_ms(),
                move |event| match event {
                    lease::Event::Gained { .. } => {
                        metrics.set_leader(true);
                        // One wake-up that is not read yet is enough.
                        match tell.try_send(()) {
                            Ok(()) | Err(_) => {}
                        }
                    }
                    lease::Event::Lost { .. } => {
                        losses.fetch_add(1, Ordering::SeqCst);
                        metrics.set_leader(false);
                        metrics.lease_lost();
                    }
                },
            )?
        };
        let doors = Doors::open(
            &config,
            Watched {
                health: Arc::clone(&health),
                metrics: Arc::clone(&metrics),
                source: Arc::clone(&source),
                store: target(&config.store).link("probe", &config.pod_name)?,
                lease: campaign.watch(),
                page: page(&config, &source)?,
                stop: Arc::clone(&stop),
            },
        )?;
        Ok(Self {
            settings: leader_settings(&config, source, kubernetes, lease_settings, campaign.known()),
            stop,
            health,
            metrics,
            doors,
            campaign,
            losses,
            gained,
        })
    }

    /// Campaigns and leads in turn, until told to stop; the lease is given back once every effect has ended.
    fn live(self) -> ExitCode {
        while !self.stop.load(Ordering::SeqCst) {
            let tenure = Tenure::begin(self.campaign.watch(), Arc::clone(&self.losses));
            if tenure.leads() {
                self.lead(tenure);
            } else {
                self.stand_by();
            }
        }
        self.campaign.stop(true);
        log::info!("stopped");
        if self.doors.has_died() {
            ExitCode::from(EX_SOFTWARE)
        } else {
            ExitCode::SUCCESS
        }
    }

    /// Waits a little for the lease.
    fn stand_by(&self) {
        let beat = self.health.register("standby", SILENCE);
        match self.gained.recv_timeout(PAUSE) {
            Ok(()) | Err(_) => beat.retire(),
        }
    }

    /// Leads for one term, which has a heartbeat of its own.
    fn lead(&self, tenure: Tenure) {
        let shared = Shared {
            tenure,
            stop: Arc::clone(&self.stop),
            health: Arc::clone(&self.health),
            metrics: Arc::clone(&self.metrics),
        };
        match leader::lead(&self.settings, &shared) {
            Ended::Stopped => {}
            Ended::LeaseLost => log::warn!("this replica leads no longer and campaigns again"),
            ended @ (Ended::Store(_)
            | Ended::NotHolder(_)
            | Ended::Lease(_)
            | Ended::Cluster(_)
            | Ended::Died(_)
            | Ended::Webhooks(_)
            | Ended::Thread(_)) => {
                log::error!("the term ended, memory is dropped and everything is loaded again: {ended}");
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// A first SIGTERM or SIGINT ends what was begun, a second one ends the process at once.
fn stop_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, FAILURE.into(), Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Every metric of the daemon, with the words that are known from the start.
pub(crate) fn metrics() -> Metrics {
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    codes.push(driver::DUPLICATE_ID);
    let ends: Vec<&str> = StateKind::ALL
        .iter()
        .filter(|state| state.is_terminal())
        .map(|state| state.name())
        .collect();
    let mut transitions: Vec<[&str; 3]> = MOVES
        .iter()
        .map(|row| [row.from.name(), row.on.name(), row.to.name()])
        .collect();
    transitions.push([
        driver::NO_STATE,
        EventKind::Taken.name(),
        StateKind::Received.name(),
    ]);
    transitions.push([
        driver::NO_STATE,
        EventKind::Adopted.name(),
        StateKind::Created.name(),
    ]);
    let words = Words {
        codes: &codes,
        ends: &ends,
        transitions: &transitions,
    };
    Metrics::new(words, env!("CARGO_PKG_VERSION"))
}

/// The page for operators, unless it is switched off.
fn page(config: &Config, source: &Arc<dyn Source>) -> Result<Option<Page>, adapters::page::Error> {
    let settings = || adapters::page::Settings {
        place: store::read::Place {
            target: target(&config.store),
            prefix: config.store_key_prefix.clone(),
            lock: config.lease.lock_name.clone(),
        },
        replica: config.pod_name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        tasks_max: config.max_tasks_in_flight,
    };
    let Queue::Redis { server, key_prefix } = &config.queue;
    config
        .ui_enabled
        .then(|| {
            let letters = Letters::new(&target(server), key_prefix, "page")?;
            Page::open(settings(), Arc::clone(source), letters)
        })
        .transpose()
}

pub(crate) fn target(redis: &Redis) -> Target {
    Target {
        endpoint: redis.endpoint.clone(),
        db: redis.db,
        password: redis.password.clone(),
        ca: redis.ca.as_ref().map(|ca| ca.pem.clone().into_bytes()),
    }
}

fn source(config: &Config, metrics: &Arc<Metrics>) -> Result<Arc<dyn Source>, adapters::source::Error> {
    let Queue::Redis { server, key_prefix } = &config.queue;
    let list = List::new(&target(server), key_prefix, &config.pod_name)?;
    Ok(Arc::new(Counted::new(list, Arc::clone(metrics))))
}

fn lease_settings(config: &Config) -> lease::Settings {
    lease::Settings {
        namespace: config.pod_namespace.clone(),
        name: config.lease.lock_name.clone(),
        identity: format!("{}_{}", config.pod_name, uuid::Uuid::new_v4()),
        duration: config.lease.duration,
    }
}

fn leader_settings(
    config: &Config,
    source: Arc<dyn Source>,
    kubernetes: kube::Config,
    lease: lease::Settings,
    known: lease::Known,
) -> leader::Settings {
    let instance = Instance {
        namespace: config.pod_namespace.clone(),
        lock_name: config.lease.lock_name.clone(),
    };
    let guard = Guard::new(config.webhook.deny.clone(), config.webhook.allow.clone());
    let clock = WebhookClock::new(|| Clock.monotonic_ms());
    leader::Settings {
        driver: driver::Settings {
            instance,
            start_timeout_secs: u32::try_from(config.pod_start_timeout.as_secs()).unwrap_or(u32::MAX),
            namespaces: config.watch_namespaces.clone(),
        },
        policy: policy(config),
        store: store::Settings {
            target: target(&config.store),
            prefix: config.store_key_prefix.clone(),
            lock: config.lease.lock_name.clone(),
            namespace: config.pod_namespace.clone(),
            pod: config.pod_name.clone(),
            queue: source.joint().cloned(),
        },
        source,
        polling: config.polling_interval,
        kubernetes,
        pod_namespace: config.pod_namespace.clone(),
        watch_namespaces: config.watch_namespaces.clone(),
        known,
        webhooks: webhook::Settings {
            ca_file: config.webhook.ca.as_ref().map(|ca| ca.path.clone()),
            secret_file: config
                .webhook
                .signing
                .as_ref()
                .map(|secrets| secrets.path.clone()),
            ..webhook::Settings::new(guard, clock)
        },
        lease,
    }
}

/// The numbers that the engine decides by.
pub(crate) fn policy(config: &Config) -> Policy {
    Policy {
        creates_max: config.pool_size,
        tasks_max: config.max_tasks_in_flight,
        request_timeout_ms: millis(config.kubernetes_timeout),
        lease_ms: millis(config.lease.duration),
        dedup_window_ms: millis(config.dedup_window),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
