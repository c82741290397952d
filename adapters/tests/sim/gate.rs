//! The mutation gate: each mechanism is taken away once, and the checks have to notice.

use crate::plan::{Mutant, Plan};
use crate::runs::play;
use adapters::metrics::Metrics;
use std::sync::Arc;

/// Seeds that a mutant gets to be noticed.
pub(crate) const SEEDS: u64 = 600;
/// Characters of what a seed found that are printed.
const WORDS: usize = 80;

/// Prints each mutant with the first of `seeds` seeds that kills it; false where one survives them all.
pub(crate) fn kills_every_mutant(metrics: &Arc<Metrics>, seeds: u64) -> bool {
    let mut survivors = 0;
    for (mutant, name) in Mutant::ALL {
        match (1..=seeds).find_map(|seed| Some((seed, kills(metrics, seed, mutant)?))) {
            Some((seed, found)) => {
                println!("{name:<22} killed by seed {seed}: {found}");
                println!("    repeat: scripts/sim --seed {seed} --patch --mutant {name} --trace");
            }
            None => {
                println!("{name:<22} SURVIVES {seeds} seeds");
                survivors += 1;
            }
        }
    }
    survivors == 0
}

/// Returns what `seed` finds wrong with the mutant, and with it alone: the same seed is right without it.
fn kills(metrics: &Arc<Metrics>, seed: u64, mutant: Mutant) -> Option<String> {
    let run = |mutant| play(metrics, Plan::draw(seed, true, mutant), false, false);
    let broken = run(Some(mutant)).broken.into_iter().next()?;
    let found = format!("{} {} {}", broken.rule, broken.task, broken.what);
    run(None)
        .broken
        .is_empty()
        .then(|| found.chars().take(WORDS).collect())
}
