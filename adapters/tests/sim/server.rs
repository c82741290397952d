//! What the API server does with a request that has reached it, and what it answers.

use crate::adapter::{Arrival, From, JOBS, Look, Stop, Told};
use crate::kube::{self, Draft, Object};
use crate::wired::create_answer;
use crate::world::{Event, ToTerm, World};
use engine::{
    CreateFailed, CreateFailure, Event as Fact, JobJudged, LookFailed, StopAnswered, TaskId, Timestamp,
    TtlAnswered, Uid,
};

impl World {
    pub(crate) fn arrives(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::List {
                from,
                kind,
                connection,
                began_at,
            } => self.lists_now(from, kind, connection, began_at),
            Arrival::Create {
                from,
                task,
                draft,
                heard,
                late,
            } => self.creates_now(from, &task, *draft, heard, late),
            Arrival::GetAfterConflict {
                from,
                task,
                namespace,
                name,
            } => self.gets_after_conflict(from, &task, &namespace, &name),
            Arrival::LookJob(from, look) => self.reads_for_look(from, look),
            Arrival::LookPods(from, look, job) => self.lists_for_look(from, &look, job.as_deref()),
            Arrival::ReadForStop(from, stop) => {
                if self.api_is_down() {
                    let unknown = vec![Fact::StopAnswered(StopAnswered::Unknown)];
                    return self.answer(3_000, from, &stop.task, unknown);
                }
                let job = self
                    .kube
                    .find(&stop.namespace, &stop.job_name)
                    .cloned()
                    .map(Box::new);
                let hop = self.hop();
                self.tell(hop, from, ToTerm::Adapter(Told::StopRead(stop, job)));
            }
            Arrival::Patch {
                from,
                stop,
                version,
                heard,
            } => self.patches_now(from, &stop, version, heard),
            Arrival::SetTtl {
                from,
                task,
                uid,
                seconds,
                heard,
            } => self.sets_ttl_now(from, &task, &uid, seconds, heard),
        }
    }

    fn reads_for_look(&mut self, from: From, look: Look) {
        if self.api_is_down() {
            let failed = vec![Fact::LookFailed(LookFailed)];
            return self.answer(3_000, from, &look.task, failed);
        }
        let job = self
            .kube
            .find(&look.namespace, &look.job_name)
            .cloned()
            .map(Box::new);
        let hop = self.hop();
        self.tell(hop, from, ToTerm::Adapter(Told::LookedAtJob(look, job)));
    }

    fn lists_for_look(&mut self, from: From, look: &Look, job: Option<&kube::Job>) {
        if self.api_is_down() {
            let failed = vec![Fact::LookFailed(LookFailed)];
            return self.answer(3_000, from, &look.task, failed);
        }
        let pods = self.kube.pods_of(look.task.as_str());
        let facts = self.wired.look(&look.task, look.uid.as_ref(), job, &pods);
        let hop = self.hop();
        self.answer(hop, from, &look.task, facts);
    }

    fn sets_ttl_now(&mut self, from: From, task: &TaskId, uid: &str, seconds: u64, heard: bool) {
        let answered = if self.api_is_down() {
            TtlAnswered::Unknown
        } else {
            self.kube.set_ttl(uid, seconds);
            self.reach("TTL patched");
            self.watchers();
            TtlAnswered::Settled
        };
        if heard {
            let hop = self.hop();
            self.answer(hop, from, task, vec![Fact::TtlAnswered(answered)]);
        }
    }

    fn watchers(&mut self) {
        for index in 0..self.replicas.len() {
            self.adapter_hears(index);
        }
    }

    fn lists_now(&mut self, from: From, kind: usize, connection: u64, began_at: Timestamp) {
        if self.api_is_down() {
            let wait = self.rng.range(400, 3_000);
            return self.tell(wait, from, ToTerm::Adapter(Told::ListAgain(kind, connection)));
        }
        let objects = if kind == JOBS {
            let jobs = self.kube.jobs.values().filter(|job| job.label.is_some());
            jobs.map(|job| Object::Job(Box::new(job.clone()))).collect()
        } else {
            let pods = self.kube.pods.values();
            pods.map(|pod| Object::Pod(Box::new(pod.clone()))).collect()
        };
        let at = self.kube.history.len();
        let hop = self.hop();
        self.tell(
            hop,
            from,
            ToTerm::Adapter(Told::Listed {
                kind,
                connection,
                objects,
                at,
                began_at,
            }),
        );
    }

    fn creates_now(&mut self, from: From, task: &TaskId, draft: Draft, heard: bool, late: bool) {
        let hop = self.hop();
        let refused = self
            .refused
            .get(&draft.namespace)
            .filter(|(_, until)| *until > self.now)
            .map(|(quota, _)| *quota);
        let failed = if self.api_is_down() {
            create_answer(503, "the server is down", "", None)
        } else if let Some(quota) = refused {
            self.reach(if quota {
                "create 403 quota"
            } else {
                "create 403 rbac"
            });
            let words = if quota {
                "jobs.batch is forbidden: exceeded quota: q, requested: 1, used: 1, limited: 1"
            } else {
                "jobs.batch is forbidden: User \"u\" cannot create resource \"jobs\" in API group \"batch\""
            };
            create_answer(403, words, "jobs", None)
        } else if task.as_str().starts_with("bad") {
            self.reach("create 422");
            create_answer(422, "the Job is invalid", "jobs", None)
        } else {
            None
        };
        if let Some(failed) = failed {
            if heard {
                self.answer(hop, from, task, vec![Fact::CreateFailed(failed)]);
            }
            return;
        }
        let (namespace, name) = (draft.namespace.clone(), draft.name.clone());
        let Some(job) = self.kube.create(draft) else {
            self.reach("create 409");
            if heard {
                // The answer comes, then the read goes out.
                let next = Arrival::GetAfterConflict {
                    from,
                    task: task.clone(),
                    namespace,
                    name,
                };
                self.after(hop, Event::Server(next));
            }
            return;
        };
        self.note(|| {
            format!(
                "{} job {} is made{}",
                task.as_str(),
                job.uid,
                if late { ", late" } else { "" }
            )
        });
        if late {
            let dead = self.replicas[from.replica].life != from.life || !self.replicas[from.replica].up;
            self.reach(if dead {
                "late create, its leader is dead"
            } else {
                "late create"
            });
        }
        self.made(&job);
        self.watchers();
        if heard && let Some((_, facts)) = self.wired.job_facts(&job) {
            self.answer(hop, from, task, facts);
        }
    }

    fn gets_after_conflict(&mut self, from: From, task: &TaskId, namespace: &str, name: &str) {
        let unknown = |message: &str| {
            vec![Fact::CreateFailed(CreateFailed {
                why: CreateFailure::Unknown,
                message: message.to_owned(),
                retry_after_ms: None,
            })]
        };
        let hop = self.hop();
        if self.api_is_down() {
            return self.answer(3_000, from, task, unknown("it exists, but cannot be read"));
        }
        let facts = match self.kube.find(namespace, name) {
            None => unknown("a Job of this name existed and is gone"),
            Some(job) => match self.wired.job_facts(job) {
                Some((owner, facts)) if owner == *task => facts,
                Some(_) | None => vec![Fact::CreateFailed(CreateFailed {
                    why: CreateFailure::NameTaken,
                    message: "it is not ours".to_owned(),
                    retry_after_ms: None,
                })],
            },
        };
        self.answer(hop, from, task, facts);
    }

    fn patches_now(&mut self, from: From, stop: &Stop, version: u64, heard: bool) {
        let forbidden = self
            .refused
            .get(&stop.namespace)
            .is_some_and(|(quota, until)| !quota && *until > self.now);
        let mut facts = Vec::new();
        let answered = if self.api_is_down() {
            StopAnswered::Unknown
        } else if forbidden {
            self.reach("stop 403");
            self.claims.unpatched.insert(stop.task.as_str().to_owned());
            StopAnswered::Forbidden
        } else {
            let verdict =
                serde_json::json!({"code": stop.failure.code, "message": stop.failure.message}).to_string();
            match self.kube.stop(&stop.uid, version, verdict) {
                Ok(()) => {
                    self.reach("stopped");
                    facts.push(Fact::JobJudged(JobJudged {
                        uid: Uid::new(stop.uid.as_str()),
                        failure: stop.failure.clone(),
                    }));
                    StopAnswered::Done
                }
                Err(404) => StopAnswered::Gone,
                Err(_) => {
                    self.reach("stop conflict");
                    StopAnswered::Conflict
                }
            }
        };
        self.watchers();
        if heard {
            let hop = self.hop();
            facts.push(Fact::StopAnswered(answered));
            self.answer(hop, from, &stop.task, facts);
        }
    }
}
