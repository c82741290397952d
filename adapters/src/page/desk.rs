//! What was read, and what is asked for: the place where the HTTP door and the reading thread meet.
//!
//! Neither waits for the other here: what is not read yet is answered 202, and the page asks again.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::files::json;
use crate::http::Response;

/// From one overview to the next, at least.
const PAUSE: Duration = Duration::from_secs(3);
/// What is older was read for somebody who has left; a slow store is given the time of its next reading besides.
const STALE: Duration = Duration::from_secs(15);
/// A life is read again when it is asked for after this time.
const FRESH: Duration = Duration::from_secs(3);
/// Lives kept.
const LIVES_MAX: usize = 16;
/// After a reading so many times as long as it took is rested.
const REST: u32 = 4;
/// The longest rest: a page over a slow store is read too.
const REST_MAX: Duration = Duration::from_secs(5);

/// What is to be read.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Wanted {
    /// The overview.
    Now,
    /// The life of one task.
    Life(String),
}

fn rest(took: Duration) -> Duration {
    took.saturating_mul(REST).min(REST_MAX)
}

/// What was read and what is asked for.
#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    asked: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    now: Sheet,
    lives: BTreeMap<String, Sheet>,
    rests_until: Option<Instant>,
}

#[derive(Default)]
struct Sheet {
    asked: bool,
    answer: Option<Answer>,
}

struct Answer {
    at: Instant,
    took: Duration,
    text: Result<String, String>,
}

impl Sheet {
    fn age(&self) -> Option<Duration> {
        self.answer.as_ref().map(|answer| answer.at.elapsed())
    }

    fn shown(&self) -> Response {
        // The rest, a life that goes first, and the reading itself.
        let fresh = |answer: &&Answer| answer.at.elapsed() <= STALE + rest(answer.took) + answer.took * 2;
        match self.answer.as_ref().filter(fresh).map(|answer| &answer.text) {
            Some(Ok(text)) => json(200, text.clone()),
            Some(Err(error)) => json(200, serde_json::json!({ "error": error }).to_string()),
            None => json(202, r#"{"reading":true}"#.to_owned()),
        }
    }
}

impl Desk {
    /// Answers with the overview, and asks for the next one.
    pub(super) fn now(&self) -> Response {
        let mut state = self.lock();
        state.now.asked = true;
        self.asked.notify_one();
        state.now.shown()
    }

    /// Answers with a task's life, and asks for it where it is not fresh.
    pub(super) fn life(&self, id: &str) -> Response {
        let mut state = self.lock();
        if !state.lives.contains_key(id) && state.lives.len() >= LIVES_MAX {
            let oldest = state.lives.iter().max_by_key(|(_, sheet)| sheet.age());
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                state.lives.remove(&oldest);
            }
        }
        let sheet = state.lives.entry(id.to_owned()).or_default();
        if sheet.age().is_none_or(|age| age > FRESH) {
            sheet.asked = true;
            self.asked.notify_one();
        }
        sheet.shown()
    }

    /// Waits until something is to be read; `None` at the end.
    pub(super) fn wait(&self) -> Option<Wanted> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let rest = state
                .rests_until
                .map(|until| until.saturating_duration_since(Instant::now()))
                .filter(|rest| !rest.is_zero());
            if rest.is_none()
                && let Some(wanted) = state.next()
            {
                return Some(wanted);
            }
            let pause = rest.or_else(|| state.pause());
            state = match pause {
                Some(pause) => {
                    let waited = self.asked.wait_timeout(state, pause);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.asked.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Puts down what was read in `took`.
    pub(super) fn put(&self, wanted: &Wanted, text: Result<String, String>, took: Duration) {
        let mut state = self.lock();
        let at = Instant::now();
        state.rests_until = Some(at + rest(took));
        let sheet = match wanted {
            Wanted::Now => Some(&mut state.now),
            Wanted::Life(id) => state.lives.get_mut(id),
        };
        if let Some(sheet) = sheet {
            sheet.answer = Some(Answer { at, took, text });
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.asked.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A life first: somebody has clicked.
    fn next(&mut self) -> Option<Wanted> {
        let life = self.lives.iter_mut().find(|(_, sheet)| sheet.asked);
        if let Some((id, sheet)) = life {
            sheet.asked = false;
            return Some(Wanted::Life(id.clone()));
        }
        if self.now.asked && self.now.age().is_none_or(|age| age >= PAUSE) {
            self.now.asked = false;
            return Some(Wanted::Now);
        }
        None
    }

    /// How long until an overview that is asked for is due.
    fn pause(&self) -> Option<Duration> {
        let age = self.now.age().filter(|_| self.now.asked)?;
        Some(PAUSE.saturating_sub(age).max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(desk: &Desk, wanted: &Wanted, text: &str) {
        desk.put(wanted, Ok(text.to_owned()), Duration::ZERO);
    }

    #[test]
    fn what_is_not_read_yet_is_asked_for() {
        let desk = Desk::default();
        assert_eq!(desk.now().status, 202);
        assert_eq!(desk.wait(), Some(Wanted::Now));
        put(&desk, &Wanted::Now, "{}");
        let answer = desk.now();
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    }

    #[test]
    fn a_life_goes_first_and_no_more_than_the_bound_are_kept() {
        let desk = Desk::default();
        desk.now();
        for number in 0..100 {
            assert_eq!(desk.life(&format!("task-{number:03}")).status, 202);
        }
        assert_eq!(desk.lock().lives.len(), LIVES_MAX);
        for _ in 0..LIVES_MAX {
            assert!(matches!(desk.wait(), Some(Wanted::Life(_))));
        }
        assert_eq!(desk.wait(), Some(Wanted::Now));
    }

    #[test]
    fn what_was_read_slowly_is_shown_until_the_next_reading_may_be_over() {
        let read = |seconds: u64, took: u64| Sheet {
            asked: false,
            answer: Some(Answer {
                at: Instant::now()
                    .checked_sub(Duration::from_secs(seconds))
                    .expect("the machine runs longer"),
                took: Duration::from_secs(took),
                text: Ok("{}".to_owned()),
            }),
        };
        for (seconds, took, status) in [(5, 0, 200), (200, 0, 202), (200, 120, 200), (300, 120, 202)] {
            assert_eq!(
                read(seconds, took).shown().status,
                status,
                "{seconds} s, {took} s"
            );
        }
    }

    #[test]
    fn an_error_is_shown_and_the_end_is_the_end() {
        let desk = Desk::default();
        desk.put(&Wanted::Now, Err("no".to_owned()), Duration::ZERO);
        assert_eq!(desk.now().body, r#"{"error":"no"}"#);
        desk.close();
        assert_eq!(desk.wait(), None);
    }
}
