//! The way to the driver. A full inbox holds the adapter back; a stop does not wait for it.

use super::Report;
use crossbeam_channel::{SendTimeoutError, Sender};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a full inbox is waited for before the stop is looked at again.
const SLICE: Duration = Duration::from_millis(100);

/// Sends reports.
pub(super) struct Reports {
    inbox: Sender<Report>,
    stopping: Arc<AtomicBool>,
    reachable: Mutex<Option<bool>>,
}

impl Reports {
    /// Wraps the driver's inbox; once `stopping` is set nothing more is sent.
    pub(super) const fn new(inbox: Sender<Report>, stopping: Arc<AtomicBool>) -> Self {
        Self {
            inbox,
            stopping,
            reachable: Mutex::new(None),
        }
    }

    /// Sends a report; blocks while the inbox is full. Dropped only where nobody will ever read it.
    pub(super) fn send(&self, mut report: Report) {
        while !self.stopping.load(Ordering::Relaxed) {
            match self.inbox.send_timeout(report, SLICE) {
                Ok(()) => return,
                Err(SendTimeoutError::Timeout(unsent)) => report = unsent,
                Err(SendTimeoutError::Disconnected(_)) => {
                    log::debug!("the driver is gone, a report is dropped");
                    return;
                }
            }
        }
    }

    /// The API server answered.
    pub(super) fn reached(&self) {
        if self.turned(true) {
            log::info!("the API server answers");
            self.send(Report::ApiServer(Ok(())));
        }
    }

    /// The API server did not answer, or with trouble of its own.
    pub(super) fn lost(&self, why: String) {
        if self.turned(false) {
            log::warn!("the API server does not answer as it should: {why}");
            self.send(Report::ApiServer(Err(why)));
        }
    }

    fn turned(&self, reachable: bool) -> bool {
        let mut before = self.reachable.lock().unwrap_or_else(PoisonError::into_inner);
        before.replace(reachable) != Some(reachable)
    }
}
