//! Who pushes which messages when: good ones, copies, others under the same id, refused ones, one that kills.

use crate::kube::Draft;
use crate::plan::{Fault, Mutant};
use crate::replica::POISON;
use crate::world::{Event, World};
use adapters::cluster::names::{Instance, job_name};

/// A message that a producer pushes.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    pub(crate) at: u64,
    pub(crate) raw: Vec<u8>,
    /// `None` for one that is refused.
    pub(crate) id: Option<String>,
}

impl World {
    pub(crate) fn produce_plan(&mut self) {
        let end = self.plan.heal_at;
        let mut pushes = Vec::new();
        for number in 0..self.plan.tasks {
            let rng = &mut self.rng;
            let id = if rng.chance(4) {
                format!("bad{number}")
            } else {
                format!("task{number}")
            };
            let early = if self.plan.reuse { end / 4 } else { end };
            let at = rng.range(0, early * 2 / 3);
            let raw = message(rng, &id, &self.plan);
            let mut push = |at: u64, raw: Vec<u8>| {
                let id = Some(id.clone());
                pushes.push(Push { at, raw, id });
            };
            push(at, raw.clone());
            while rng.chance(40) {
                push(rng.range(at, end), raw.clone());
            }
            if rng.chance(15) {
                let other = String::from_utf8_lossy(&raw)
                    .replace("busybox", "alpine")
                    .into_bytes();
                push(rng.range(at, end), other);
            }
            if rng.chance(8) {
                let raw = format!(
                    r#"{{"id":"{id}","service":"s","webhook":{{"url":"http://r1.test/x"}},"job":{{"prefixName":"p"}}}}"#
                );
                let at = rng.range(0, end);
                pushes.push(Push {
                    at,
                    raw: raw.into_bytes(),
                    id: None,
                });
            }
            if rng.chance(3) {
                self.foreign_job(&id);
            }
        }
        if self.plan.has(Fault::Poison) {
            let at = self.rng.range(0, end);
            let raw = POISON.to_vec();
            pushes.push(Push { at, raw, id: None });
        }
        for (index, push) in pushes.iter().enumerate() {
            self.at(push.at, Event::Produce(index));
        }
        self.producers = pushes;
    }

    fn foreign_job(&mut self, id: &str) {
        let instance = Instance {
            namespace: "jobs".to_owned(),
            lock_name: "lock".to_owned(),
        };
        for namespace in ["a", "b"] {
            let made = self.kube.create(Draft {
                name: job_name(&instance, namespace, id, "p"),
                namespace: namespace.to_owned(),
                label: None,
                annotations: std::collections::BTreeMap::new(),
                backoff_limit: 0,
                deadline_secs: None,
                ttl_secs: None,
            });
            assert!(made.is_some(), "the cluster is empty");
        }
    }

    pub(crate) fn produces(&mut self, index: usize) {
        let push = self.producers[index].clone();
        if let Some(id) = &push.id {
            self.pushed(id);
        }
        self.note(|| format!("{} is pushed", push.id.as_deref().unwrap_or("a bad message")));
        self.shared.lock().push(push.raw);
        for replica in 0..self.replicas.len() {
            if self.rng.chance(50) {
                self.wake_taker(replica, 3);
            }
        }
    }
}

fn message(rng: &mut crate::rng::Rng, id: &str, plan: &crate::plan::Plan) -> Vec<u8> {
    let mut job = serde_json::json!({
        "prefixName": "p",
        "namespace": *rng.pick(&["a", "b"]),
        "image": "busybox",
        "backoffLimit": rng.below(3),
    });
    if rng.chance(50) {
        // Where it is set after the verdict it has to outlast the loss window, the lease and a takeover.
        let outlasts = plan.patch && !plan.is(Mutant::TtlAtCreation);
        let ttl = if outlasts {
            rng.range(120, 300)
        } else {
            rng.range(31, 90)
        };
        job["ttlSecondsAfterFinished"] = ttl.into();
    }
    if rng.chance(30) {
        job["activeDeadlineSeconds"] = rng.range(60, 120).into();
    }
    let mut message = serde_json::json!({"id": id, "service": "s", "job": job});
    if rng.chance(92) {
        message["webhook"] = serde_json::json!({"url": format!("http://r{}.test/cb", rng.below(3))});
    }
    message.to_string().into_bytes()
}
