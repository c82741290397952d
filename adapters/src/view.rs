//! What the store holds, in the form that people and programs read: the command line, the page.
//!
//! It decodes and describes; it never writes, claims or decides. Nothing here shows an env value, a command, a message
//! body or the query of a URL.

mod callback;
mod event;
mod evidence;
mod letter;
mod life;
mod moment;
mod pace;
mod task;
mod waiting;

use std::collections::BTreeMap;
use std::time::Duration;

use engine::{Record, Snapshot, Task, TaskId, Transition};

use crate::connection::Error;
use crate::driver::StoredCallback;
use crate::driver::pause::Paused;
use crate::store::read::{Place, Reader};

pub use callback::{CallbackView, DeadCallbackView};
pub use event::EventView;
pub use letter::LetterView;
pub use life::{Finished, Life, Told};
pub use moment::Moment;
pub use pace::Pace;
pub use task::TaskView;

/// Reads a store and decodes what it holds.
pub struct View {
    reader: Reader,
}

impl View {
    /// Prepares a connection named after `role`; nothing is connected before the first question.
    ///
    /// # Errors
    /// When the address or the CA cannot be used at all.
    pub fn new(place: &Place, role: &str) -> Result<View, Error> {
        Ok(View {
            reader: Reader::new(place, role)?,
        })
    }

    /// Returns every task that is not forgotten yet, the one taken first at the front.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tasks(&mut self) -> Result<Vec<TaskView>, Error> {
        let stored = self.reader.tasks()?;
        let mut tasks: Vec<TaskView> = stored
            .iter()
            .map(|(id, snapshot)| match read_task(snapshot) {
                Some(task) => TaskView::new(id, &task),
                None => TaskView::unreadable(id),
            })
            .collect();
        tasks.sort_by(|a, b| (a.received_at, &a.id).cmp(&(b.received_at, &b.id)));
        Ok(tasks)
    }

    /// Returns the tasks that are forgotten, as far as the event log still tells of them, the last to end at the front.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn forgotten(&mut self) -> Result<Vec<TaskView>, Error> {
        let alive = self.reader.tasks()?;
        let mut last: BTreeMap<TaskId, ()> = BTreeMap::new();
        let mut tasks = Vec::new();
        let mut before = "+".to_owned();
        loop {
            let page = self.reader.log_before(&before)?;
            let Some((cursor, _)) = page.last() else {
                return Ok(tasks);
            };
            before.clone_from(cursor);
            for transition in page.iter().filter_map(|(_, record)| read_record(record)) {
                let newest = last.insert(transition.task.clone(), ()).is_none();
                if newest
                    && !alive.contains_key(transition.task.as_str())
                    && transition.after.state.kind().is_terminal()
                {
                    tasks.push(TaskView::new(transition.task.as_str(), &transition.after));
                }
            }
        }
    }

    /// Returns one task; `None` where it is unknown, or finished and forgotten.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn task(&mut self, id: &str) -> Result<Option<TaskView>, Error> {
        let stored = self.reader.task(id)?;
        Ok(stored.map(|snapshot| match read_task(&snapshot) {
            Some(task) => TaskView::new(id, &task),
            None => TaskView::unreadable(id),
        }))
    }

    /// Returns the callbacks that are owed, the oldest at the front.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn callbacks(&mut self) -> Result<Vec<CallbackView>, Error> {
        let stored = self.reader.outbox()?;
        let entries = stored
            .values()
            .filter_map(|entry| rmp_serde::from_slice::<StoredCallback>(entry).ok());
        let mut callbacks: Vec<CallbackView> = entries.filter_map(CallbackView::new).collect();
        callbacks.sort_by(|a, b| (a.owed_at, &a.key).cmp(&(b.owed_at, &b.key)));
        callback::line_up(&mut callbacks);
        Ok(callbacks)
    }

    /// Returns the callbacks that were given up, the oldest at the front.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn dead_callbacks(&mut self) -> Result<Vec<DeadCallbackView>, Error> {
        let entries = self.reader.dead_callbacks()?;
        Ok(entries
            .into_iter()
            .map(|(id, fields)| DeadCallbackView::new(id, &fields))
            .collect())
    }

    /// Returns a page of the event log after a place, oldest first, with the place to go on from; `-` is the beginning.
    /// `None` at the end.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events(&mut self, after: &str) -> Result<Option<(Vec<EventView>, String)>, Error> {
        let page = self.reader.log_after(after)?;
        Ok(page.last().map(|(cursor, _)| (events(&page), cursor.clone())))
    }

    /// Waits at most `wait` for what is added to the event log after a place, and moves the place. An order comes without a task.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn follow(
        &mut self,
        after: &mut String,
        wait: Duration,
    ) -> Result<Vec<(EventView, Option<TaskView>)>, Error> {
        let page = self.reader.follow_log(after, wait)?;
        if let Some((cursor, _)) = page.last() {
            after.clone_from(cursor);
        }
        let both = |(cursor, record): &(String, Vec<u8>)| {
            let task = read_record(record)
                .map(|transition| TaskView::new(transition.task.as_str(), &transition.after));
            Some((event(cursor, record)?, task))
        };
        Ok(page.iter().filter_map(both).collect())
    }

    /// Returns the place of the newest record of the event log.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn log_end(&mut self) -> Result<String, Error> {
        self.reader.log_end()
    }

    /// Returns who paused the intake of messages; `None` where it goes on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn paused(&mut self) -> Result<Option<Paused>, Error> {
        let unknown = |_| Paused {
            by: "(cannot be read)".to_owned(),
            reason: String::new(),
            since_ms: 0,
        };
        let paused = self.reader.paused()?;
        Ok(paused.map(|bytes| serde_json::from_slice(&bytes).unwrap_or_else(unknown)))
    }

    /// Returns the number of the term and the holder of the leader that claimed the store last.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn leader(&mut self) -> Result<Option<(String, String)>, Error> {
        let token = self.reader.token()?;
        Ok(token.and_then(|token| {
            let (number, rest) = token.split_once(':')?;
            let (holder, _) = rest.rsplit_once(':')?;
            Some((number.to_owned(), holder.to_owned()))
        }))
    }
}

fn events(page: &[(String, Vec<u8>)]) -> Vec<EventView> {
    page.iter()
        .filter_map(|(cursor, record)| event(cursor, record))
        .collect()
}

fn event(cursor: &str, record: &[u8]) -> Option<EventView> {
    match rmp_serde::from_slice::<Record>(record).ok()? {
        Record::V1 { transition, .. } => Some(EventView::new(cursor, &transition)),
        Record::Order { order } => Some(EventView::of_order(cursor, &order)),
    }
}

fn read_task(snapshot: &[u8]) -> Option<Task> {
    rmp_serde::from_slice::<Snapshot>(snapshot).ok().map(Task::from)
}

fn read_record(record: &[u8]) -> Option<Transition> {
    match rmp_serde::from_slice::<Record>(record).ok()? {
        Record::V1 { transition, .. } => Some(transition),
        Record::Order { .. } => None,
    }
}
