//! The life of one task: everything that led to where it is.

use std::time::Duration;

use engine::{Record, TaskId, Timestamp, Tombstone};
use serde::Serialize;

use super::callback::at;
use super::{CallbackView, DeadCallbackView, EventView, Moment, TaskView, View};
use crate::clock::Clock;
use crate::connection::Error;

/// How far the clock of a leader may be from that of Redis before records are overlooked.
const CLOCKS_APART_MS: u64 = 300_000;

/// A task, its transitions, its callbacks.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Life {
    /// The task, where it is not forgotten yet, else as the event log saw it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskView>,
    /// What is remembered of it once it is finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<Finished>,
    /// Its transitions, oldest first, as far as the event log still holds them.
    pub events: Vec<EventView>,
    /// The event log no longer holds how it began.
    pub cut: bool,
    /// What became of each callback, in their order.
    pub callbacks: Vec<Told>,
}

/// What is remembered of a finished task.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finished {
    /// The status of its verdict.
    pub status: u8,
    /// When the verdict was given.
    pub at: Moment,
    /// Until when its id stays taken; none while its Job was left in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remembered_until: Option<Moment>,
}

/// What became of a callback.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum Told {
    /// It was answered 2xx.
    Delivered {
        /// Its status.
        status: u8,
        /// Since when it was owed.
        #[serde(rename = "owedAt")]
        owed_at: Moment,
    },
    /// It is still owed.
    Owed(CallbackView),
    /// It was given up.
    Dead(DeadCallbackView),
}

impl Told {
    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Delivered { status, .. } => *status,
            Self::Owed(owed) => owed.status,
            Self::Dead(dead) => dead.status(),
        }
    }
}

impl View {
    /// Returns all that is known of a task; `None` where nothing is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn life(&mut self, id: &str) -> Result<Option<Life>, Error> {
        let alive = self.task(id)?;
        let finished = self.finished(id)?;
        let (events, last) = match (&alive, &finished) {
            (None, None) => self.history(id, None)?,
            (None, Some(finished)) if !self.orders_since(finished.at)? => {
                self.history(id, Some(finished.at))?
            }
            (None, Some(_)) => self.history(id, None)?,
            (Some(_), _) => self.history(id, None)?,
        };
        if alive.is_none() && finished.is_none() && events.is_empty() {
            return Ok(None);
        }
        let task = alive.or(last);
        let asked_for = task.as_ref().is_some_and(|task| task.webhook.is_some());
        let callbacks = if asked_for {
            self.told(id, &events)?
        } else {
            Vec::new()
        };
        Ok(Some(Life {
            task,
            finished,
            cut: events
                .iter()
                .find(|event| !event.is_order())
                .is_some_and(|first| first.transition > 1),
            events,
            callbacks,
        }))
    }

    fn finished(&mut self, id: &str) -> Result<Option<Finished>, Error> {
        let Some((stone, life)) = self.reader.tombstone(id)? else {
            return Ok(None);
        };
        let Ok(Tombstone::V1 { status, at, .. }) = rmp_serde::from_slice(&stone) else {
            return Ok(None);
        };
        let until = |life: Duration| {
            let ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
            Moment::from(Timestamp(Clock.now_ms()).plus_ms(ms))
        };
        Ok(Some(Finished {
            status,
            at: at.into(),
            remembered_until: life.map(until),
        }))
    }

    /// Tells whether an order was carried out later than shortly after a time: its record may stand anywhere behind.
    fn orders_since(&mut self, time: Moment) -> Result<bool, Error> {
        let last = at(&self.reader.answers_end()?);
        Ok(last.0 + CLOCKS_APART_MS >= time.0)
    }

    /// Returns the transitions of the newest task with an id, oldest first, and the task after the last of them. The log is
    /// read from its end, or from a little after the verdict.
    fn history(
        &mut self,
        id: &str,
        verdict: Option<Moment>,
    ) -> Result<(Vec<EventView>, Option<TaskView>), Error> {
        let task = TaskId::new(id);
        let mut before = verdict.map_or_else(|| "+".to_owned(), |at| format!("{}-0", at.0 + CLOCKS_APART_MS));
        let mut events = Vec::new();
        let mut last = None;
        'log: loop {
            let page = self.reader.log_before(&before)?;
            let Some((cursor, _)) = page.last() else { break };
            before.clone_from(cursor);
            let mut begun = false;
            for (cursor, record) in &page {
                match rmp_serde::from_slice::<Record>(record) {
                    Ok(Record::V1 { transition, .. }) if transition.task == task => {
                        // What is behind its beginning is of an earlier task with this id.
                        if begun {
                            break 'log;
                        }
                        last.get_or_insert_with(|| TaskView::new(id, &transition.after));
                        events.push(EventView::new(cursor, &transition));
                        begun = transition.from.is_none();
                    }
                    Ok(Record::Order { order }) if order.task.as_ref() == Some(&task) => {
                        events.push(EventView::of_order(cursor, &order));
                    }
                    Ok(Record::V1 { .. } | Record::Order { .. }) | Err(_) => {}
                }
            }
            // The order that led to a task stands shortly before it.
            if begun {
                break;
            }
        }
        events.reverse();
        Ok((events, last))
    }

    fn told(&mut self, id: &str, events: &[EventView]) -> Result<Vec<Told>, Error> {
        let owed: Vec<CallbackView> = self
            .callbacks()?
            .into_iter()
            .filter(|callback| callback.task.as_deref() == Some(id))
            .collect();
        let dead: Vec<DeadCallbackView> = self
            .dead_callbacks()?
            .into_iter()
            .filter(|callback| callback.task.as_deref() == Some(id))
            .collect();
        let of = |status: u8, at: Moment| {
            let ends = format!("/{status}");
            if let Some(owed) = owed.iter().find(|callback| callback.status == status) {
                Told::Owed(owed.clone())
            } else if let Some(dead) = dead
                .iter()
                .rfind(|callback| callback.key.ends_with(&ends) && callback.at.0 + CLOCKS_APART_MS >= at.0)
            {
                Told::Dead(dead.clone())
            } else {
                Told::Delivered { status, owed_at: at }
            }
        };
        let statuses = events
            .iter()
            .flat_map(|event| event.callbacks.iter().map(|status| (*status, event.at)));
        Ok(statuses.map(|(status, at)| of(status, at)).collect())
    }
}
