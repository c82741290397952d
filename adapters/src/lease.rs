//! Carries the lease machine (`engine::lease`) on the API server: one thread, its own client, its own runtime.
//!
//! It never decides who leads, never retries a request, and never shares a connection with anything else, so that a slow
//! request of another adapter cannot hold up a renewal. Needs `get`, `create`, `update` on `leases`. The driver starts it,
//! reads its events and stops it; other adapters read the shared deadline before each side effect.

mod known;
mod requests;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use engine::lease::{Fault, Input, Lost, Machine, Output, Timing};
use kube::Config;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::sleep;

pub use known::{ANNOTATION, Known, NAMESPACES_MAX};
pub use requests::Verb;
use requests::{Answer, Call, Requests};

/// Which lease to campaign for, and as whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// `holderIdentity`: pod name, `_`, and a nonce that no other process has.
    pub identity: String,
    /// Lease duration; the other periods follow from it ([`Timing`]).
    pub duration: Duration,
}

impl Settings {
    fn timing(&self) -> Timing {
        Timing::new(u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A change of this replica's role.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// This replica leads.
    Gained {
        /// `leaseTransitions`, for logs; never an epoch.
        transitions: u32,
    },
    /// The role has ended; the replica goes on campaigning unless it was stopped.
    Lost {
        /// Why.
        why: Lost,
    },
}

/// How the campaign stands, for the readiness check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// No request was answered yet.
    Starting,
    /// Another replica leads, or nobody yet.
    Standby,
    /// This replica leads.
    Leading,
    /// The last request was refused: the permission is missing.
    Forbidden(Verb),
    /// The last request had no useful answer.
    Unreachable(Verb),
    /// The campaign is over.
    Stopped,
}

/// Why a campaign could not begin, or a holder could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The thread or its runtime.
    #[error("starting the lease thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The client configuration.
    #[error("configuring the client of the lease: {0}")]
    Client(#[source] kube::Error),
    /// The answer to a read.
    #[error("reading the lease: {0}")]
    Read(#[source] kube::Error),
    /// No answer in time.
    #[error("reading the lease: no answer within {0:?}")]
    TimedOut(Duration),
}

/// A running campaign. Dropping it ends the campaign without releasing the lease, as a crash would.
#[derive(Debug)]
pub struct Handle {
    watch: Watch,
    known: Known,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// What other threads may read of a campaign; clones see the same one.
#[derive(Clone, Debug)]
pub struct Watch {
    deadline: Arc<AtomicU64>,
    turned_at: Arc<AtomicU64>,
    status: Arc<Mutex<Status>>,
}

/// Starts campaigning on a thread of its own.
///
/// `clock` is monotonic milliseconds that also pass while the machine is suspended (`CLOCK_BOOTTIME`). `events` is called on
/// the lease thread and must not block, for a renewal would wait for it; on a loss the shared deadline is 0 before the call.
///
/// # Errors
/// [`Error::Thread`] and [`Error::Client`]; an unreachable API server is none.
pub fn campaign(
    settings: Settings,
    config: Config,
    clock: impl Fn() -> u64 + Send + 'static,
    events: impl FnMut(Event) + Send + 'static,
) -> Result<Handle, Error> {
    let runtime = runtime()?;
    let watch = Watch {
        deadline: Arc::new(AtomicU64::new(0)),
        turned_at: Arc::new(AtomicU64::new(clock())),
        status: Arc::new(Mutex::new(Status::Starting)),
    };
    let known = Known::default();
    let (stop, stopped) = oneshot::channel();
    let mut campaign = Campaign {
        machine: Machine::new(settings.identity.clone(), settings.timing()),
        requests: Requests::new(&runtime, settings.clone(), known.clone(), config)?,
        settings,
        troubles: Troubles::default(),
        answered: false,
        clock,
        events,
        watch: Closing(watch.clone()),
    };
    let thread = thread::Builder::new()
        .name("lease".to_owned())
        .spawn(move || runtime.block_on(campaign.run(stopped)))
        .map_err(Error::Thread)?;
    Ok(Handle {
        watch,
        known,
        stop,
        thread,
    })
}

/// Reads who holds the Lease, on a connection of its own; `None`: there is no such Lease.
///
/// It is the look after the epoch was claimed: a replica that was paused in between, and is not the holder any more, must stop.
///
/// # Errors
/// Any but [`Error::Thread`] says nothing about the holder.
pub fn read_holder(settings: &Settings, config: Config) -> Result<Option<String>, Error> {
    let runtime = runtime()?;
    let requests = Requests::new(&runtime, settings.clone(), Known::default(), config)?;
    let found = runtime.block_on(requests.read())?;
    Ok(found.map(|record| record.holder))
}

fn runtime() -> Result<Runtime, Error> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Thread)
}

impl Handle {
    /// Returns the lease deadline of the current leadership in the clock's milliseconds, 0 where this replica does not lead.
    ///
    /// It is D after the last successful write was *sent*: until then no other replica can lead. See [`Timing::write_timeout`].
    pub fn deadline(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.watch.deadline)
    }

    /// Returns what other threads may read of this campaign.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// Returns the namespaces that the Lease names, as of the last look, with what was added here; each renewal writes them.
    pub fn known(&self) -> Known {
        self.known.clone()
    }

    /// Ends the campaign and waits for its thread: at once, or with `release` for at most three requests.
    ///
    /// `release` gives the lease back so that another replica leads within a retry period; call it only once every effect of
    /// the role has stopped.
    pub fn stop(self, release: bool) {
        if !release {
            drop(self.stop);
        } else if self.stop.send(()).is_err() {
            log::warn!("the lease thread had ended before it was stopped; the lease runs out by itself");
        }
        if self.thread.join().is_err() {
            log::error!("the lease thread panicked");
        }
    }
}

impl Watch {
    /// Returns what [`Handle::deadline`] shares.
    pub fn deadline_ms(&self) -> u64 {
        self.deadline.load(Ordering::SeqCst)
    }

    /// Returns when the thread last turned; it does at least once in the longest call or retry period, 6 s by default.
    pub fn turned_at_ms(&self) -> u64 {
        self.turned_at.load(Ordering::SeqCst)
    }

    /// Returns how the campaign stands.
    pub fn status(&self) -> Status {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_status(&self, status: Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

/// Ends the leadership for all readers when the thread ends, whatever ends it.
struct Closing(Watch);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.deadline.store(0, Ordering::SeqCst);
        self.0.set_status(Status::Stopped);
    }
}

/// The faults last seen and their words, so that each is logged once and not at every retry.
#[derive(Default)]
struct Troubles {
    by_verb: [Option<(Fault, String)>; 3],
    latest: Option<Verb>,
}

impl Troubles {
    /// Takes note of an answer; returns whether it differs from the last one of its kind.
    fn note(&mut self, verb: Verb, fault: Option<&(Fault, String)>) -> bool {
        self.latest = fault.map(|_| verb);
        let place = &mut self.by_verb[verb as usize];
        let differs = place.as_ref() != fault;
        if differs {
            *place = fault.cloned();
        }
        differs
    }

    /// A missing permission counts until its request succeeds, anything else until the next answer.
    fn status(&self) -> Option<Status> {
        let forbidden = |verb: &Verb| matches!(self.by_verb[*verb as usize], Some((Fault::Forbidden, _)));
        let missing = [Verb::Get, Verb::Create, Verb::Update]
            .into_iter()
            .find(forbidden);
        missing
            .map(Status::Forbidden)
            .or(self.latest.map(Status::Unreachable))
    }
}

struct Campaign<C, E> {
    machine: Machine,
    requests: Requests,
    settings: Settings,
    troubles: Troubles,
    /// Whether any request was answered or failed yet.
    answered: bool,
    clock: C,
    events: E,
    watch: Closing,
}

impl<C: Fn() -> u64, E: FnMut(Event)> Campaign<C, E> {
    async fn run(&mut self, mut stopped: oneshot::Receiver<()>) {
        let mut call: Option<Call> = None;
        let mut stopping = false;
        loop {
            let now = (self.clock)();
            self.watch.0.turned_at.store(now, Ordering::SeqCst);
            let wake_at = self.machine.wake_at();
            let nap = Duration::from_millis(wake_at.unwrap_or(now).saturating_sub(now));
            let input = tokio::select! {
                biased;
                stop = &mut stopped, if !stopping => {
                    if stop.is_err() {
                        return;
                    }
                    stopping = true;
                    Input::Stop
                }
                answer = answered(&mut call), if call.is_some() => {
                    call = None;
                    self.receive(answer)
                }
                () = sleep(nap), if wake_at.is_some() => Input::Woke,
            };
            for output in self.machine.step((self.clock)(), input) {
                match output {
                    Output::Get => call = Some(self.requests.get()),
                    Output::Create(draft) => call = Some(self.requests.create(&draft)),
                    Output::Update { draft, version } => {
                        call = Some(self.requests.update(&draft, version));
                    }
                    Output::Gained { transitions } => self.gained(transitions),
                    Output::Lost(why) => self.lost(why),
                    Output::Stopped => return,
                }
            }
            self.share(self.machine.lease_deadline());
        }
    }

    fn receive(&mut self, answer: Answer) -> Input {
        let (verb, lease, namespace) = (answer.verb, &self.settings.name, &self.settings.namespace);
        if self.troubles.note(verb, answer.fault.as_ref()) {
            match &answer.fault {
                Some((Fault::Forbidden, text)) => log::warn!(
                    lease = lease.as_str(), namespace = namespace.as_str();
                    "the permission to {verb} leases (coordination.k8s.io) in namespace {namespace} is missing; \
                     this replica cannot lead without it: {text}"
                ),
                Some((Fault::Unknown, text)) => log::warn!(
                    lease = lease.as_str(), namespace = namespace.as_str();
                    "the request to {verb} the lease had no useful answer: {text}"
                ),
                None => log::info!(
                    lease = lease.as_str(), namespace = namespace.as_str();
                    "the request to {verb} the lease is answered again"
                ),
            }
        }
        self.answered = true;
        self.requests.receive(answer)
    }

    fn gained(&mut self, transitions: u32) {
        self.share(self.machine.lease_deadline());
        log::info!(lease = self.settings.name.as_str(), transitions; "this replica leads");
        (self.events)(Event::Gained { transitions });
    }

    fn lost(&mut self, why: Lost) {
        self.share(None);
        let lease = self.settings.name.as_str();
        match &why {
            Lost::Expired => log::warn!(lease; "leadership lost: no renewal before the deadline"),
            Lost::Taken { holder } => {
                log::warn!(lease, holder = holder.as_str(); "leadership lost to another holder")
            }
            Lost::Stopped => log::info!(lease; "leadership given up"),
        }
        (self.events)(Event::Lost { why });
    }

    fn share(&self, deadline: Option<u64>) {
        self.watch
            .0
            .deadline
            .store(deadline.unwrap_or(0), Ordering::SeqCst);
        let role = match deadline {
            Some(_) => Status::Leading,
            None if self.answered => Status::Standby,
            None => Status::Starting,
        };
        self.watch.0.set_status(self.troubles.status().unwrap_or(role));
    }
}

async fn answered(call: &mut Option<Call>) -> Answer {
    match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}
