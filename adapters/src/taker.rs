//! Takes messages from the queue while there is room for them, and finds those that a dead leader took.
//!
//! One thread. It reads each message, so that the driver need not, and hands it over; it never decides what becomes
//! of one. What the bound of tasks leaves no room for stays in the queue.

use crate::driver::Taken;
use crate::health::Beat;
use crate::source::{self, Cursor, Delivery, Receipt, Source};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most messages that are taken at once.
const TAKE_MAX: usize = 64;
/// The longest wait of one take, so that the thread ends soon when it is told to.
const TAKE_WAIT: Duration = Duration::from_secs(1);
/// Messages that are handed over and not counted yet, at most: fewer than the driver's inbox holds, so that nobody who
/// brings something to it ever waits while the driver waits for its store.
const HANDED_MAX: usize = 1024;
/// Leftovers that are read at once.
const PAGE: usize = 128;
/// The wait after a queue that could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// The thread and what it shares with the driver's loop.
pub struct Taker {
    shared: Arc<Shared>,
    stop: Option<Sender<()>>,
    wake: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// What the loop tells the thread.
struct Shared {
    /// Tasks that may still be begun, as of the last turn.
    room: AtomicUsize,
    /// Messages handed over and not yet counted in `room`.
    handed: AtomicUsize,
    /// Messages that are being dealt with, by receipt: they are no leftovers.
    known: Mutex<BTreeMap<Receipt, usize>>,
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, BTreeMap<Receipt, usize>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self) -> usize {
        let handed = self.handed.load(Ordering::SeqCst);
        let room = self.room.load(Ordering::SeqCst).saturating_sub(handed);
        room.min(HANDED_MAX.saturating_sub(handed))
    }
}

impl Taker {
    /// Starts the thread; it takes nothing before there is room.
    ///
    /// `polling` is the longest wait of one take, and the period in which leftovers are looked for. `hand_over` may
    /// block, and tells whether anybody still listens.
    ///
    /// # Errors
    /// The operating system has no thread to give.
    pub fn start(
        source: Arc<dyn Source>,
        polling: Duration,
        beat: Beat,
        hand_over: impl FnMut(Taken) -> bool + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            room: AtomicUsize::new(0),
            handed: AtomicUsize::new(0),
            known: Mutex::default(),
        });
        let (stop, stopped) = bounded(0);
        let (wake, woken) = bounded(1);
        let mut rounds = Rounds {
            shared: Arc::clone(&shared),
            source,
            polling,
            told: None,
            beat,
            hand_over: Box::new(hand_over),
            stopped,
            woken,
        };
        let thread = std::thread::Builder::new()
            .name("taker".to_owned())
            .spawn(move || {
                rounds.run();
                rounds.beat.retire();
            })?;
        Ok(Self {
            shared,
            stop: Some(stop),
            wake,
            thread: Some(thread),
        })
    }

    /// Says how many tasks may be begun, `counted` messages of those that were handed over included.
    pub fn set_room(&self, room: usize, counted: usize) {
        self.shared.room.store(room, Ordering::SeqCst);
        self.shared.handed.fetch_sub(counted, Ordering::SeqCst);
        if self.shared.free() > 0 {
            match self.wake.try_send(()) {
                // A wake-up that is already under way is enough.
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Returns where settled messages are noted.
    pub fn settled(&self) -> Settled {
        Settled(Arc::clone(&self.shared))
    }

    /// Stops taking, without waiting for the thread: a take that is under way ends within a second, and what it still
    /// moves is handed over, or a leftover for the next leader.
    pub fn close(&mut self) {
        self.stop = None;
    }

    /// Tells whether the thread still runs, or was told to end.
    pub fn is_alive(&self) -> bool {
        self.stop.is_none() || self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Waits for the thread.
    pub fn join(mut self) {
        self.close();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread that takes messages panicked");
        }
    }
}

/// Where settled messages are noted; until then they are no leftovers.
#[derive(Clone)]
pub struct Settled(Arc<Shared>);

impl Settled {
    /// Says that a message is settled.
    pub fn note(&self, receipt: &Receipt) {
        let mut known = self.0.known();
        if let Some(count) = known.get_mut(receipt) {
            *count -= 1;
            if *count == 0 {
                known.remove(receipt);
            }
        }
    }
}

/// The thread's side.
struct Rounds {
    shared: Arc<Shared>,
    source: Arc<dyn Source>,
    polling: Duration,
    /// The fault of the queue that was logged last.
    told: Option<source::Error>,
    beat: Beat,
    hand_over: Box<dyn FnMut(Taken) -> bool + Send>,
    stopped: Receiver<()>,
    woken: Receiver<()>,
}

impl Rounds {
    fn run(&mut self) {
        let mut drained_at: Option<Instant> = None;
        while self.goes_on() {
            self.beat.tick();
            if self.shared.free() == 0 {
                self.rest(self.polling.min(RETRY));
                continue;
            }
            if drained_at.is_none_or(|at| at.elapsed() >= self.polling) {
                self.drain();
                drained_at = Some(Instant::now());
            }
            self.take();
        }
    }

    fn goes_on(&self) -> bool {
        self.stopped.try_recv() == Err(TryRecvError::Empty)
    }

    /// Waits for room, for the end, or for the time.
    fn rest(&self, time: Duration) {
        crossbeam_channel::select! {
            recv(self.stopped) -> _ => {}
            recv(self.woken) -> _ => {}
            default(time) => {}
        }
    }

    /// Waits for the end, or for the time.
    fn pause(&self, time: Duration) {
        crossbeam_channel::select! {
            recv(self.stopped) -> _ => {}
            default(time) => {}
        }
    }

    /// Tells of a fault once, not at every try.
    fn suffered(&mut self, what: &str, error: source::Error) {
        if self.told.as_ref() != Some(&error) {
            log::error!("{what}, it is tried again: {error}");
        }
        self.told = Some(error);
    }

    fn take(&mut self) {
        let max = self.shared.free().min(TAKE_MAX);
        match self.source.take(max, self.polling.min(TAKE_WAIT)) {
            Ok(deliveries) => {
                if self.told.take().is_some() {
                    log::info!("the queue answers again");
                }
                for delivery in deliveries {
                    self.note(&delivery.receipt);
                    self.hand(Taken::read(delivery));
                }
            }
            Err(error) => {
                self.suffered("no message can be taken", error);
                self.pause(RETRY);
            }
        }
    }

    /// Hands over what was taken and not settled, by whomever.
    ///
    /// One at a time: should one of them end the process, no other is counted as an attempt.
    fn drain(&mut self) {
        let mut cursor = Some(Cursor::default());
        while let Some(at) = cursor {
            // What is known before the page is read cannot have been settled between the two and then look left over.
            let known = self.shared.known().clone();
            let page = match self.source.leftovers(at, PAGE) {
                Ok(page) => page,
                Err(error) => {
                    return self.suffered("leftovers cannot be read", error);
                }
            };
            for delivery in page.deliveries {
                if !known.contains_key(&delivery.receipt) {
                    self.leftover(delivery);
                }
                if !self.goes_on() || self.shared.free() == 0 {
                    return;
                }
                self.beat.tick();
            }
            cursor = page.next;
        }
    }

    fn leftover(&mut self, delivery: Delivery) {
        let attempts = match self.source.count_attempt(&delivery.receipt) {
            Ok(0) => return,
            Ok(attempts) => attempts,
            Err(error) => return self.suffered("a leftover cannot be counted", error),
        };
        log::info!(attempts = attempts; "a message that a former leader took is taken again");
        let receipt = delivery.receipt.clone();
        self.note(&receipt);
        let poison = attempts >= engine::PANICS_MAX;
        let taken = if poison {
            Taken::poison(delivery)
        } else {
            Taken::read(delivery)
        };
        self.hand(taken);
        while self.goes_on() && self.shared.handed.load(Ordering::SeqCst) > 0 {
            self.rest(RETRY);
            self.beat.tick();
        }
        // Whatever ended the wait, the process lives: only a message that it dies of is counted again and again.
        if let Err(error) = self.source.forget_attempts(&receipt) {
            self.suffered("the attempts at a leftover cannot be forgotten", error);
        }
    }

    fn note(&self, receipt: &Receipt) {
        *self.shared.known().entry(receipt.clone()).or_insert(0) += 1;
    }

    fn hand(&mut self, taken: Taken) {
        self.shared.handed.fetch_add(1, Ordering::SeqCst);
        if !(self.hand_over)(taken) {
            log::debug!("nobody listens any more; the message is a leftover for the next leader");
        }
    }
}
