//! The leader lease: one replica's view of one `coordination.k8s.io/v1` Lease, by the rules of client-go's leader election.
//!
//! It owns when to look, what to write, and whether this replica leads; it never reads a clock, and never compares a time
//! written by another host: a foreign lease is stale once its `leaseDurationSeconds` have passed since *this* machine saw the
//! record change. The lease adapter carries its outputs and feeds it the answers, one request in flight at a time. `now` is
//! monotonic milliseconds everywhere.
//!
//! Leadership comes only from an answered write, counts from the moment before that write was sent, and ends by itself at the
//! renew deadline, in whatever phase the machine is. So a leader that was paused is none when it resumes.
//!
//! | phase | waits for | then |
//! |---|---|---|
//! | Resting | `Woke` when due | the Lease was ours at the last answer: `Update` → Writing; else `Get` → Looking |
//! | Looking | `Looked` | missing: `Create`; ours, released or stale: `Update` → Writing; another's: Resting |
//! | Writing | `Wrote` | leader, Resting |
//! | | `Conflict`, `Unwritten(Unknown)` | `Get` → Rechecking |
//! | Rechecking | `Looked` | another's: the role is lost; Resting (it never writes, so a refused write cannot spin) |
//! | Looking, Rechecking | `Unread` | Resting |
//! | Writing | `Unwritten(Forbidden)` | Resting |
//! | Withdrawing | the answer of a write that was in flight at `Stop` | ours: release → Releasing; unknown: `Get` → Confirming |
//! | Confirming | the answer of a look at `Stop` | ours: release → Releasing; else Stopped |
//! | Releasing | the answer of the release | Stopped, whatever it is: the lease also runs out by itself |
//!
//! `Stop` moves Resting, Looking, Rechecking, Writing to the last three where something may be held, else to Stopped. Every
//! other pair changes nothing: `Woke` early or with a request in flight, an answer nobody waits for, a second `Stop`.

mod exchange;
mod timing;

pub use exchange::{Draft, Fault, Input, Lost, Output, Record};
pub use timing::Timing;

/// What `leaseDurationSeconds` of a released lease says, as client-go's ReleaseOnCancel writes it.
const RELEASED_SECONDS: u32 = 1;
/// Candidates rest up to one part in this many longer than the retry period, so that they do not walk in step.
const JITTER_PARTS: u64 = 5;

/// One replica's part in one election.
#[derive(Clone, Debug)]
pub struct Machine {
    identity: String,
    timing: Timing,
    phase: Phase,
    /// When the write was sent that made or kept this replica the leader.
    led_from: Option<u64>,
    seen: Option<Seen>,
    jitter: u64,
}

#[derive(Clone, Debug)]
struct Seen {
    record: Record,
    /// When this machine saw the record change to what it is.
    at: u64,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Resting { until: u64, next: Next },
    Looking { began: u64 },
    Rechecking { began: u64 },
    Writing { began: u64, sent_at: u64 },
    Withdrawing,
    Confirming,
    Releasing,
    Stopped,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Look,
    /// The record seen last is ours and its version is current.
    Renew,
}

impl Machine {
    /// Begins a campaign that is due at once. `identity` must be unique to this process: pod name, `_`, nonce.
    pub fn new(identity: String, timing: Timing) -> Self {
        let jitter = identity.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let phase = Phase::Resting {
            until: 0,
            next: Next::Look,
        };
        Self {
            identity,
            timing,
            phase,
            led_from: None,
            seen: None,
            jitter,
        }
    }

    /// Reports whether this replica leads at `now`; false from the renew deadline on, whether or not the machine was stepped.
    pub fn is_leader(&self, now: u64) -> bool {
        self.renew_by().is_some_and(|by| now < by)
    }

    /// Returns until when the current leadership is safe from any other: D after the last successful write was *sent*.
    ///
    /// It is what [`Timing::write_timeout`] counts against; leadership itself ends earlier, at the renew deadline.
    pub fn lease_deadline(&self) -> Option<u64> {
        self.led_from
            .map(|sent_at| sent_at.saturating_add(self.timing.duration_ms()))
    }

    /// Returns when the machine next wants [`Input::Woke`]; `None` while only an answer can move it.
    pub fn wake_at(&self) -> Option<u64> {
        let due = match self.phase {
            Phase::Resting { until, .. } => Some(until),
            Phase::Looking { .. }
            | Phase::Rechecking { .. }
            | Phase::Writing { .. }
            | Phase::Withdrawing
            | Phase::Confirming
            | Phase::Releasing
            | Phase::Stopped => None,
        };
        due.into_iter().chain(self.renew_by()).min()
    }

    /// Advances the machine by one input and returns what follows from it, in order.
    pub fn step(&mut self, now: u64, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        if self.led_from.is_some() && !self.is_leader(now) {
            self.lose(Lost::Expired, &mut out);
        }
        self.phase = match self.phase {
            Phase::Resting { until, next } => self.resting(now, until, next, input, &mut out),
            Phase::Looking { began } => self.looking(now, began, input, &mut out),
            Phase::Rechecking { began } => self.rechecking(now, began, input, &mut out),
            Phase::Writing { began, sent_at } => self.writing(now, began, sent_at, input, &mut out),
            Phase::Withdrawing => self.withdrawing(now, input, &mut out),
            Phase::Confirming => self.confirming(now, input, &mut out),
            Phase::Releasing => releasing(&input, &mut out),
            Phase::Stopped => Phase::Stopped,
        };
        out
    }

    fn resting(&mut self, now: u64, until: u64, next: Next, input: Input, out: &mut Vec<Output>) -> Phase {
        match input {
            Input::Woke if now < until => Phase::Resting { until, next },
            Input::Woke => match next {
                Next::Renew => self.write(now, now, out),
                Next::Look => {
                    out.push(Output::Get);
                    Phase::Looking { began: now }
                }
            },
            Input::Stop => match next {
                Next::Renew => self.release(out),
                Next::Look => self.confirm_or_stop(self.may_hold(), true, out),
            },
            Input::Looked(_) | Input::Unread(_) | Input::Wrote(_) | Input::Conflict | Input::Unwritten(_) => {
                Phase::Resting { until, next }
            }
        }
    }

    fn looking(&mut self, now: u64, began: u64, input: Input, out: &mut Vec<Output>) -> Phase {
        match input {
            Input::Looked(found) => {
                self.observe(now, found, out);
                if self.is_free(now) {
                    self.write(now, began, out)
                } else {
                    self.rest(now, began, Next::Look)
                }
            }
            Input::Unread(Fault::Forbidden | Fault::Unknown) => self.rest(now, began, Next::Look),
            Input::Stop => self.confirm_or_stop(self.may_hold(), false, out),
            Input::Woke | Input::Wrote(_) | Input::Conflict | Input::Unwritten(_) => Phase::Looking { began },
        }
    }

    fn rechecking(&mut self, now: u64, began: u64, input: Input, out: &mut Vec<Output>) -> Phase {
        match input {
            Input::Looked(found) => {
                self.observe(now, found, out);
                let next = if self.holds() { Next::Renew } else { Next::Look };
                self.rest(now, began, next)
            }
            Input::Unread(Fault::Forbidden | Fault::Unknown) => self.rest(now, began, Next::Look),
            Input::Stop => self.confirm_or_stop(true, false, out),
            Input::Woke | Input::Wrote(_) | Input::Conflict | Input::Unwritten(_) => {
                Phase::Rechecking { began }
            }
        }
    }

    fn writing(&mut self, now: u64, began: u64, sent_at: u64, input: Input, out: &mut Vec<Output>) -> Phase {
        match input {
            Input::Wrote(record) => {
                let transitions = record.transitions;
                self.observe(now, Some(record), out);
                if !self.holds() || now >= sent_at.saturating_add(self.timing.renew_ms()) {
                    return self.rest(now, began, Next::Look);
                }
                if self.led_from.replace(sent_at).is_none() {
                    out.push(Output::Gained { transitions });
                }
                self.rest(now, began, Next::Renew)
            }
            Input::Conflict | Input::Unwritten(Fault::Unknown) => {
                out.push(Output::Get);
                Phase::Rechecking { began }
            }
            Input::Unwritten(Fault::Forbidden) => self.rest(now, began, Next::Look),
            Input::Stop => {
                self.lose(Lost::Stopped, out);
                Phase::Withdrawing
            }
            Input::Woke | Input::Looked(_) | Input::Unread(_) => Phase::Writing { began, sent_at },
        }
    }

    fn withdrawing(&mut self, now: u64, input: Input, out: &mut Vec<Output>) -> Phase {
        match input {
            Input::Wrote(record) => {
                self.observe(now, Some(record), out);
                self.release(out)
            }
            Input::Conflict | Input::Unwritten(Fault::Unknown) => self.confirm_or_stop(true, true, out),
            Input::Unwritten(Fault::Forbidden) => self.confirm_or_stop(false, false, out),
            Input::Woke | Input::Looked(_) | Input::Unread(_) | Input::Stop => Phase::Withdrawing,
        }
    }

    fn confirming(&mut self, now: u64, input: Input, out: &mut Vec<Output>) -> Phase {
        match input {
            Input::Looked(found) => {
                self.observe(now, found, out);
                self.release(out)
            }
            Input::Unread(Fault::Forbidden | Fault::Unknown) => self.confirm_or_stop(false, false, out),
            Input::Woke | Input::Wrote(_) | Input::Conflict | Input::Unwritten(_) | Input::Stop => {
                Phase::Confirming
            }
        }
    }

    /// Takes note of what the Lease says; a leader that is not its holder is none.
    fn observe(&mut self, now: u64, found: Option<Record>, out: &mut Vec<Output>) {
        let Some(record) = found else {
            self.seen = None;
            return;
        };
        if record.holder != self.identity {
            self.lose(
                Lost::Taken {
                    holder: record.holder.clone(),
                },
                out,
            );
        }
        if self.seen.as_ref().is_none_or(|seen| seen.record != record) {
            self.seen = Some(Seen { record, at: now });
        }
    }

    /// Writes what makes this replica the holder, from the record seen last.
    fn write(&mut self, now: u64, began: u64, out: &mut Vec<Output>) -> Phase {
        let draft = |transitions, acquired_us| Draft {
            holder: self.identity.clone(),
            seconds: self.timing.record_seconds(),
            transitions,
            acquired_us,
        };
        out.push(match self.seen.as_ref().map(|seen| &seen.record) {
            None => Output::Create(draft(0, None)),
            Some(record) => Output::Update {
                draft: if record.holder == self.identity {
                    draft(record.transitions, record.acquired_us)
                } else {
                    draft(record.transitions.saturating_add(1), None)
                },
                version: record.version.clone(),
            },
        });
        Phase::Writing { began, sent_at: now }
    }

    /// Gives the lease back if the record seen last is ours.
    fn release(&mut self, out: &mut Vec<Output>) -> Phase {
        self.lose(Lost::Stopped, out);
        match self
            .seen
            .as_ref()
            .map(|seen| &seen.record)
            .filter(|record| record.holder == self.identity)
        {
            Some(record) => {
                let draft = Draft {
                    holder: String::new(),
                    seconds: RELEASED_SECONDS,
                    transitions: record.transitions,
                    acquired_us: None,
                };
                out.push(Output::Update {
                    draft,
                    version: record.version.clone(),
                });
                Phase::Releasing
            }
            None => {
                out.push(Output::Stopped);
                Phase::Stopped
            }
        }
    }

    /// Waits for a look before releasing, where there may be something to release; `ask` sends it, else it is in flight.
    fn confirm_or_stop(&mut self, may_hold: bool, ask: bool, out: &mut Vec<Output>) -> Phase {
        self.lose(Lost::Stopped, out);
        if !may_hold {
            out.push(Output::Stopped);
            return Phase::Stopped;
        }
        if ask {
            out.push(Output::Get);
        }
        Phase::Confirming
    }

    /// Ends the attempt; the next begins a pause after this one *began*, or as soon as the lease of another runs out.
    fn rest(&mut self, now: u64, began: u64, next: Next) -> Phase {
        let retry = self.timing.retry_ms();
        let pause = if self.led_from.is_some() {
            retry
        } else {
            retry + self.next_jitter(retry / JITTER_PARTS)
        };
        let due = began.saturating_add(pause);
        let stale_at = self.stale_at().filter(|at| *at > now);
        Phase::Resting {
            until: stale_at.map_or(due, |at| due.min(at)).max(now),
            next,
        }
    }

    fn lose(&mut self, why: Lost, out: &mut Vec<Output>) {
        if self.led_from.take().is_some() {
            out.push(Output::Lost(why));
        }
    }

    fn renew_by(&self) -> Option<u64> {
        self.led_from
            .map(|sent_at| sent_at.saturating_add(self.timing.renew_ms()))
    }

    fn holds(&self) -> bool {
        self.seen
            .as_ref()
            .is_some_and(|seen| seen.record.holder == self.identity)
    }

    fn may_hold(&self) -> bool {
        self.led_from.is_some() || self.holds()
    }

    fn is_free(&self, now: u64) -> bool {
        self.stale_at().is_none_or(|at| now >= at)
    }

    /// Returns when the lease of another runs out; `None` where it is missing, released or ours.
    fn stale_at(&self) -> Option<u64> {
        let seen = self
            .seen
            .as_ref()
            .filter(|seen| !seen.record.holder.is_empty() && !self.holds())?;
        let ms = match seen.record.seconds {
            0 => self.timing.duration_ms(),
            seconds => u64::from(seconds) * 1_000,
        };
        Some(seen.at.saturating_add(ms))
    }

    /// Returns the next of a fixed sequence below `bound` that starts from the identity (SplitMix64).
    fn next_jitter(&mut self, bound: u64) -> u64 {
        self.jitter = self.jitter.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.jitter;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

fn releasing(input: &Input, out: &mut Vec<Output>) -> Phase {
    match input {
        Input::Wrote(_) | Input::Conflict | Input::Unwritten(Fault::Forbidden | Fault::Unknown) => {
            out.push(Output::Stopped);
            Phase::Stopped
        }
        Input::Woke | Input::Looked(_) | Input::Unread(_) | Input::Stop => Phase::Releasing,
    }
}
