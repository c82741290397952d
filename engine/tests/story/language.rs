//! The words of a line, and the facts that they mean.

use super::BEGIN;
use engine::{
    Cancelled, Code, ContainerEnd, CreateFailed, CreateFailure, Digest, Event, Failure, Granted, JobDeleted,
    JobEnd, JobEnded, JobJudged, JobMissing, JobSeen, LookFailed, LookRefused, Looked, PodEnd, PodFailed,
    PodStarted, PodWaiting, Refusal, RefusalKind, Released, SetAside, Spec, StopAnswered, Task, TaskId,
    Timestamp, TookOver, TtlAnswered, Uid, Waiting, WaitingKind, Woke,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The words of one line: some by place, some by name (`uid=u1`); a text with blanks stands in quotes.
pub(crate) struct Words {
    line: String,
    placed: VecDeque<String>,
    named: BTreeMap<String, String>,
}

impl Words {
    pub(crate) fn of(line: &str) -> Self {
        let mut placed = VecDeque::new();
        let mut named = BTreeMap::new();
        for word in split(line) {
            match word.split_once('=').filter(|(name, _)| is_name(name)) {
                Some((name, value)) => drop(named.insert(name.to_owned(), value.to_owned())),
                None => placed.push_back(word),
            }
        }
        Self {
            line: line.to_owned(),
            placed,
            named,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.placed.is_empty()
    }

    /// Refuses words that meant nothing.
    pub(crate) fn finish(self) {
        assert!(
            self.placed.is_empty() && self.named.is_empty(),
            "`{}`: what do {:?} {:?} mean?",
            self.line,
            self.placed,
            self.named
        );
    }

    pub(crate) fn next(&mut self) -> String {
        self.placed
            .pop_front()
            .unwrap_or_else(|| panic!("`{}`: a word is missing", self.line))
    }

    pub(crate) fn text(&mut self) -> String {
        self.placed.pop_front().unwrap_or_default()
    }

    pub(crate) fn id(&mut self) -> TaskId {
        TaskId::new(self.next())
    }

    /// Takes the word away where it stands.
    pub(crate) fn flag(&mut self, word: &str) -> bool {
        let place = self.placed.iter().position(|placed| placed == word);
        place.is_some_and(|place| self.placed.remove(place).is_some())
    }

    fn named(&mut self, name: &str) -> Option<String> {
        self.named.remove(name)
    }

    fn named_or(&mut self, name: &str, default: &str) -> String {
        self.named(name).unwrap_or_else(|| default.to_owned())
    }

    fn uid(&mut self, name: &str, default: &str) -> Uid {
        Uid::new(self.named_or(name, default))
    }

    fn number<N: std::str::FromStr>(&mut self, name: &str) -> Option<N> {
        let text = self.named(name)?;
        Some(
            text.parse()
                .unwrap_or_else(|_| panic!("`{}`: {text} is no number", self.line)),
        )
    }

    fn moment(&mut self, name: &str) -> Option<Timestamp> {
        let text = self.named(name)?;
        Some(match text.strip_prefix('-') {
            Some(before) => Timestamp(BEGIN.0 - milliseconds(before).expect("a duration")),
            None => BEGIN.plus_ms(milliseconds(&text).expect("a duration")),
        })
    }

    /// Takes the `+5s` at the front, in milliseconds.
    pub(crate) fn elapsed(&mut self) -> Option<u64> {
        let ms = milliseconds(self.placed.front()?.strip_prefix('+')?)?;
        self.placed.pop_front();
        Some(ms)
    }

    fn digest(&mut self, default: &TaskId) -> Digest {
        let text = self.named_or("digest", default.as_str());
        Digest([text.as_bytes()[0]; 32])
    }

    pub(crate) fn spec(&mut self, id: &TaskId, now: Timestamp) -> Spec {
        Spec {
            digest: self.digest(id),
            namespace: self.named_or("ns", "default"),
            job_name: format!("job-{id}"),
            service: "example".to_owned(),
            webhook: Some("http://webhook.example.com/callback".to_owned()),
            traceparent: None,
            received_at: self.moment("received").unwrap_or(now),
            start_timeout_secs: self.number("start").unwrap_or(600),
            active_deadline_secs: self.number("deadline"),
            ttl_secs: self.number("ttl"),
        }
    }

    pub(crate) fn job_seen(&mut self, spec: &Spec, now: Timestamp) -> JobSeen {
        let digest = self
            .named("digest")
            .map_or(spec.digest, |text| Digest([text.as_bytes()[0]; 32]));
        JobSeen {
            uid: self.uid("uid", "u1"),
            digest,
            received_at: self.moment("received").unwrap_or(spec.received_at),
            created_at: self.moment("created").unwrap_or(now),
            ended_at: self.moment("ended"),
            suspended: self.flag("suspended"),
            stoppable: self.flag("stoppable"),
            by_pod: self.flag("by_pod"),
        }
    }

    pub(crate) fn refusal_kind(&mut self) -> RefusalKind {
        match self.next().as_str() {
            "Forbidden" => RefusalKind::Forbidden,
            "Quota" => RefusalKind::Quota,
            other => panic!("`{}`: {other} refuses nothing", self.line),
        }
    }

    fn refusal(&mut self) -> Refusal {
        Refusal {
            why: self.refusal_kind(),
            message: self.text(),
        }
    }

    fn ttl_answer(&mut self) -> TtlAnswered {
        match self.next().as_str() {
            "Settled" => TtlAnswered::Settled,
            "Unknown" => TtlAnswered::Unknown,
            other => panic!("`{}`: {other} is no answer", self.line),
        }
    }

    /// Reads a fact about a task; what is not said is as the task has it.
    pub(crate) fn event(&mut self, task: Option<&Task>, now: Timestamp) -> Event {
        let uid = task
            .and_then(|task| task.state.job())
            .map_or_else(|| "u1".to_owned(), Uid::to_string);
        match self.next().as_str() {
            "Taken" | "Adopted" => panic!("`{}`: say `take` or `adopt`", self.line),
            "Granted" => Event::Granted(Granted {
                stoppable: self.flag("stoppable"),
            }),
            "Held" => Event::Held(self.refusal()),
            "Released" => Event::Released(Released),
            "StillRefused" => Event::StillRefused(self.refusal()),
            "TookOver" => Event::TookOver(TookOver),
            "Woke" => Event::Woke(Woke),
            "JobSeen" => {
                let nobody = || Arc::new(self.spec(&TaskId::new("?"), now));
                let spec = task.map_or_else(nobody, |task| task.spec.clone());
                Event::JobSeen(self.job_seen(&spec, now))
            }
            "CreateFailed" => Event::CreateFailed(CreateFailed {
                why: self.create_failure(),
                message: self.text(),
                retry_after_ms: self.named("retry_after").and_then(|text| milliseconds(&text)),
            }),
            "JobJudged" => Event::JobJudged(JobJudged {
                uid: self.uid("job", &uid),
                failure: Failure::new(Code::parse(&self.next()).expect("a code"), self.text()),
            }),
            "JobEnded" => Event::JobEnded(JobEnded {
                uid: self.uid("job", &uid),
                end: self.job_end(),
            }),
            "JobDeleted" => Event::JobDeleted(JobDeleted {
                uid: self.uid("job", &uid),
            }),
            "JobMissing" => Event::JobMissing(JobMissing),
            "PodStarted" => {
                let pod = self.named_or("pod", "p1");
                Event::PodStarted(PodStarted {
                    job: self.uid("job", &uid),
                    name: format!("pod-{pod}"),
                    uid: Uid::new(pod),
                })
            }
            "PodWaiting" => Event::PodWaiting(PodWaiting {
                job: self.uid("job", &uid),
                waiting: self.waiting(),
            }),
            "PodFailed" => Event::PodFailed(PodFailed {
                job: self.uid("job", &uid),
                end: self.pod_end(),
            }),
            "Looked" => Event::Looked(self.looked(&uid)),
            "LookFailed" => Event::LookFailed(LookFailed),
            "LookRefused" => Event::LookRefused(LookRefused { message: self.text() }),
            "StopAnswered" => Event::StopAnswered(self.stop_answered()),
            "TtlAnswered" => Event::TtlAnswered(self.ttl_answer()),
            "SetAside" => Event::SetAside(SetAside { message: self.text() }),
            "Cancelled" => Event::Cancelled(Cancelled {
                by: self.text(),
                reason: String::new(),
            }),
            other => panic!("`{}`: {other} is no event", self.line),
        }
    }

    fn stop_answered(&mut self) -> StopAnswered {
        match self.next().as_str() {
            "Done" => StopAnswered::Done,
            "Conflict" => StopAnswered::Conflict,
            "Gone" => StopAnswered::Gone,
            "Forbidden" => StopAnswered::Forbidden,
            "Unknown" => StopAnswered::Unknown,
            other => panic!("`{}`: {other} is no answer", self.line),
        }
    }

    fn create_failure(&mut self) -> CreateFailure {
        match self.next().as_str() {
            "Unknown" => CreateFailure::Unknown,
            "Deferred" => CreateFailure::Deferred,
            "Refused" => CreateFailure::Refused,
            "Forbidden" => CreateFailure::Forbidden,
            "Quota" => CreateFailure::Quota,
            "NameTaken" => CreateFailure::NameTaken,
            other => panic!("`{}`: {other} is no failure", self.line),
        }
    }

    fn job_end(&mut self) -> JobEnd {
        match self.next().as_str() {
            "Complete" => JobEnd::Complete {
                duration_secs: self.next().parse().expect("seconds"),
            },
            "Failed" => JobEnd::Failed {
                reason: self.next(),
                message: self.text(),
            },
            other => panic!("`{}`: {other} is no end", self.line),
        }
    }

    fn waiting(&mut self) -> Waiting {
        Waiting {
            kind: match self.next().as_str() {
                "Scheduling" => WaitingKind::Scheduling,
                "Image" => WaitingKind::Image,
                "ImageName" => WaitingKind::ImageName,
                "Config" => WaitingKind::Config,
                "Other" => WaitingKind::Other,
                other => panic!("`{}`: nobody waits for {other}", self.line),
            },
            reason: self.next(),
            message: self.text(),
        }
    }

    fn pod_end(&mut self) -> PodEnd {
        let exit_code = self.number("exit");
        let reason = self.named_or("reason", "Error");
        let message = self.text();
        PodEnd {
            uid: self.uid("pod", "p1"),
            disruption: self.named("disruption"),
            container: exit_code.map(|exit_code| ContainerEnd {
                name: "main".to_owned(),
                exit_code,
                reason,
                message,
            }),
            pod_reason: self.named("pod_reason"),
        }
    }

    fn looked(&mut self, uid: &str) -> Looked {
        let found = !self.flag("gone");
        let has_pods = self.flag("pods");
        let no_pods = self.flag("no_pods");
        let waiting = (self.placed.front().is_some_and(|word| word == "waiting")).then(|| {
            self.placed.pop_front();
            self.waiting()
        });
        let job = self.uid("job", uid);
        Looked {
            job: found.then_some(job),
            has_pods: has_pods || (waiting.is_some() && !no_pods),
            waiting,
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    assert!(!quoted, "`{line}`: a quote is not closed");
    words.extend(word);
    words
}

fn milliseconds(text: &str) -> Option<u64> {
    let unit = text.find(|letter: char| !letter.is_ascii_digit())?;
    let number: u64 = text[..unit].parse().ok()?;
    let each = match &text[unit..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(number * each)
}
