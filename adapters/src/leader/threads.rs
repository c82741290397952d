//! The threads that carry for a leader: cluster adapter, webhook pool, taker, settler.

use super::settler::Settler;
use super::time::Time;
use super::{Ended, Settings, Shared};
use crate::clock::Clock;
use crate::cluster::{self, Cluster, Hooks, Report};
use crate::driver::Input;
use crate::taker::{Settled, Taker};
use crate::webhook::Pool;
use crossbeam_channel::Sender;
use engine::lease::Timing;
use engine::outbox::{Key, Owner};
use std::sync::Arc;
use std::time::Duration;

/// How long the threads of the webhook pool may take to end.
const GRACE: Duration = Duration::from_secs(2);
/// How long the taker may be silent beyond its polling interval.
const TAKER_SILENCE: Duration = Duration::from_secs(60);

/// How long watches go on from one list: whatever a watch may have lost is found by then.
const RELIST: Duration = Duration::from_secs(600);

/// All of them.
pub(super) struct Threads {
    pub(super) cluster: Cluster,
    pub(super) pool: Pool,
    pub(super) taker: Taker,
    pub(super) settled: Settled,
    pub(super) settler: Settler,
}

impl Threads {
    pub(super) fn start(
        settings: &Settings,
        shared: &Shared,
        time: &Arc<Time>,
        inputs: Sender<Input>,
        reports: Sender<Report>,
    ) -> Result<Self, Ended> {
        let answers = inputs.clone();
        let pool = Pool::start(&settings.webhooks, move |key, answer| {
            // Where nobody listens any more the next leader sends it again.
            drop(parse_key(&key).map(|key| answers.send(Input::Webhook(key, answer))));
        })?;
        let taker = Taker::start(
            Arc::clone(&settings.source),
            settings.polling,
            shared.health.register("taker", settings.polling + TAKER_SILENCE),
            move |taken| inputs.send(Input::Message(Box::new(taken))).is_ok(),
        )?;
        let settled = taker.settled();
        Ok(Self {
            cluster: Cluster::connect(
                settings.kubernetes.clone(),
                cluster_settings(settings, shared, time),
                reports,
            )?,
            pool,
            settler: Settler::start(Arc::clone(&settings.source), settled.clone())?,
            settled,
            taker,
        })
    }

    /// Names a thread without which the term is of no use and which has died.
    pub(super) fn dead(&self) -> Option<&'static str> {
        if !self.cluster.is_alive() {
            Some("cluster")
        } else if !self.settler.is_alive() {
            Some("settler")
        } else {
            (!self.taker.is_alive()).then_some("taker")
        }
    }

    /// Ends them, in an order that lets none wait for another.
    pub(super) fn end(mut self) {
        self.taker.close();
        self.cluster.stop();
        if !self.pool.shutdown(GRACE) {
            log::warn!("a callback was still under way when the term ended; the next leader sends it again");
        }
        self.settler.end();
        self.taker.join();
    }
}

fn cluster_settings(settings: &Settings, shared: &Shared, time: &Arc<Time>) -> cluster::Settings {
    let timing = Timing::new(settings.policy.lease_ms);
    let timeout_ms = settings.policy.request_timeout_ms;
    let tenure = shared.tenure.clone();
    // One clock for both: a list is compared with the time at which a Job was made known.
    let time = Arc::clone(time);
    let (requests, restarts) = (Arc::clone(&shared.metrics), Arc::clone(&shared.metrics));
    cluster::Settings {
        instance: settings.driver.instance.clone(),
        pod_namespace: settings.pod_namespace.clone(),
        watch_namespaces: settings.watch_namespaces.clone(),
        known: settings.known.clone(),
        request_timeout: Duration::from_millis(timeout_ms),
        creates_max: settings.policy.creates_max,
        write_timeout: Arc::new(move || {
            timing
                .write_timeout(Clock.monotonic_ms(), tenure.deadline_ms(), timeout_ms)
                .map(Duration::from_millis)
        }),
        clock: Arc::new(move || time.now()),
        relist_after: RELIST,
        hooks: Hooks {
            request: Arc::new(move |verb, code| requests.kubernetes_request(verb, code)),
            watch_restart: Arc::new(move |reason| restarts.watch_restart(reason)),
        },
    }
}

/// Reads a key as `Key` writes it.
fn parse_key(text: &str) -> Option<Key> {
    let (owner, rank) = text.rsplit_once('/')?;
    Some(Key {
        owner: Owner::new(owner),
        rank: rank.parse().ok()?,
    })
}
