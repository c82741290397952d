//! A worker without a world, told line by line what happens to it; it writes down what came of each line.
//!
//! The language is described in `engine/README.md`. Used by the stories and by the tests that run them again.

mod language;
mod show;

use engine::{
    Effect, Engine, Event, Outcome, Policy, Record, Refusal, Rejected, Snapshot, StateKind, Step, Task,
    TaskId, Timestamp, TookOver, Transition, Woke,
};
pub(crate) use language::Words;
use std::fmt::Write;

/// When every story begins.
pub(crate) const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

/// An engine, the clock, and everything that happened so far.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Timestamp,
    /// What happened, as the story shows it.
    pub(crate) told: String,
    /// Every transition, in order.
    pub(crate) moved: Vec<Transition>,
    /// Every fact that came from outside and changed nothing: before which transition, when, to whom.
    pub(crate) unmoved: Vec<(usize, Timestamp, TaskId, Event)>,
    /// Effects in the order in which they were asked, and when.
    pub(crate) asked: Vec<(Timestamp, TaskId, Effect)>,
}

impl World {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            engine: Engine::new(policy),
            now: BEGIN,
            told: String::new(),
            moved: Vec::new(),
            unmoved: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// Runs one line, as one turn of the driver: the clock, the input, the free create slots.
    pub(crate) fn line(&mut self, line: &str) {
        let mut words = Words::of(line);
        if let Some(ms) = words.elapsed() {
            self.elapse(ms);
        }
        if !words.is_empty() {
            self.input(&mut words);
        }
        self.admit();
        words.finish();
    }

    fn input(&mut self, words: &mut Words) {
        let subject = words.next();
        match subject.as_str() {
            "take" => {
                let id = words.id();
                let spec = words.spec(&id, self.now);
                let step = self.engine.take(self.now, id, spec);
                self.stepped(step);
            }
            "adopt" => {
                let id = words.id();
                let spec = words.spec(&id, self.now);
                let job = words.job_seen(&spec, self.now);
                if self.engine.adopts(self.now, &job) {
                    let step = self.engine.adopt(self.now, id, spec, job);
                    self.stepped(step);
                } else {
                    self.say(&format!("{id}: not adopted, it ended long ago"));
                }
            }
            "ready" => {
                let namespace = words.next();
                let stoppable = words.flag("stoppable");
                let step = self.engine.namespace_ready(self.now, &namespace, stoppable);
                self.stepped(step);
            }
            "refused" => {
                let namespace = words.next();
                let refusal = Refusal {
                    why: words.refusal_kind(),
                    message: words.text(),
                };
                let step = self.engine.namespace_refused(self.now, &namespace, refusal);
                self.stepped(step);
            }
            "crash" => {
                let ms = words.elapsed().unwrap_or(0);
                self.now = self.now.plus_ms(ms);
                self.crash();
            }
            "forget" => {
                let id = words.id();
                self.engine
                    .forget(&id)
                    .expect("a story forgets a task that exists");
            }
            "show" => {
                let id = words.id();
                let task = self.engine.task(&id).expect("a story shows a task that exists");
                let text = serde_json::to_string_pretty(&task.state).expect("a state is plain data");
                writeln!(self.told, "{text}").expect("a String takes all");
            }
            id => {
                let id = TaskId::new(id);
                let event = words.event(self.engine.task(&id), self.now);
                self.step(&id, event);
            }
        }
    }

    /// Steps a task by one event and notes what came of it.
    pub(crate) fn step(&mut self, id: &TaskId, event: Event) {
        let name = event.kind().name();
        match self.engine.step(self.now, id, event.clone()) {
            Ok(Outcome::Moved(step)) => self.took(step),
            Ok(Outcome::Ignored(why)) => {
                self.unmoved.push((self.moved.len(), self.now, id.clone(), event));
                self.say(&format!("{id}: {name} ignored: {why}"));
            }
            Err(rejected) => {
                self.unmoved.push((self.moved.len(), self.now, id.clone(), event));
                self.say(&format!("{id}: rejected: {rejected}"));
            }
        }
    }

    pub(crate) fn admit(&mut self) {
        let step = self.engine.admit(self.now);
        self.stepped(step);
    }

    fn stepped(&mut self, step: Result<Step, Rejected>) {
        match step {
            Ok(step) => self.took(step),
            Err(rejected) => self.say(&format!("rejected: {rejected}")),
        }
    }

    fn took(&mut self, step: Step) {
        let offset = show::offset(self.now);
        let effects = step.commit(|transitions| {
            for transition in transitions {
                show::transition(&mut self.told, offset.as_str(), transition);
                self.moved.push(transition.clone());
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(effects) = effects;
        let now = self.now;
        self.asked
            .extend(effects.into_iter().map(|(id, effect)| (now, id, effect)));
    }

    fn say(&mut self, what: &str) {
        let offset = show::offset(self.now);
        writeln!(self.told, "{offset:>7} {what}").expect("a String takes all");
    }

    /// Lets time pass; deadlines and probes come when they are due.
    ///
    /// # Panics
    ///
    /// A deadline that passes and changes nothing would come for ever.
    pub(crate) fn elapse(&mut self, ms: u64) {
        let target = self.now.plus_ms(ms);
        let mut probed_at = None;
        loop {
            let due = self
                .engine
                .tasks()
                .filter_map(|(id, task)| Some((task.state.deadline()?, id.clone())))
                .min()
                .filter(|(at, _)| *at <= target);
            let probe = self
                .engine
                .next_probe()
                .filter(|at| *at <= target && probed_at != Some(*at));
            match (due, probe) {
                (Some((at, id)), probe) if probe.is_none_or(|probe| at <= probe) => {
                    self.now = self.now.max(at);
                    let before = self.moved.len();
                    self.step(&id, Event::Woke(Woke));
                    assert!(
                        self.moved.len() > before,
                        "a deadline that changes nothing: {:?}",
                        self.engine.task(&id)
                    );
                }
                (_, Some(at)) => {
                    self.now = self.now.max(at);
                    probed_at = Some(at);
                }
                (_, None) => break,
            }
            self.admit();
        }
        self.now = self.now.max(target);
    }

    /// Stops the worker without warning; another one reads what it stored.
    pub(crate) fn crash(&mut self) {
        let stored: Vec<(TaskId, Vec<u8>)> = self
            .engine
            .tasks()
            .map(|(id, task)| (id.clone(), stored(task)))
            .collect();
        self.engine = Engine::new(self.engine.policy().clone());
        self.say("-- another worker takes over --");
        for (id, bytes) in &stored {
            self.engine.restore(id.clone(), restored(bytes));
        }
        for (id, _) in &stored {
            if self
                .engine
                .task(id)
                .is_some_and(|task| !task.state.kind().is_terminal())
            {
                self.step(id, Event::TookOver(TookOver));
            }
        }
        let owed: Vec<_> = self
            .engine
            .owed()
            .map(|(id, effect)| (id.clone(), effect))
            .collect();
        for (id, effect) in owed {
            self.say(&format!("{id}: still owed: {}", show::effect(&effect)));
            self.asked.push((self.now, id, effect));
        }
    }

    /// Returns the state of a task.
    pub(crate) fn kind(&self, id: &TaskId) -> Option<StateKind> {
        Some(self.engine.task(id)?.state.kind())
    }
}

/// Writes a task as the store holds it.
pub(crate) fn stored(task: &Task) -> Vec<u8> {
    rmp_serde::to_vec_named(&Snapshot::from(task.clone())).expect("a task is plain data")
}

/// Reads a task as the store held it.
pub(crate) fn restored(bytes: &[u8]) -> Task {
    rmp_serde::from_slice::<Snapshot>(bytes)
        .expect("a snapshot reads as it was written")
        .into()
}

/// Writes a transition as the log holds it.
pub(crate) fn recorded(transition: &Transition) -> Vec<u8> {
    rmp_serde::to_vec_named(&Record::from(transition.clone())).expect("a transition is plain data")
}

/// One story: blocks of lines and of what came of them.
pub(crate) struct Story {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Story {
    /// Reads every story.
    pub(crate) fn all() -> Vec<Self> {
        let folder = folder();
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .expect("there are stories")
            .map(|entry| entry.expect("a readable folder").path())
            .filter(|path| path.extension().is_some_and(|ext| ext == "txt"))
            .collect();
        names.sort();
        names
            .into_iter()
            .map(|path| Self {
                name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
                text: std::fs::read_to_string(&path).expect("a story in UTF-8"),
            })
            .collect()
    }

    /// Runs the story, and returns the world after it and the text with what happened.
    pub(crate) fn run(&self) -> (World, String) {
        let mut world = World::new(Policy::default());
        let mut text = String::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            writeln!(text, "{line}").expect("a String takes all");
            if line == "----" {
                text.push_str(&std::mem::take(&mut world.told));
                if lines.by_ref().find(|line| line.is_empty()).is_some() {
                    text.push('\n');
                }
            } else if !line.is_empty() && !line.starts_with('#') {
                world.line(line);
            }
        }
        assert_eq!(world.told, "", "{}: the last block lacks its ----", self.name);
        (world, text)
    }

    /// Returns where the story is kept.
    pub(crate) fn path(&self) -> std::path::PathBuf {
        folder().join(format!("{}.txt", self.name))
    }
}

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/stories")
}

/// Tells whether what is generated is to be written anew.
pub(crate) fn rewrite() -> bool {
    std::env::var_os("REWRITE").is_some_and(|value| value == "1")
}
