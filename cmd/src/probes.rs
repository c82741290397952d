//! What the probes and Prometheus see: the HTTP door, and the thread that looks at what this replica depends on.

use crate::config::Config;
use adapters::clock::Clock;
use adapters::connection::Link;
use adapters::health::{Beat, Health};
use adapters::http::{Death, Error, Response, Server, every_interface, serve};
use adapters::lease::{Status, Watch};
use adapters::metrics::Metrics;
use adapters::page::Page;
use adapters::source::Source;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long the store may take to answer a probe.
const PING: Duration = Duration::from_secs(5);
/// How long the lease thread may be silent beyond its own longest call.
const LEASE_SILENCE_MS: u64 = 30_000;

/// What is looked at.
pub(crate) struct Watched {
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) store: Link,
    pub(crate) lease: Watch,
    pub(crate) page: Option<Page>,
    /// Set where the door dies: a replica that nobody can probe ends, leader or not.
    pub(crate) stop: Arc<AtomicBool>,
}

/// The open door and the looking thread; both end with it.
pub(crate) struct Doors {
    _server: Server,
    died: Arc<AtomicBool>,
    _looking: Sender<()>,
}

impl Doors {
    /// Opens the door and starts looking.
    pub(crate) fn open(config: &Config, mut watched: Watched) -> Result<Self, Error> {
        let (health, metrics) = (Arc::clone(&watched.health), Arc::clone(&watched.metrics));
        let page = watched.page.take();
        let routes = move |path: &str| match path {
            "/healthz" | "/livez" => health.healthz(),
            "/readyz" => health.readyz(),
            "/metrics" => metrics.response(),
            _ => page
                .as_ref()
                .and_then(|page| page.response(path))
                .unwrap_or_else(Response::not_found),
        };
        let server = serve(
            &every_interface(config.http_port),
            config.http_timeout,
            Arc::new(routes),
        )?;
        log::info!(address = server.local_addr.to_string(); "http listens");
        let (looking, stopped) = bounded(0);
        let period = config.polling_interval;
        let thread = std::thread::Builder::new().name("probes".to_owned());
        let beat = watched.health.register("probes", period + 4 * PING);
        let lease_beat = watched.health.register("lease", period + 4 * PING);
        let died = Arc::new(AtomicBool::new(false));
        let ends = Ends {
            stopped,
            death: server.death.clone(),
            died: Arc::clone(&died),
        };
        thread
            .spawn(move || look(watched, period, &ends, &beat, &lease_beat))
            .map_err(Error::Thread)?;
        Ok(Self {
            _server: server,
            died,
            _looking: looking,
        })
    }

    /// Tells whether the door has died.
    pub(crate) fn has_died(&self) -> bool {
        self.died.load(Ordering::SeqCst)
    }
}

/// What ends the looking thread.
struct Ends {
    stopped: Receiver<()>,
    death: Receiver<Death>,
    died: Arc<AtomicBool>,
}

impl Ends {
    /// Waits until it is time to look again; `false` where there is nothing more to look at.
    fn wait(&self, period: Duration, stop: &AtomicBool) -> bool {
        crossbeam_channel::select! {
            recv(self.stopped) -> _ => false,
            recv(self.death) -> death => {
                if let Ok(death) = death {
                    log::error!("the HTTP server has died, this replica ends: {death}");
                    self.died.store(true, Ordering::SeqCst);
                    stop.store(true, Ordering::SeqCst);
                }
                false
            }
            default(period) => true,
        }
    }
}

fn look(mut watched: Watched, period: Duration, ends: &Ends, beat: &Beat, lease_beat: &Beat) {
    loop {
        beat.tick();
        let silent_ms = Clock.monotonic_ms().saturating_sub(watched.lease.turned_at_ms());
        if silent_ms < LEASE_SILENCE_MS {
            lease_beat.tick();
        }
        watched.look();
        if !ends.wait(period, &watched.stop) {
            return;
        }
    }
}

impl Watched {
    fn look(&mut self) {
        match self.source.depth() {
            Ok(depth) => {
                self.metrics.set_queue_length(depth.waiting);
                self.metrics.set_queue_kept(depth.taken, depth.dead);
                self.saw("queue", Ok(()));
            }
            Err(error) => self.saw("queue", Err(&error.to_string())),
        }
        match self.store.read::<String>(&redis::cmd("PING"), PING) {
            Ok(_) => self.saw("store", Ok(())),
            Err(error) => self.saw("store", Err(&error.to_string())),
        }
        let lease = match self.lease.status() {
            Status::Standby | Status::Leading => None,
            Status::Starting => Some("no request was answered yet".to_owned()),
            Status::Forbidden(verb) => Some(format!("the permission {verb:?} on leases is missing")),
            Status::Unreachable(verb) => Some(format!("no useful answer to {verb:?} on leases")),
            Status::Stopped => Some("the campaign is over".to_owned()),
        };
        self.saw("kubernetes", lease.as_deref().map_or(Ok(()), Err));
    }

    fn saw(&self, dependency: &'static str, state: Result<(), &str>) {
        self.metrics.set_dependency(dependency, state.is_ok());
        self.health.set(dependency, state);
    }
}
