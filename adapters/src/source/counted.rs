//! A queue whose failed accesses are counted.

use super::{Cursor, DeadLetter, Delivery, Depth, Error, Joint, Page, Receipt, Source};
use crate::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;

/// Is a queue that tells the metrics of its errors; everything else is that of the queue within.
pub struct Counted<S> {
    queue: S,
    metrics: Arc<Metrics>,
}

impl<S: Source> Counted<S> {
    /// Counts the errors of a queue.
    pub const fn new(queue: S, metrics: Arc<Metrics>) -> Self {
        Self { queue, metrics }
    }

    fn counted<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &answer {
            self.metrics.queue_error(error.class());
        }
        answer
    }
}

impl<S: Source> Source for Counted<S> {
    fn take(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, Error> {
        self.counted(self.queue.take(max, wait))
    }

    fn leftovers(&self, cursor: Cursor, max: usize) -> Result<Page, Error> {
        self.counted(self.queue.leftovers(cursor, max))
    }

    fn acknowledge(&self, receipts: &[Receipt]) -> Result<(), Error> {
        self.counted(self.queue.acknowledge(receipts))
    }

    fn dead_letter(&self, letter: &DeadLetter) -> Result<u64, Error> {
        self.counted(self.queue.dead_letter(letter))
    }

    fn depth(&self) -> Result<Depth, Error> {
        self.counted(self.queue.depth())
    }

    fn count_attempt(&self, receipt: &Receipt) -> Result<u32, Error> {
        self.counted(self.queue.count_attempt(receipt))
    }

    fn forget_attempts(&self, receipt: &Receipt) -> Result<(), Error> {
        self.counted(self.queue.forget_attempts(receipt))
    }

    fn requeue(&self, place: &str) -> Result<bool, Error> {
        self.counted(self.queue.requeue(place))
    }

    fn drop_letter(&self, place: &str) -> Result<bool, Error> {
        self.counted(self.queue.drop_letter(place))
    }

    fn joint(&self) -> Option<&Joint> {
        self.queue.joint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Target;
    use crate::metrics::Words;
    use crate::source::list::List;

    #[test]
    fn an_access_that_fails_is_counted() {
        let words = Words {
            codes: &[],
            ends: &[],
            transitions: &[],
        };
        let metrics = Arc::new(Metrics::new(words, "0"));
        let target = Target {
            // No test server listens on a port below 1024.
            endpoint: "127.0.0.1:1".parse().unwrap(),
            db: 0,
            password: None,
            ca: None,
        };
        let list = List::new(&target, "queue-", "pod-0").unwrap();
        let queue = Counted::new(list, Arc::clone(&metrics));
        assert!(queue.depth().is_err());
        assert!(queue.joint().is_some());
        let line = r#"job_worker_queue_errors_total{class="unavailable"} 1"#;
        let shown = metrics.render();
        assert!(shown.lines().any(|shown| shown == line), "{shown}");
    }
}
