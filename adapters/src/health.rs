//! What the probes are told: whether the loops of this process make progress, and whether it could serve.
//!
//! Liveness looks at heartbeats alone, for a probe must not turn an outage of Redis or of the API server into a
//! restart storm; readiness is what others report about those. It never connects to anything itself. Loops
//! register once and tick; the HTTP door asks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::http::Response;

/// Longest reason of a failed readiness check, in characters.
const REASON_MAX: usize = 300;

/// Keeps the heartbeats of the loops and the readiness checks of one process.
pub struct Health {
    monotonic_ms: Box<dyn Fn() -> u64 + Send + Sync>,
    loops: Mutex<Vec<Arc<Loop>>>,
    checks: Mutex<BTreeMap<&'static str, Result<(), String>>>,
}

impl Health {
    /// Starts without loops; each of `checks` counts as failed until it is first set.
    ///
    /// `monotonic_ms` is the clock that silences are measured with.
    pub fn new(monotonic_ms: impl Fn() -> u64 + Send + Sync + 'static, checks: &[&'static str]) -> Arc<Self> {
        Arc::new(Self {
            monotonic_ms: Box::new(monotonic_ms),
            loops: Mutex::default(),
            checks: Mutex::new(
                checks
                    .iter()
                    .map(|check| (*check, Err("not checked yet".to_owned())))
                    .collect(),
            ),
        })
    }

    /// Registers a loop that promises to tick at least every `silence`, and counts its first tick.
    ///
    /// The bound has to cover the longest blocking call of one round. The loop keeps the beat: one that is
    /// dropped without [`Beat::retire`], as by a panic, makes `/healthz` fail at once.
    pub fn register(self: &Arc<Self>, name: &'static str, silence: Duration) -> Beat {
        let entry = Arc::new(Loop {
            name,
            silence_ms: u64::try_from(silence.as_millis()).unwrap_or(u64::MAX),
            last_ms: AtomicU64::new((self.monotonic_ms)()),
        });
        lock(&self.loops).push(Arc::clone(&entry));
        Beat {
            health: Arc::clone(self),
            entry,
        }
    }

    /// Sets a readiness check; the reason of a failed one is shown on `/readyz`, so it must hold no secret.
    pub fn set(&self, check: &'static str, state: Result<(), &str>) {
        let state = state.map_err(|reason| {
            let line: String = reason
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .take(REASON_MAX)
                .collect();
            line
        });
        lock(&self.checks).insert(check, state);
    }

    /// Removes a readiness check that no longer applies, such as one of the leader's on a standby.
    pub fn remove(&self, check: &'static str) {
        lock(&self.checks).remove(check);
    }

    /// Answers `/healthz` and `/livez`: 200 while every loop progresses, else 503 with a line for each that does not.
    pub fn healthz(&self) -> Response {
        let now = (self.monotonic_ms)();
        let mut body = String::new();
        for stalled in lock(&self.loops).iter().filter_map(|entry| entry.fault(now)) {
            body.push_str(&stalled);
        }
        match body.is_empty() {
            true => Response::text(200, "ok\n"),
            false => Response::text(503, body),
        }
    }

    /// Answers `/readyz`: a line for each check, 200 when all of them and every loop are well, else 503.
    pub fn readyz(&self) -> Response {
        let live = self.healthz();
        let mut ready = live.status == 200;
        let mut body = if ready { String::new() } else { live.body };
        for (check, state) in lock(&self.checks).iter() {
            match state {
                Ok(()) => writeln!(body, "[+]{check} ok"),
                Err(reason) => {
                    ready = false;
                    writeln!(body, "[-]{check} {reason}")
                }
            }
            .expect("writing to a string");
        }
        Response::text(if ready { 200 } else { 503 }, body)
    }
}

/// Proves that one loop makes progress. Not cloneable: one loop, one beat.
pub struct Beat {
    health: Arc<Health>,
    entry: Arc<Loop>,
}

impl Beat {
    /// Says that the loop has finished a round. Cheap: one clock read and one atomic store.
    pub fn tick(&self) {
        let now = (self.health.monotonic_ms)().min(ENDED - 1);
        self.entry.last_ms.store(now, Ordering::Relaxed);
    }

    /// Says that the loop ends on purpose, as at a loss of the lease, and is no longer waited for.
    pub fn retire(self) {
        lock(&self.health.loops).retain(|entry| !Arc::ptr_eq(entry, &self.entry));
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.entry.last_ms.store(ENDED, Ordering::Relaxed);
    }
}

/// Stands for a loop that is gone, in place of the time of its last tick.
const ENDED: u64 = u64::MAX;

struct Loop {
    name: &'static str,
    silence_ms: u64,
    last_ms: AtomicU64,
}

impl Loop {
    fn fault(&self, now_ms: u64) -> Option<String> {
        let last = self.last_ms.load(Ordering::Relaxed);
        if last == ENDED {
            return Some(format!("[-]{} has ended\n", self.name));
        }
        let silent = now_ms.saturating_sub(last);
        (silent > self.silence_ms).then(|| {
            format!(
                "[-]{} silent for {silent} ms, allowed are {} ms\n",
                self.name, self.silence_ms
            )
        })
    }
}

/// Locks through a poisoned mutex: each critical section here leaves whole values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: u64, checks: &[&'static str]) -> (Arc<Health>, Arc<AtomicU64>) {
        let time = Arc::new(AtomicU64::new(start));
        let clock = Arc::clone(&time);
        (Health::new(move || clock.load(Ordering::Relaxed), checks), time)
    }

    #[test]
    fn a_loop_is_well_until_its_own_silence_is_over() {
        let (health, time) = at(1_000, &[]);
        let engine = health.register("engine", Duration::from_secs(30));
        let _intake = health.register("intake", Duration::from_secs(60));
        time.store(31_000, Ordering::Relaxed);
        assert_eq!(health.healthz(), Response::text(200, "ok\n"));
        time.store(31_001, Ordering::Relaxed);
        assert_eq!(
            health.healthz(),
            Response::text(503, "[-]engine silent for 30001 ms, allowed are 30000 ms\n")
        );
        engine.tick();
        assert_eq!(health.healthz(), Response::text(200, "ok\n"));
    }

    #[test]
    fn a_loop_that_panicked_is_a_fault_and_one_that_retired_is_not() {
        let (health, _time) = at(0, &[]);
        health.register("intake", Duration::from_secs(1)).retire();
        assert_eq!(health.healthz(), Response::text(200, "ok\n"));
        let beat = health.register("engine", Duration::from_secs(1));
        let ended = std::thread::spawn(move || {
            beat.tick();
            panic!("on purpose");
        });
        assert!(ended.join().is_err());
        assert_eq!(health.healthz(), Response::text(503, "[-]engine has ended\n"));
    }

    #[test]
    fn failed_checks_fail_readiness_alone() {
        let (health, _time) = at(0, &["redis", "kubernetes"]);
        assert_eq!(health.healthz(), Response::text(200, "ok\n"));
        assert_eq!(
            health.readyz(),
            Response::text(503, "[-]kubernetes not checked yet\n[-]redis not checked yet\n")
        );
        health.set("redis", Ok(()));
        health.set("kubernetes", Err("two\nlines"));
        assert_eq!(
            health.readyz(),
            Response::text(503, "[-]kubernetes two lines\n[+]redis ok\n")
        );
        health.set("kubernetes", Ok(()));
        assert_eq!(
            health.readyz(),
            Response::text(200, "[+]kubernetes ok\n[+]redis ok\n")
        );
        health.remove("redis");
        assert_eq!(health.readyz(), Response::text(200, "[+]kubernetes ok\n"));
    }

    #[test]
    fn a_stalled_loop_fails_readiness_too() {
        let (health, time) = at(0, &["redis"]);
        health.set("redis", Ok(()));
        let _beat = health.register("engine", Duration::from_millis(10));
        time.store(11, Ordering::Relaxed);
        assert_eq!(
            health.readyz(),
            Response::text(
                503,
                "[-]engine silent for 11 ms, allowed are 10 ms\n[+]redis ok\n"
            )
        );
    }
}
