//! Settles messages in a queue that is not on the store's server, once what they became is durable.
//!
//! One thread; it tries until it works. What it has not done when the term ends is a leftover for the next leader; a dead
//! letter stays where it is.

use crate::source::{DeadLetter, Receipt, Source};
use crate::taker::Settled;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// The wait between two tries.
const RETRY: Duration = Duration::from_millis(500);

enum Order {
    Acknowledge(Vec<Receipt>),
    DeadLetter(Box<DeadLetter>),
    Requeue(String),
    DropLetter(String),
}

/// The thread's handle. The loop takes no messages while many orders wait.
pub(super) struct Settler {
    orders: Sender<Order>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Settler {
    pub(super) fn start(source: Arc<dyn Source>, settled: Settled) -> std::io::Result<Self> {
        let (orders, inbox) = unbounded();
        let (stop, stopped) = unbounded();
        let thread = std::thread::Builder::new()
            .name("settler".to_owned())
            .spawn(move || run(source.as_ref(), &settled, &inbox, &stopped))?;
        Ok(Self { orders, stop, thread })
    }

    pub(super) fn acknowledge(&self, receipts: Vec<Receipt>) {
        self.order(Order::Acknowledge(receipts));
    }

    pub(super) fn dead_letter(&self, letter: DeadLetter) {
        self.order(Order::DeadLetter(Box::new(letter)));
    }

    pub(super) fn requeue(&self, place: String) {
        self.order(Order::Requeue(place));
    }

    pub(super) fn drop_letter(&self, place: String) {
        self.order(Order::DropLetter(place));
    }

    /// Counts the orders that wait.
    pub(super) fn waiting(&self) -> usize {
        self.orders.len()
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            log::error!("the thread that settles messages is gone; they are leftovers for the next leader");
        }
    }

    /// Does what is ordered, or gives up at the first that does not work.
    pub(super) fn end(self) {
        drop((self.stop, self.orders));
        if self.thread.join().is_err() {
            log::error!("the thread that settles messages panicked");
        }
    }
}

fn run(source: &dyn Source, settled: &Settled, inbox: &Receiver<Order>, stopped: &Receiver<()>) {
    for order in inbox {
        let mut told = false;
        while let Err(error) = carry_out(source, &order) {
            if !told {
                log::error!("a message cannot be settled, it is tried again: {error}");
                told = true;
            }
            if stopped.recv_timeout(RETRY) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
        match &order {
            Order::Acknowledge(receipts) => receipts.iter().for_each(|receipt| settled.note(receipt)),
            Order::DeadLetter(letter) => settled.note(&letter.receipt),
            Order::Requeue(_) | Order::DropLetter(_) => {}
        }
    }
}

fn carry_out(source: &dyn Source, order: &Order) -> Result<(), crate::source::Error> {
    match order {
        Order::Acknowledge(receipts) => source.acknowledge(receipts),
        Order::DeadLetter(letter) => source.dead_letter(letter).map(drop),
        Order::Requeue(place) => source.requeue(place).map(drop),
        Order::DropLetter(place) => source.drop_letter(place).map(drop),
    }
}
