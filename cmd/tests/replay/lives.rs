//! Recorded lives: those of the stories, and as many random ones as are wanted; the same ones each time.

use engine::{Ordered, Policy, Record, TaskId, Transition, Verb};
use event_log::{Header, Writer};

use crate::story::{BEGIN, Story, recorded};
use crate::walk::Walk;

/// Turns of one walk, before everything comes to its end.
const TURNS: u32 = 150;
/// Walks that happen side by side; each has three tasks.
const WALKS: usize = 333;

/// Every transition of every story.
pub(crate) fn of_stories() -> Vec<Transition> {
    let mut all = Vec::new();
    for story in Story::all() {
        let (world, _) = story.run();
        all.extend(renamed(world.moved, &story.name));
    }
    all
}

/// At least so many transitions of random lives, as a worker with its 1,000 tasks in flight would have recorded them.
pub(crate) fn of_walks(events: usize) -> Vec<Transition> {
    let mut all: Vec<Transition> = Vec::new();
    let mut seeds = 0..;
    while all.len() < events {
        let begun = all.len();
        for seed in seeds.by_ref().take(WALKS) {
            let mut walk = Walk::new(seed);
            for _ in 0..TURNS {
                walk.turn();
            }
            walk.heal();
            all.extend(renamed(walk.world.moved, &seed.to_string()));
            if all.len() >= events {
                break;
            }
        }
        all[begun..].sort_by_key(|transition| transition.at);
    }
    all
}

/// The same tasks live in every story: each gets an id of its own.
fn renamed(moved: Vec<Transition>, prefix: &str) -> impl Iterator<Item = Transition> {
    moved.into_iter().map(move |mut transition| {
        transition.task = TaskId::new(format!("{prefix}/{}", transition.task));
        transition
    })
}

/// What the header of a log of these lives says.
pub(crate) fn header() -> Header {
    Header {
        program: "job-worker 0.1.0".to_owned(),
        instance: "jobs/job-worker-lock".to_owned(),
        written_at: BEGIN.0,
        selection: "all".to_owned(),
        policy: Policy::default(),
    }
}

/// The file that holds these transitions.
pub(crate) fn file(lives: &[Transition]) -> Vec<u8> {
    file_of(lives.iter().map(recorded))
}

/// The file that holds these records.
pub(crate) fn file_of(records: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).expect("memory takes all");
    for record in records {
        writer.record(&record).expect("memory takes all");
    }
    writer.finish().expect("memory takes all")
}

/// A life with an order of each verb about its task before each event, as long as there are any, and one about none behind it.
pub(crate) fn with_orders(life: Vec<Transition>) -> Vec<Vec<u8>> {
    let (begun, task) = (life[0].at, life[0].task.clone());
    let order = |verb, task: Option<TaskId>| {
        let order = Ordered {
            at: begun,
            by: "alice@laptop".to_owned(),
            reason: "mended".to_owned(),
            verb,
            subject: "callback/1764000000120-0".to_owned(),
            task,
        };
        rmp_serde::to_vec_named(&Record::Order { order }).expect("plain data")
    };
    let mut records = Vec::new();
    let mut verbs = Verb::ALL.into_iter();
    for transition in &life {
        records.extend(verbs.next().map(|verb| order(verb, Some(task.clone()))));
        records.push(recorded(transition));
    }
    records.extend(verbs.map(|verb| order(verb, Some(task.clone()))));
    records.push(order(Verb::Pause, None));
    records
}
