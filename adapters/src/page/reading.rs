//! The thread that reads the store for the page.

use std::sync::Arc;
use std::time::Instant;

use super::Settings;
use super::desk::{Desk, Wanted};
use super::hour::Hour;
use super::now::{self, Found};
use crate::clock::Clock;
use crate::source::Source;
use crate::source::letters::Letters;
use crate::view::{LetterView, View};

/// Pages of the event log that one overview reads; what is left is read by the next.
const PAGES_MAX: usize = 20;
/// Refused messages that are shown; each is read whole, for its task's id.
const LETTERS_MAX: usize = 20;
/// Transitions of one life that are shown.
const EVENTS_MAX: usize = 500;

/// What reads.
pub(super) struct Reading {
    settings: Settings,
    view: View,
    source: Arc<dyn Source>,
    letters: Letters,
    hour: Hour,
}

impl Reading {
    pub(super) fn new(settings: Settings, view: View, source: Arc<dyn Source>, letters: Letters) -> Self {
        Self {
            settings,
            view,
            source,
            letters,
            hour: Hour::default(),
        }
    }

    /// Reads what is asked for, until the desk is closed.
    pub(super) fn run(mut self, desk: &Desk) {
        while let Some(wanted) = desk.wait() {
            let began = Instant::now();
            let answer = match &wanted {
                Wanted::Now => self.now(),
                Wanted::Life(id) => self.life(id),
            };
            desk.put(&wanted, answer, began.elapsed());
        }
    }

    fn now(&mut self) -> Result<String, String> {
        let at = Clock.now_ms();
        self.catch_up(at).map_err(|error| error.to_string())?;
        let (view, letters) = (&mut self.view, &mut self.letters);
        let mut found = || -> Result<Found, crate::connection::Error> {
            Ok(Found {
                tasks: view.tasks()?,
                callbacks: view.callbacks()?,
                letters: letters.newest(LETTERS_MAX)?.iter().map(LetterView::new).collect(),
                dead_callbacks: view.dead_callbacks()?,
                leader: view.leader()?,
                paused: view.paused()?,
            })
        };
        let found = found().map_err(|error| error.to_string())?;
        let depth = self.source.depth().map_err(|error| error.to_string());
        Ok(now::json(&self.settings, at, &found, &depth, &self.hour))
    }

    /// Reads on in the event log.
    fn catch_up(&mut self, at: u64) -> Result<(), crate::connection::Error> {
        let mut cursor = self.hour.begin(at);
        for _ in 0..PAGES_MAX {
            let Some((events, next)) = self.view.events(&cursor)? else {
                self.hour.read_to(&cursor, true);
                return Ok(());
            };
            for event in &events {
                self.hour.take(event);
            }
            cursor = next;
        }
        self.hour.read_to(&cursor, false);
        Ok(())
    }

    fn life(&mut self, id: &str) -> Result<String, String> {
        let life = self.view.life(id).map_err(|error| error.to_string())?;
        let Some(mut life) = life else {
            return Ok(r#"{"unknown":true}"#.to_owned());
        };
        if life.events.len() > EVENTS_MAX {
            life.events.drain(..life.events.len() - EVENTS_MAX);
            life.cut = true;
        }
        serde_json::to_string(&life).map_err(|error| error.to_string())
    }
}
