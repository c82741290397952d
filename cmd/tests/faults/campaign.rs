//! The kills and the faults: when each of them comes, and which states were held at that moment.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::fault::Fault;
use crate::plan::Task;
use crate::replicas::{Replicas, Stage};
use crate::world::World;

/// Longest wait for a leader.
const LEADER_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest wait for the moment of a kill.
const MOMENT_TIMEOUT: Duration = Duration::from_secs(4);
const POLL: Duration = Duration::from_millis(1);

/// When the leader is killed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Moment {
    /// At any time.
    Anytime,
    /// Just after a task was received, right after a burst of messages.
    Received,
    /// Just after the API server has let a create through.
    Create,
    /// Just after a verdict became durable, before it is told.
    Verdict,
    /// While the receiver reads a callback.
    Callback,
    /// Just after it became the leader.
    Takeover,
}

impl Moment {
    const MIX: [Moment; 8] = [
        Moment::Verdict,
        Moment::Anytime,
        Moment::Received,
        Moment::Create,
        Moment::Verdict,
        Moment::Callback,
        Moment::Verdict,
        Moment::Takeover,
    ];
}

/// One thing to be done.
#[derive(Clone, Copy, Debug)]
enum Step {
    Kill(Moment),
    Disturb(Fault),
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Kills of a leader, by the moment.
    pub kills: BTreeMap<Moment, usize>,
    /// How many kills found at least one task in this state; an ended one counts while its verdict is not delivered.
    pub held: BTreeMap<Stage, usize>,
    /// How often each fault came besides.
    pub faults: BTreeMap<Fault, usize>,
    /// How often another process led after a kill.
    pub takeovers: usize,
    /// How often a frozen leader woke after its successor had moved a task.
    pub outlived: usize,
    /// How often acknowledged writes were lost.
    pub lost_writes: usize,
    /// The longest time from a kill to the next leader.
    pub longest_takeover: Duration,
}

impl Done {
    /// How many leaders were killed.
    pub(crate) fn killed(&self) -> usize {
        self.kills.values().sum()
    }

    /// How often something else was killed or stood still.
    pub(crate) fn others(&self) -> usize {
        let counted = self.faults.iter().filter(|(fault, _)| fault.kills_or_pauses());
        counted.map(|(_, count)| count).sum()
    }
}

/// A run while it goes on.
pub(crate) struct Run<'a> {
    pub world: &'a mut World,
    pub replicas: Replicas,
    pub chance: Chance,
    pub counts: Done,
    /// What Redis has acknowledged is in its file when it is killed.
    pub flush: bool,
    /// The tasks that the last kill of Redis may have hit.
    pub suspects: BTreeSet<String>,
    /// How often losses had been told of when Redis was killed last.
    pub losses_before: usize,
    tasks: &'a [Task],
    /// Places of the tasks whose messages are still to be pushed, the next one last.
    messages: Vec<usize>,
    burst: usize,
    last_holder: String,
    /// When the leader was killed, where nobody has followed yet.
    killed_at: Option<Instant>,
    /// Nothing else was done since then.
    alone: bool,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        world: &'a mut World,
        replicas: Replicas,
        tasks: &'a [Task],
        mut chance: Chance,
        flush: bool,
    ) -> Self {
        Run {
            world,
            replicas,
            counts: Done::default(),
            flush,
            suspects: BTreeSet::new(),
            losses_before: 0,
            messages: messages(tasks, &mut chance),
            chance,
            tasks,
            burst: 1,
            last_holder: String::new(),
            killed_at: None,
            alone: false,
        }
    }

    /// Pushes the messages in bursts, each with a kill or a fault, until all is done or the time is over.
    pub(crate) fn go(
        &mut self,
        kills: usize,
        others: usize,
        lossless: bool,
        until: Option<Instant>,
    ) -> io::Result<()> {
        let moments = Moment::MIX.into_iter().cycle().take(kills).map(Step::Kill);
        let first = usize::try_from(self.chance.below(24)).unwrap_or_default();
        let faults = Fault::mix(others, first, lossless).map(Step::Disturb);
        let mut steps: Vec<Step> = moments.chain(faults).collect();
        self.chance.shuffle(&mut steps);
        // Some faults push a second burst.
        self.burst = self
            .messages
            .len()
            .div_ceil((steps.len() + steps.len() / 5).max(1));
        for step in steps {
            if until.is_some_and(|until| Instant::now() > until) {
                break;
            }
            match step {
                Step::Kill(moment) => self.kill(moment)?,
                Step::Disturb(fault) => {
                    self.alone = false;
                    self.push()?;
                    self.disturb(fault)?;
                    *self.counts.faults.entry(fault).or_default() += 1;
                }
            }
            self.look()?;
        }
        while !self.messages.is_empty() {
            self.push()?;
        }
        Ok(())
    }

    /// Takes in what the world and the logs tell.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        self.replicas.read_all()?;
        self.world.look(self.tasks);
        self.note_takeover();
        if self.replicas.told.losses > self.losses_before && !self.suspects.is_empty() {
            self.world.hit.append(&mut self.suspects);
            self.counts.lost_writes += 1;
            self.push_again()?;
        }
        Ok(())
    }

    /// Pushes the next messages.
    pub(crate) fn push(&mut self) -> io::Result<()> {
        let rest = self.messages.len().saturating_sub(self.burst);
        for place in self.messages.split_off(rest) {
            self.world.push(&self.tasks[place].message.to_string())?;
        }
        Ok(())
    }

    /// Pushes again what was pushed and has no verdict yet, as producers do that know of a loss.
    pub(crate) fn push_again(&mut self) -> io::Result<()> {
        self.world.look(self.tasks);
        let later: BTreeSet<usize> = self.messages.iter().copied().collect();
        let unanswered: Vec<&Task> = self
            .tasks
            .iter()
            .enumerate()
            .filter(|(place, task)| !later.contains(place) && !self.world.delivered().contains(&task.id))
            .map(|(_, task)| task)
            .collect();
        for task in unanswered {
            self.world.push(&task.message.to_string())?;
        }
        Ok(())
    }

    fn kill(&mut self, wanted: Moment) -> io::Result<()> {
        let (place, holder) = leader(self.world, &mut self.replicas, &self.last_holder)?;
        self.note_takeover();
        let mut moment = wanted;
        if moment == Moment::Takeover {
            thread::sleep(self.chance.shorter_than(Duration::from_millis(150)));
        } else {
            thread::sleep(self.chance.shorter_than(Duration::from_millis(700)));
            self.replicas.read_all()?;
            let told = self.world.sink.requests().len();
            let creates = self.world.place.creates(&self.world.namespace);
            self.push()?;
            if !self.reached(moment, place, told, creates)? {
                moment = Moment::Anytime;
            }
            if moment == Moment::Anytime {
                thread::sleep(self.chance.shorter_than(Duration::from_millis(700)));
            } else if self.chance.percent(50) {
                thread::sleep(self.chance.shorter_than(Duration::from_millis(20)));
            }
        }
        let Some(place) = self.replicas.place_of(&holder) else {
            // It has ended by itself, which is told at the end.
            return Ok(());
        };
        self.replicas.kill(place)?;
        self.killed_at = Some(Instant::now());
        self.alone = true;
        self.last_holder = holder;
        *self.counts.kills.entry(moment).or_default() += 1;
        self.note_held();
        Ok(())
    }

    /// Counts the first leader after a killed one.
    fn note_takeover(&mut self) {
        let holder = self.world.holder();
        if holder == self.last_holder || self.replicas.place_of(&holder).is_none() {
            return;
        }
        if let Some(killed_at) = self.killed_at.take() {
            self.counts.takeovers += 1;
            if self.alone {
                self.counts.longest_takeover = self.counts.longest_takeover.max(killed_at.elapsed());
            }
        }
    }

    /// Waits for the moment; false where it does not come.
    fn reached(&mut self, moment: Moment, place: usize, told: usize, creates: u64) -> io::Result<bool> {
        let deadline = Instant::now() + MOMENT_TIMEOUT;
        while Instant::now() < deadline {
            let moved = |run: &mut Self, wanted: fn(Stage) -> bool| -> io::Result<bool> {
                let moves = run.replicas.read(place, POLL)?;
                Ok(moves.iter().any(|(_, stage)| wanted(*stage)))
            };
            let come = match moment {
                Moment::Anytime | Moment::Takeover => true,
                Moment::Received => moved(self, |stage| stage == Stage::Received)?,
                Moment::Verdict => moved(self, Stage::ended)?,
                Moment::Callback => self
                    .world
                    .sink
                    .wait_until(|requests| requests.len() > told, MOMENT_TIMEOUT)
                    .is_ok(),
                Moment::Create => {
                    thread::sleep(POLL);
                    self.world.place.creates(&self.world.namespace) > creates
                }
            };
            if come {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn note_held(&mut self) {
        self.world.look(self.tasks);
        let delivered = self.world.delivered();
        for stage in Stage::ALL {
            let mut held = self.replicas.told.stages.iter().filter(|(_, at)| **at == stage);
            if held.any(|(task, _)| !(stage.ended() && delivered.contains(task))) {
                *self.counts.held.entry(stage).or_default() += 1;
            }
        }
    }
}

/// The places of all tasks in an order of their own; every twentieth comes twice.
fn messages(tasks: &[Task], chance: &mut Chance) -> Vec<usize> {
    let mut messages: Vec<usize> = Vec::new();
    for place in 0..tasks.len() {
        if chance.percent(5) {
            messages.push(place);
        }
        messages.push(place);
    }
    chance.shuffle(&mut messages);
    messages
}

/// The replica that leads and is not the one that was killed last.
pub(crate) fn leader(world: &World, replicas: &mut Replicas, last: &str) -> io::Result<(usize, String)> {
    let deadline = Instant::now() + LEADER_TIMEOUT;
    loop {
        let holder = world.holder();
        if holder != last
            && let Some(place) = replicas.place_of(&holder)
        {
            return Ok((place, holder));
        }
        if Instant::now() > deadline {
            return Err(io::Error::other(format!(
                "no replica leads; the Lease is held by {holder:?}"
            )));
        }
        replicas.read_all()?;
        thread::sleep(20 * POLL);
    }
}
