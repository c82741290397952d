//! The delivery threads: a bounded number, a bounded queue.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::attempt::Client;
use super::failure::Failure;
use super::settings::{Clock, Error, Settings};
use super::{Answer, Delivery};

/// How long a shutdown waits for the threads once their attempts were interrupted.
const INTERRUPTED_TIME: Duration = Duration::from_secs(1);

/// The running delivery threads.
///
/// Every delivery that [`Pool::send`] accepted gets exactly one answer. Dropping the pool lets the threads finish what
/// was accepted; [`Pool::shutdown`] bounds that.
pub struct Pool {
    queue: Sender<Delivery>,
    ended: Receiver<Infallible>,
    stopping: Arc<AtomicBool>,
    client: Arc<Client>,
}

impl Pool {
    /// Starts the threads; `answers` is called by them with the key of each delivery and must not block for long.
    ///
    /// # Errors
    /// [`Error`] where a file of the settings is unusable or a thread cannot be started.
    pub fn start(
        settings: &Settings,
        answers: impl Fn(String, Answer) + Send + Sync + 'static,
    ) -> Result<Pool, Error> {
        let client = Arc::new(Client::new(settings)?);
        let answers = Arc::new(answers);
        let stopping = Arc::new(AtomicBool::new(false));
        let (queue, deliveries) = bounded(settings.queue);
        let (alive, ended) = bounded(0);
        for number in 0..settings.threads {
            let carrier = Carrier {
                deliveries: deliveries.clone(),
                client: Arc::clone(&client),
                clock: settings.clock.clone(),
                stopping: Arc::clone(&stopping),
                _alive: alive.clone(),
            };
            let answers = Arc::clone(&answers);
            thread::Builder::new()
                .name(format!("webhook-{number}"))
                .spawn(move || carrier.run(&*answers))
                .map_err(Error::Thread)?;
        }
        Ok(Pool {
            queue,
            ended,
            stopping,
            client,
        })
    }

    /// Accepts a delivery for the next free thread; never blocks.
    ///
    /// # Errors
    /// Gives the delivery back where the queue is full.
    pub fn send(&self, delivery: Delivery) -> Result<(), Box<Delivery>> {
        self.queue.try_send(delivery).map_err(|refused| match refused {
            TrySendError::Full(delivery) | TrySendError::Disconnected(delivery) => Box::new(delivery),
        })
    }

    /// Ends the threads. Attempts under way have `grace` to end and are interrupted then; what waits is answered
    /// [`Answer::NotBegun`] as soon as a thread is free. Returns whether all threads have ended, at most a second
    /// after `grace`: a connect or a look-up that hangs cannot be interrupted, and its delivery is answered later.
    pub fn shutdown(self, grace: Duration) -> bool {
        self.stopping.store(true, Ordering::SeqCst);
        drop(self.queue);
        // The channel carries nothing: it disconnects when the last thread has ended.
        let over = |wait| {
            self.ended
                .recv_timeout(wait)
                .is_err_and(|why| why.is_disconnected())
        };
        if over(grace) {
            return true;
        }
        self.client.interrupt();
        let ended = over(INTERRUPTED_TIME);
        if !ended {
            log::warn!("webhook threads are left behind in a connect or a name look-up");
        }
        ended
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("waiting", &self.queue.len())
            .finish_non_exhaustive()
    }
}

/// One thread's share of the pool.
struct Carrier {
    deliveries: Receiver<Delivery>,
    client: Arc<Client>,
    clock: Clock,
    stopping: Arc<AtomicBool>,
    _alive: Sender<Infallible>,
}

impl Carrier {
    fn run(self, answers: &impl Fn(String, Answer)) {
        for delivery in &self.deliveries {
            let answer = if self.may_begin(&delivery) {
                self.carry(&delivery)
            } else {
                Answer::NotBegun
            };
            answers(delivery.key, answer);
        }
    }

    fn may_begin(&self, delivery: &Delivery) -> bool {
        let in_time = delivery.begin_by.is_none_or(|by| self.clock.now_ms() < by);
        in_time && !self.stopping.load(Ordering::SeqCst)
    }

    /// A panic must not cost the delivery its answer, nor the pool its thread.
    fn carry(&self, delivery: &Delivery) -> Answer {
        catch_unwind(AssertUnwindSafe(|| self.client.post(delivery))).unwrap_or(Answer::Failed {
            reason: Failure::Panicked,
            status: None,
            retry_after: None,
        })
    }
}
