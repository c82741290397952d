//! The engine by itself: steps a second and core, beside a look into a hash map by the same ids.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use adapters::wheel::Wheel;
use engine::{Engine, Policy, TaskId};

use crate::corpus::{FACTS, NOW, STILL, created, fact, id, shuffled};
use crate::verdict::{Bound, Table};

/// Events that are made before the clock runs.
const CHUNK: usize = 4_096;
/// How often each figure is measured; the middle one counts.
const ROUNDS: usize = 3;
/// An idle leader looks at its timers once in this time.
const IDLE_TURN: Duration = Duration::from_secs(1);

/// Measures.
pub(crate) fn run() -> Table {
    let mut table = Table::default();
    let mut per_step = Vec::new();
    for (tasks, judged) in [(1_000, false), (100_000, true), (1_000_000, false)] {
        let bound = if judged {
            Bound::AtLeast {
                goal: 20e6,
                floor: 3e6,
            }
        } else {
            Bound::Shown
        };
        let mut measured: Vec<Measured> = (0..ROUNDS).map(|_| measure(tasks)).collect();
        measured.sort_by(|a, b| a.all.total_cmp(&b.all));
        let middle = &measured[ROUNDS / 2];
        let name = format!("steps/s of {tasks} tasks");
        table.add(&name, middle.all, Some(middle.looks), bound);
        table.add(
            format!("{name} that move nothing"),
            middle.still,
            Some(middle.looks),
            bound,
        );
        per_step.push(1e9 / middle.all);
    }
    table.add(
        "ns of a step of 1 M tasks, against 1,000",
        per_step[2],
        Some(per_step[0]),
        Bound::RatioAtMost {
            goal: 3.0,
            floor: 5.0,
        },
    );
    table.add(
        "% CPU of an idle leader with 1 M timers",
        idle_share(1_000_000),
        None,
        Bound::AtMost {
            goal: 0.1,
            floor: 0.1,
        },
    );
    table
}

/// Figures a second.
struct Measured {
    all: f64,
    still: f64,
    looks: f64,
}

fn measure(tasks: usize) -> Measured {
    let order = shuffled(tasks);
    let mut engine = Engine::new(Policy::default());
    let mut map: HashMap<TaskId, u64> = HashMap::new();
    for number in 0..tasks {
        engine.restore(id(number), created(number));
        map.insert(id(number), 0);
    }
    let (mut all, mut still) = (Duration::ZERO, Duration::ZERO);
    for which in 0..FACTS {
        for chunk in order.chunks(CHUNK) {
            // As from a watch: each fact comes with an id that was just read.
            let facts: Vec<_> = chunk
                .iter()
                .map(|number| (id(*number), fact(*number, which)))
                .collect();
            let begun = Instant::now();
            for (id, fact) in facts {
                drop(black_box(engine.step(NOW, &id, fact)));
            }
            let took = begun.elapsed();
            all += took;
            if STILL.contains(&which) {
                still += took;
            }
        }
    }
    let mut looks = Duration::ZERO;
    for chunk in order.chunks(CHUNK) {
        let ids: Vec<TaskId> = chunk.iter().map(|number| id(*number)).collect();
        let begun = Instant::now();
        for id in ids {
            if let Some(count) = map.get_mut(&id) {
                *count += 1;
            }
        }
        looks += begun.elapsed();
    }
    Measured {
        all: rate(tasks * FACTS, all),
        still: rate(tasks * STILL.len(), still),
        looks: rate(black_box(map).len(), looks),
    }
}

/// The share of a core that looking at the timers takes, in percent.
fn idle_share(timers: usize) -> f64 {
    let mut wheel = Wheel::default();
    for number in 0..timers {
        wheel.set(&id(number), Some(NOW.plus_secs(600 + number as u64 % 86_400)));
    }
    let looks = 1_000_u32;
    let begun = Instant::now();
    for _ in 0..looks {
        black_box((wheel.next(), wheel.due(NOW, 128)));
    }
    (begun.elapsed() / looks).as_secs_f64() / IDLE_TURN.as_secs_f64() * 100.0
}

/// How many a second.
#[expect(clippy::cast_precision_loss, reason = "counts of a benchmark fit a float")]
pub(crate) fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}
