//! A store that notes what is written to it, and refuses on demand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use adapters::store::{Batch, Epoch, Error, Fields, Loaded, Op, Refused, Store, Trimmed};

/// Passes everything on to a real store.
pub(crate) struct Probe {
    inner: Box<dyn Store>,
    notes: Notes,
}

/// What was written, shared with the test; it outlives the leaders.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Noted>>);

#[derive(Default)]
pub(crate) struct Noted {
    /// Batches that were written, empty ones left out.
    pub(crate) batches: Vec<Batch>,
    /// Answers to the next writes, in place of writing.
    pub(crate) refusals: VecDeque<Error>,
    /// Answers to the next reads of tombstones, in place of reading.
    pub(crate) deaf: VecDeque<Error>,
}

impl Notes {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap()
    }

    pub(crate) fn ops(&self) -> Vec<Op> {
        let noted = self.lock();
        noted.batches.iter().flat_map(|batch| batch.ops.clone()).collect()
    }

    pub(crate) fn records(&self) -> Vec<Vec<u8>> {
        let noted = self.lock();
        noted.batches.iter().flat_map(|batch| batch.log.clone()).collect()
    }
}

impl Probe {
    pub(crate) fn new(inner: Box<dyn Store>, notes: Notes) -> Self {
        Self { inner, notes }
    }
}

impl Store for Probe {
    fn claim(&mut self, holder: &str) -> Result<Epoch, Error> {
        self.inner.claim(holder)
    }

    fn commit(&mut self, batch: &Batch, until: Instant) -> Result<Trimmed, Error> {
        if let Some(error) = self.notes.lock().refusals.pop_front() {
            return Err(error);
        }
        let trimmed = self.inner.commit(batch, until)?;
        if *batch != Batch::default() {
            self.notes.lock().batches.push(batch.clone());
        }
        Ok(trimmed)
    }

    fn tombstones(&mut self, ids: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        if let Some(error) = self.notes.lock().deaf.pop_front() {
            return Err(error);
        }
        self.inner.tombstones(ids)
    }

    fn load(&mut self, each: &mut dyn FnMut(Loaded)) -> Result<(), Error> {
        self.inner.load(each)
    }

    fn messages(&mut self, ids: &[&str]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.inner.messages(ids)
    }

    fn orders(&mut self) -> Result<Vec<(String, Vec<u8>)>, Error> {
        self.inner.orders()
    }

    fn dead_callbacks(&mut self, places: &[&str]) -> Result<Vec<Option<Fields>>, Error> {
        self.inner.dead_callbacks(places)
    }

    fn letters(&mut self, places: &[&str]) -> Result<Vec<Option<Refused>>, Error> {
        self.inner.letters(places)
    }

    fn record(&mut self, place: &str) -> Result<Option<Vec<u8>>, Error> {
        self.inner.record(place)
    }

    fn paused(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.inner.paused()
    }

    fn joint(&self) -> bool {
        self.inner.joint()
    }
}
