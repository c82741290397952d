//! Carries callbacks to their receivers.
//!
//! Makes each attempt exactly once and reports the class of the answer. When to send, how often, in what order and
//! how many at once to one receiver is judged by the engine's outbox; nothing here knows that a callback was tried
//! before. The driver calls [`Pool::send`] and gets every answer through the closure that it gave to [`Pool::start`].

mod attempt;
mod body;
mod failure;
mod guard;
mod id;
mod lookup;
mod pool;
mod reach;
mod receiver;
mod retry_after;
pub mod secrets;
mod secrets_file;
mod settings;

use std::time::Duration;

pub use self::attempt::{DRAIN_MAX, DRAIN_TIME, HEAD_MAX};
pub use self::body::{BODY_MAX, Callback};
pub use self::failure::Failure;
pub use self::guard::{DEFAULT_DENY, Guard};
pub use self::id::{refusal_webhook_id, webhook_id};
pub use self::lookup::LOOKUPS_MAX;
pub use self::pool::Pool;
pub use self::reach::{Reached, reach};
pub use self::receiver::{receiver, shown_url};
pub use self::retry_after::{RETRY_AFTER_MAX, retry_after};
pub use self::settings::{CONNECT, Clock, Error, QUEUE, Settings, THREADS, TOTAL};

/// One attempt to deliver one callback.
#[derive(Clone, Eq, PartialEq)]
pub struct Delivery {
    /// Opaque; comes back with the answer.
    pub key: String,
    /// The receiver's absolute `http` or `https` URL.
    pub url: String,
    /// The same for every attempt, see [`webhook_id`].
    pub webhook_id: String,
    /// The same bytes for every attempt, see [`Callback::body`].
    pub body: Vec<u8>,
    /// The W3C trace context of the task, sent as a header.
    pub traceparent: Option<String>,
    /// The lease deadline in milliseconds of [`Settings::clock`]: an attempt that has not begun by then is not made.
    pub begin_by: Option<u64>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery")
            .field("key", &self.key)
            .field("url", &shown_url(&self.url))
            .field("webhook_id", &self.webhook_id)
            .finish_non_exhaustive()
    }
}

/// What became of one attempt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Answered 2xx.
    Delivered {
        /// The status code.
        status: u16,
    },
    /// Answered 410: the receiver wants no callback of this task any more.
    Gone,
    /// Everything else that was tried.
    Failed {
        /// Why.
        reason: Failure,
        /// The status code, where there was an answer.
        status: Option<u16>,
        /// The wait that the receiver asks for, at most [`RETRY_AFTER_MAX`].
        retry_after: Option<Duration>,
    },
    /// Not tried, because [`Delivery::begin_by`] had passed or the pool is shutting down.
    NotBegun,
}
