//! The kills: when each of them comes, and which states were held at that moment.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::plan::Task;
use crate::replicas::{Replicas, Stage};
use crate::world::{Pushed, World};

/// Longest wait for a leader.
const LEADER_TIMEOUT: Duration = Duration::from_secs(60);
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
    /// Just after the API server has answered a create.
    Create,
    /// Just after a verdict became durable, before it is told.
    Verdict,
    /// While the receiver reads a callback.
    Callback,
    /// Just after it became the leader.
    Takeover,
}

impl Moment {
    const ALL: [Moment; 8] = [
        Moment::Anytime,
        Moment::Verdict,
        Moment::Received,
        Moment::Create,
        Moment::Verdict,
        Moment::Verdict,
        Moment::Callback,
        Moment::Takeover,
    ];
}

/// What is done besides.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Fault {
    /// The redis-server is killed and starts again.
    Redis,
    /// The API server is killed and starts again.
    ApiServer,
    /// All replicas are killed at one moment.
    AllReplicas,
    /// The leader is frozen until another one leads.
    Freeze,
}

/// What the kills were.
#[derive(Debug, Default)]
pub(crate) struct Kills {
    /// How many of each kind.
    pub moments: BTreeMap<Moment, usize>,
    /// How many found at least one task in this state; an ended one counts while its verdict is not delivered.
    pub held: BTreeMap<Stage, usize>,
    /// How often each fault came besides.
    pub faults: BTreeMap<Fault, usize>,
    /// The longest time from a kill to the next leader.
    pub longest_takeover: Duration,
}

impl Kills {
    /// How many leaders were killed.
    pub(crate) fn count(&self) -> usize {
        self.moments.values().sum()
    }

    /// Says whether every state was held by a task at one kill or more.
    pub(crate) fn covered(&self) -> bool {
        Stage::ALL.iter().all(|stage| self.held.contains_key(stage))
    }

    /// The ends whose callback no kill has come before; all of them where there is none.
    fn wanted_ends(&self) -> Vec<Stage> {
        let ends = || Stage::ALL.into_iter().filter(|stage| stage.ended());
        let missing: Vec<Stage> = ends().filter(|stage| !self.held.contains_key(stage)).collect();
        if missing.is_empty() {
            ends().collect()
        } else {
            missing
        }
    }
}

/// Pushes the messages in bursts and kills the leader after each, at least `wanted` times, until every state was held once.
pub(crate) fn run(
    world: &mut World,
    replicas: &mut Replicas,
    tasks: &[Task],
    wanted: usize,
    mut faults: Vec<Fault>,
    chance: &mut Chance,
) -> io::Result<Kills> {
    let mut kills = Kills::default();
    let mut messages = messages(tasks, chance);
    // The last ones are for what the first kills did not meet.
    let burst = (messages.len() / (wanted + wanted / 4).max(1)).max(1);
    let mut audit = Tail::at_end(&world.cluster.facts.audit_log)?;
    let mut last_holder = String::new();
    chance.shuffle(&mut faults);
    let calm = (wanted / (faults.len() + 1)).max(1);
    let mut killed_at = Instant::now();
    while kills.count() < wanted || !messages.is_empty() || (!kills.covered() && kills.count() < 3 * wanted) {
        let (place, holder) = leader(world, replicas, &last_holder)?;
        let mut moment = Moment::ALL[kills.count() % Moment::ALL.len()];
        if kills.count() > 0 {
            kills.longest_takeover = kills.longest_takeover.max(killed_at.elapsed());
        }
        if moment == Moment::Takeover {
            std::thread::sleep(chance.shorter_than(Duration::from_millis(150)));
        } else {
            std::thread::sleep(chance.shorter_than(Duration::from_millis(1_500)));
            replicas.read_all()?;
            let told = world.sink.requests().len();
            audit.skip()?;
            for message in messages.split_off(messages.len().saturating_sub(burst)) {
                world.push(&message)?;
            }
            if !reached(
                moment,
                &kills.wanted_ends(),
                world,
                replicas,
                place,
                told,
                &mut audit,
            )? {
                moment = Moment::Anytime;
            }
            if moment == Moment::Anytime {
                std::thread::sleep(chance.shorter_than(Duration::from_secs(2)));
            } else if chance.percent(50) {
                std::thread::sleep(chance.shorter_than(Duration::from_millis(20)));
            }
        }
        if replicas.place_of(&holder) != Some(place) {
            continue;
        }
        killed_at = Instant::now();
        replicas.kill(place)?;
        last_holder = holder;
        *kills.moments.entry(moment).or_default() += 1;
        note_held(&mut kills, replicas, world, tasks);
        if kills.count() % calm == 0
            && let Some(fault) = faults.pop()
        {
            let fault_at = chance.shorter_than(Duration::from_millis(1_500));
            std::thread::sleep(fault_at);
            disturb(fault, world, replicas, &last_holder, chance)?;
            *kills.faults.entry(fault).or_default() += 1;
            killed_at = Instant::now();
        }
    }
    Ok(kills)
}

fn disturb(
    fault: Fault,
    world: &mut World,
    replicas: &mut Replicas,
    last_holder: &str,
    chance: &mut Chance,
) -> io::Result<()> {
    match fault {
        Fault::Redis => world.restart_redis(chance.percent(50), chance.shorter_than(Duration::from_secs(1))),
        Fault::ApiServer => world.restart_apiserver(chance.shorter_than(Duration::from_secs(3))),
        Fault::AllReplicas => replicas.kill_all(),
        Fault::Freeze => {
            let (place, holder) = leader(world, replicas, last_holder)?;
            replicas.freeze(place)?;
            leader(world, replicas, &holder)?;
            std::thread::sleep(chance.shorter_than(Duration::from_secs(2)));
            replicas.thaw(place)
        }
    }
}

/// The messages of all tasks in an order of their own; every twentieth is sent twice.
fn messages(tasks: &[Task], chance: &mut Chance) -> Vec<Pushed> {
    let mut messages: Vec<Pushed> = Vec::new();
    for task in tasks {
        let raw = task.message.to_string();
        if chance.percent(5) {
            messages.push(raw.clone());
        }
        messages.push(raw);
    }
    chance.shuffle(&mut messages);
    messages
}

/// The replica that leads and is not the one that was killed last.
fn leader(world: &World, replicas: &mut Replicas, last: &str) -> io::Result<(usize, String)> {
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
        std::thread::sleep(20 * POLL);
    }
}

/// Waits for the moment; false where it does not come.
fn reached(
    moment: Moment,
    ends: &[Stage],
    world: &World,
    replicas: &mut Replicas,
    place: usize,
    told: usize,
    audit: &mut Tail,
) -> io::Result<bool> {
    let deadline = Instant::now() + MOMENT_TIMEOUT;
    while Instant::now() < deadline {
        let come = match moment {
            Moment::Anytime | Moment::Takeover => true,
            Moment::Received => replicas
                .read(place, POLL)?
                .iter()
                .any(|(_, stage)| *stage == Stage::Received),
            Moment::Verdict => replicas
                .read(place, POLL)?
                .iter()
                .any(|(_, stage)| ends.contains(stage)),
            Moment::Callback => world
                .sink
                .wait_until(|requests| requests.len() > told, MOMENT_TIMEOUT)
                .is_ok(),
            Moment::Create => {
                std::thread::sleep(POLL);
                audit.has_create(&world.namespace)?
            }
        };
        if come {
            return Ok(true);
        }
    }
    Ok(false)
}

fn note_held(kills: &mut Kills, replicas: &Replicas, world: &World, tasks: &[Task]) {
    let delivered = world.delivered(tasks);
    for stage in Stage::ALL {
        let held = tasks.iter().any(|task| {
            replicas.told.stages.get(&task.id) == Some(&stage)
                && !(stage.ended() && delivered.contains(&task.id))
        });
        if held {
            *kills.held.entry(stage).or_default() += 1;
        }
    }
}

/// The end of the audit log.
struct Tail {
    file: File,
}

impl Tail {
    fn at_end(path: &Path) -> io::Result<Tail> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Tail { file })
    }

    fn skip(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::End(0)).map(|_| ())
    }

    fn has_create(&mut self, namespace: &str) -> io::Result<bool> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let uri = format!("/apis/batch/v1/namespaces/{namespace}/jobs");
        Ok(text
            .lines()
            .any(|line| line.contains(r#""verb":"create""#) && line.contains(&uri)))
    }
}
