//! Breadth first through every order of acts, so that the way to a broken law is a shortest one.

use super::acts::{Act, acts, happens};
use super::node::{Node, Setup};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Every so many ends, one is kept as a story.
const SAMPLE_EVERY: usize = 20;

/// What a search found.
pub(crate) struct Found {
    pub(crate) setup: &'static str,
    pub(crate) states: usize,
    pub(crate) transitions: usize,
    /// Moments at which every task had ended.
    pub(crate) ends: usize,
    /// Moments that were not followed further: the bound on states or on the horizon was reached.
    pub(crate) cut: usize,
    /// Statuses told, in order, by how often a task ended with them.
    pub(crate) tales: BTreeMap<Vec<u8>, usize>,
    /// Stories of some of the ends, and the task as it was stored then.
    pub(crate) samples: Vec<(String, Vec<u8>)>,
    /// The first broken law, and the story that breaks it.
    pub(crate) broken: Option<(String, String)>,
}

/// Every moment that was reached, and how.
struct Reached {
    nodes: Vec<Node>,
    by: Vec<Option<(u32, Act)>>,
    known: BTreeMap<(u64, u64), u32>,
    /// For every moment, those from which it is reached without a fault.
    before: Vec<Vec<u32>>,
    good: Vec<bool>,
}

/// Lets everything happen that can, in every order.
pub(crate) fn search(setup: &Setup) -> Found {
    let mut found = Found {
        setup: setup.name,
        states: 0,
        transitions: 0,
        ends: 0,
        cut: 0,
        tales: BTreeMap::new(),
        samples: Vec::new(),
        broken: None,
    };
    let mut reached = Reached {
        nodes: Vec::new(),
        by: Vec::new(),
        known: BTreeMap::new(),
        before: Vec::new(),
        good: Vec::new(),
    };
    reached.add(Node::first(setup), None);
    let mut next = 0;
    while next < reached.nodes.len() {
        if reached.nodes.len() >= setup.states_max || reached.nodes[next].now >= setup.horizon {
            reached.good[next] = true;
            found.cut += 1;
        }
        if reached.nodes[next].now >= setup.horizon && waits_for_nothing(&reached.nodes[next]) {
            let way = reached.way_to(u32::try_from(next).expect("fewer moments than that"));
            let law = "a task still waits for a Job that has ended".to_owned();
            found.broken = Some((law, story(setup, &way)));
        }
        if reached.nodes.len() < setup.states_max {
            found.transitions += reached.expand(setup, next, &mut found.broken);
        }
        if found.broken.is_some() {
            break;
        }
        if has_ended(&reached.nodes[next]) {
            reached.good[next] = true;
            found.ends += 1;
            if found.ends % SAMPLE_EVERY == 1 {
                let way = reached.way_to(u32::try_from(next).expect("fewer moments than that"));
                let held = reached.nodes[next].lives[0].task.as_ref();
                let bytes = held.map_or_else(Vec::new, |held| held.bytes().to_vec());
                found.samples.push((story(setup, &way), bytes));
            }
            for life in &reached.nodes[next].lives {
                *found.tales.entry(life.told.clone()).or_default() += 1;
            }
        }
        next += 1;
    }
    found.states = reached.nodes.len();
    if found.broken.is_none() {
        found.broken = reached.stuck().map(|node| {
            let story = story(setup, &reached.way_to(node));
            (
                "a task never ends, though no fault happens any more".to_owned(),
                story,
            )
        });
    }
    found
}

impl Reached {
    /// Takes in a moment; returns its place.
    fn add(&mut self, node: Node, by: Option<(u32, Act)>) -> u32 {
        let key = (hash(0, &node), hash(1, &node));
        if let Some(place) = self.known.get(&key) {
            return *place;
        }
        let place = u32::try_from(self.nodes.len()).expect("fewer moments than that");
        self.known.insert(key, place);
        self.nodes.push(node);
        self.by.push(by);
        self.before.push(Vec::new());
        self.good.push(false);
        place
    }

    fn expand(&mut self, setup: &Setup, from: usize, broken: &mut Option<(String, String)>) -> usize {
        let node = self.nodes[from].clone();
        let all = acts(setup, &node);
        let from = u32::try_from(from).expect("fewer moments than that");
        for act in &all {
            let turn = happens(setup, &node, *act, false);
            if let Some(law) = turn.broken {
                let mut way = self.way_to(from);
                way.push(*act);
                *broken = Some((law, story(setup, &way)));
                break;
            }
            let to = self.add(turn.node, Some((from, *act)));
            if !matches!(act, Act::Fault(_)) && to != from {
                self.before[to as usize].push(from);
            }
        }
        all.len()
    }

    fn way_to(&self, place: u32) -> Vec<Act> {
        let mut way = Vec::new();
        let mut place = place;
        while let Some((from, act)) = self.by[place as usize] {
            way.push(act);
            place = from;
        }
        way.reverse();
        way
    }

    /// Returns a moment from which, without further faults, no end can be reached.
    fn stuck(&self) -> Option<u32> {
        let mut good = self.good.clone();
        let mut open: Vec<usize> = (0..good.len()).filter(|place| good[*place]).collect();
        while let Some(place) = open.pop() {
            for from in &self.before[place] {
                if !std::mem::replace(&mut good[*from as usize], true) {
                    open.push(*from as usize);
                }
            }
        }
        let place = good.iter().position(|good| !good)?;
        Some(u32::try_from(place).expect("fewer moments than that"))
    }
}

/// Returns the story of a way: its lines, and the acts that no worker sees as comments.
pub(crate) fn story(setup: &Setup, way: &[Act]) -> String {
    let patch = if setup.stoppable { " stoppable" } else { "" };
    let mut text = format!("ready default{patch}\n");
    let mut node = Node::first(setup);
    for act in way {
        let turn = happens(setup, &node, *act, true);
        node = turn.node;
        let lines = turn.lines.unwrap_or_default();
        text.push_str(&format!("# {act:?}\n"));
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text.push_str("----\n");
    text
}

/// Tells whether every task has ended and nothing is left to do for it.
pub(crate) fn has_ended(node: &Node) -> bool {
    node.leads
        && node.lives.iter().all(|life| {
            life.task.as_ref().is_some_and(|held| {
                let state = &held.task().state;
                state.kind().is_terminal() && state.owed().is_none() && state.deadline().is_none()
            })
        })
}

/// A Job whose end the watch has told, or a look could have found, is not waited for any longer than this, in milliseconds.
const END_KNOWN_MS: u64 = 65_000;

/// Tells whether a task goes on though its Job ended long ago.
fn waits_for_nothing(node: &Node) -> bool {
    node.leads
        && node.lives.iter().any(|life| {
            let goes_on = life
                .task
                .as_ref()
                .is_some_and(|held| !held.task().state.kind().is_terminal());
            let end = life.job.as_ref().and_then(|job| job.end);
            let long_ago = end.is_some_and(|(at, _)| at + END_KNOWN_MS <= node.now);
            goes_on && long_ago && life.requests.is_empty() && !life.job_news && !life.lost
        })
}

fn hash(salt: u8, node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    salt.hash(&mut hasher);
    node.hash(&mut hasher);
    hasher.finish()
}
