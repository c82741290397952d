//! One term of leadership: from the claim of the store to the loss of the lease.
//!
//! It owns the loop that turns the driver, and the threads that carry for it: taker, cluster adapter, webhook pool,
//! settler. All of them begin with the term and end with it, so nothing survives that a new leader could meet. It
//! decides nothing about tasks. `cmd` calls it whenever the lease is gained.

mod patience;
mod settler;
mod tenure;
mod threads;
mod time;

pub use tenure::Tenure;

use crate::cluster::{self, Report};
use crate::driver::{self, Driver, Input, Output, Patience as _};
use crate::health::{Beat, Health};
use crate::lease;
use crate::metrics::Metrics;
use crate::source::Source;
use crate::store::{self, RedisStore, Store as _};
use crate::webhook;
use crossbeam_channel::{Receiver, bounded};
use engine::Policy;
use engine::outbox::Key;
use patience::{LeaderPatience, insist};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use threads::Threads;
use time::Time;

/// Inputs of one turn, at most.
const BATCH_MAX: usize = 256;
/// Messages, reports and answers that wait for a turn; whoever brings more waits.
const INBOX_MAX: usize = 4096;
/// Messages that wait for the settler, at most, before no more are taken.
const UNSETTLED_MAX: usize = 4096;
/// How often a leader without work finds out whether it still has the store.
const BEAT: Duration = Duration::from_secs(1);
/// How long a leader that is told to stop waits for what it has begun.
const DRAIN: Duration = Duration::from_secs(8);
/// How long the loop may be silent before the process counts as stuck.
const SILENCE: Duration = Duration::from_secs(60);

/// Everything that a term needs.
pub struct Settings {
    /// The driver's.
    pub driver: driver::Settings,
    /// The engine's.
    pub policy: Policy,
    /// The store's.
    pub store: store::Settings,
    /// The queue.
    pub source: Arc<dyn Source>,
    /// `POLLING_INTERVAL`.
    pub polling: Duration,
    /// The way to the API server.
    pub kubernetes: kube::Config,
    /// `POD_NAMESPACE`.
    pub pod_namespace: String,
    /// `WATCH_NAMESPACES`.
    pub watch_namespaces: Option<Vec<String>>,
    /// The namespaces that the Lease names.
    pub known: lease::Known,
    /// The webhook pool's.
    pub webhooks: webhook::Settings,
    /// Which lease is held, and as whom.
    pub lease: lease::Settings,
}

/// What a term shares with the rest of the process.
pub struct Shared {
    /// The hold on the lease.
    pub tenure: Tenure,
    /// Set once the process is told to stop.
    pub stop: Arc<AtomicBool>,
    /// The probes' answers.
    pub health: Arc<Health>,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

/// Why a term ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The process is told to stop, and what was begun is over.
    #[error("stopped")]
    Stopped,
    /// The lease was lost or has run out.
    #[error("the lease is lost")]
    LeaseLost,
    /// Memory may differ from the store: it is dropped and everything is loaded again.
    #[error("{0}")]
    Store(#[from] store::Error),
    /// The Lease names another holder.
    #[error("the Lease is held by {0:?}")]
    NotHolder(Option<String>),
    /// The Lease cannot be read.
    #[error("the Lease cannot be read: {0}")]
    Lease(#[from] lease::Error),
    /// The cluster adapter cannot begin.
    #[error("{0}")]
    Cluster(#[from] cluster::Error),
    /// A thread that carries for the leader has died.
    #[error("the thread {0:?} has died")]
    Died(&'static str),
    /// The webhook pool cannot begin.
    #[error("webhooks: {0}")]
    Webhooks(#[from] webhook::Error),
    /// The operating system has no thread to give.
    #[error("no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Leads until the term ends.
pub fn lead(settings: &Settings, shared: &Shared) -> Ended {
    let beat = shared.health.register("leader", SILENCE);
    let (ended, beat) = match Term::begin(settings, shared, beat) {
        Ok(mut term) => {
            let ended = term.run();
            log::info!("the term ends: {ended}");
            (ended, term.end())
        }
        Err(early) => early,
    };
    beat.retire();
    shared.metrics.no_tasks();
    ended
}

/// A running term.
struct Term<'a> {
    shared: &'a Shared,
    driver: Driver<RedisStore>,
    beat: Beat,
    inbox: Receiver<Input>,
    reports: Receiver<Report>,
    threads: Threads,
    time: Arc<Time>,
}

impl<'a> Term<'a> {
    /// Claims the store, loads it, and starts the threads: the order of a takeover.
    fn begin(settings: &Settings, shared: &'a Shared, beat: Beat) -> Result<Self, (Ended, Beat)> {
        let time = Arc::new(Time::new());
        match Self::driver(settings, shared, &beat, &time) {
            Ok(driver) => Self::with_threads(settings, shared, driver, beat, time),
            Err(ended) => Err((ended, beat)),
        }
    }

    /// Claims the store and loads it.
    fn driver(
        settings: &Settings,
        shared: &Shared,
        beat: &Beat,
        time: &Time,
    ) -> Result<Driver<RedisStore>, Ended> {
        let started = Instant::now();
        // Whoever is not the holder must not disturb the one who is.
        holds_lease(settings)?;
        let (mut store, epoch) = insist(shared, beat, || {
            let mut store = RedisStore::open(settings.store.clone())?;
            let epoch = store.claim(&settings.lease.identity)?;
            Ok((store, epoch))
        })?;
        tell_settings(&mut store)?;
        // A claim that was slow may have come after another leader's.
        holds_lease(settings)?;
        let (driver, restored) = Driver::restore(
            time.now(),
            settings.driver.clone(),
            settings.policy.clone(),
            store,
            Arc::clone(&shared.metrics),
        )?;
        log::info!(
            epoch = epoch.number, tasks = restored.tasks, callbacks = restored.callbacks,
            unreadable = restored.unreadable, ms = started.elapsed().as_millis();
            "the store is claimed and loaded"
        );
        shared.metrics.takeover(epoch.number);
        Ok(driver)
    }

    fn with_threads(
        settings: &Settings,
        shared: &'a Shared,
        driver: Driver<RedisStore>,
        beat: Beat,
        time: Arc<Time>,
    ) -> Result<Self, (Ended, Beat)> {
        let (inputs, inbox) = bounded(INBOX_MAX);
        let (told, reports) = bounded(INBOX_MAX);
        match Threads::start(settings, shared, &time, inputs, told) {
            Ok(threads) => Ok(Self {
                shared,
                driver,
                beat,
                inbox,
                reports,
                threads,
                time,
            }),
            Err(ended) => Err((ended, beat)),
        }
    }

    fn run(&mut self) -> Ended {
        let mut beaten = Beaten::new(&self.driver);
        let mut asked_at = Instant::now();
        let mut drained_by: Option<Instant> = None;
        loop {
            self.beat.tick();
            if !self.shared.tenure.leads() {
                return Ended::LeaseLost;
            }
            if let Some(name) = self.threads.dead() {
                return Ended::Died(name);
            }
            if self.shared.stop.load(Ordering::SeqCst) && drained_by.is_none() {
                log::info!("told to stop: nothing new is begun");
                drained_by = Some(Instant::now() + DRAIN);
                self.driver.drain();
                self.threads.taker.close();
            }
            if drained_by.is_some_and(|end| Instant::now() >= end || !self.driver.is_busy()) {
                return Ended::Stopped;
            }
            let mut inputs = self.collect(drained_by.is_some());
            if asked_at.elapsed() >= BEAT {
                asked_at = Instant::now();
                inputs.extend(self.driver.orders());
            }
            let counted = messages(&inputs);
            let mut patience = LeaderPatience::new(self.shared, &self.beat, drained_by);
            match self.driver.turn(self.time.now(), inputs, &mut patience) {
                Ok(outputs) => self.carry(outputs),
                Err(error) => return self.ended_by(error),
            }
            self.threads.taker.set_room(self.room(), counted);
            if beaten.is_due(&self.driver)
                && let Some(until) = LeaderPatience::new(self.shared, &self.beat, drained_by).until()
                && let Err(error) = self.driver.beat(until)
                && error.rebuild()
            {
                return self.ended_by(error);
            }
        }
    }

    /// Says how many messages may be taken; none while many that are done with wait to be settled.
    fn room(&self) -> usize {
        if self.threads.settler.waiting() < UNSETTLED_MAX {
            self.driver.room()
        } else {
            0
        }
    }

    fn ended_by(&self, error: store::Error) -> Ended {
        if !self.shared.tenure.leads() {
            Ended::LeaseLost
        } else if self.shared.stop.load(Ordering::SeqCst) {
            log::warn!(
                "the store did not take a last write, the next leader begins where it stands: {error}"
            );
            Ended::Stopped
        } else {
            Ended::Store(error)
        }
    }

    /// Takes what is in the inbox; waits for the first where there is nothing, until the driver wants a turn.
    fn collect(&self, draining: bool) -> Vec<Input> {
        let mut inputs = self.waiting();
        if inputs.is_empty() {
            let wait = if draining {
                Duration::from_millis(20)
            } else {
                self.wait()
            };
            crossbeam_channel::select! {
                recv(self.inbox) -> input => inputs.extend(input),
                recv(self.reports) -> report => inputs.extend(report.map(|report| Input::Cluster(Box::new(report)))),
                default(wait) => {}
            }
            inputs.extend(self.waiting());
        }
        inputs
    }

    /// Neither of the two inboxes can keep the other one waiting.
    fn waiting(&self) -> Vec<Input> {
        let reports = || {
            self.reports
                .try_iter()
                .map(|report| Input::Cluster(Box::new(report)))
        };
        let mut inputs: Vec<Input> = reports().take(BATCH_MAX / 2).collect();
        inputs.extend(self.inbox.try_iter().take(BATCH_MAX - inputs.len()));
        inputs.extend(reports().take(BATCH_MAX - inputs.len()));
        inputs
    }

    fn wait(&self) -> Duration {
        let now = self.time.now();
        self.driver
            .next_wake()
            .map_or(BEAT, |at| Duration::from_millis(at.since_ms(now)).min(BEAT))
    }

    /// Hands out what a turn wants done.
    fn carry(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Cluster(request) => self.threads.cluster.request(request),
                Output::Send(key, delivery) => self.post(key, delivery),
                Output::Acknowledge(receipts) => self.threads.settler.acknowledge(receipts),
                Output::DeadLetter(letter) => self.threads.settler.dead_letter(letter),
                Output::Requeue(place) => self.threads.settler.requeue(place),
                Output::DropLetter(place) => self.threads.settler.drop_letter(place),
                Output::Handled(receipt) => self.threads.settled.note(&receipt),
            }
        }
    }

    fn post(&mut self, key: Key, mut delivery: webhook::Delivery) {
        delivery.begin_by = Some(self.shared.tenure.deadline_ms());
        if self.threads.pool.send(delivery).is_err() {
            self.driver.not_sent(self.time.now(), &key);
        }
    }

    /// Ends the threads; nobody reads what they still say.
    fn end(self) -> Beat {
        drop((self.inbox, self.reports));
        self.threads.end();
        self.beat
    }
}

/// When a leader last heard of its store.
struct Beaten {
    at: Instant,
    writes: u64,
}

impl Beaten {
    fn new(driver: &Driver<RedisStore>) -> Self {
        Self {
            at: Instant::now(),
            writes: driver.writes(),
        }
    }

    /// Nothing was written for a while; a leader that only hears and never writes would not learn that it is none.
    fn is_due(&mut self, driver: &Driver<RedisStore>) -> bool {
        let due = driver.writes() == self.writes && self.at.elapsed() >= BEAT;
        if due || driver.writes() != self.writes {
            *self = Self::new(driver);
        }
        due
    }
}

/// Says what the settings of the server cost, once a term.
fn tell_settings(store: &mut RedisStore) -> Result<(), store::Error> {
    for remark in store.settings_report()?.remarks() {
        let level = if remark.weak {
            log::Level::Warn
        } else {
            log::Level::Info
        };
        log::log!(target: "adapters::settings", level, "redis of the store: {}", remark.text);
    }
    Ok(())
}

/// Looks whether the Lease names this replica.
fn holds_lease(settings: &Settings) -> Result<(), Ended> {
    let holder = lease::read_holder(&settings.lease, settings.kubernetes.clone())?;
    if holder.as_deref() == Some(&settings.lease.identity) {
        Ok(())
    } else {
        Err(Ended::NotHolder(holder))
    }
}

/// Counts the messages among the inputs of a turn.
fn messages(inputs: &[Input]) -> usize {
    inputs
        .iter()
        .filter(|input| matches!(input, Input::Message(_)))
        .count()
}
