//! The answer to every event in every state and phase, and the laws of the table.
//!
//! The answers are the second part of `TRANSITIONS.md`; `REWRITE=1` writes them down.

#[allow(dead_code, reason = "each test uses its part of it")]
mod samples;
#[allow(dead_code, reason = "each test uses its part of it")]
mod story;

use engine::{Advance, Effect, EventKind, IGNORES, MOVES, Move, Policy, StateKind, Task, describe};
use samples::{NOW, Sample, events, id, spec, states};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use story::{Story, rewrite};

const TEXT: &str = "a String takes all";

#[test]
fn the_answers_are_those_of_the_document() {
    let text = document();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/TRANSITIONS.md");
    if rewrite() {
        std::fs::write(path, &text).expect("the document can be written");
    }
    let stored = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().zip(stored.lines()).position(|(new, old)| new != old);
    assert!(
        stored == text,
        "TRANSITIONS.md is out of date from line {:?} on; REWRITE=1 writes it anew",
        line.map(|line| line + 1)
    );
}

fn document() -> String {
    let mut text = describe::document();
    text.push_str(
        "\n## Answers\n\nWhat each event does to a task in each phase, by the samples of `tests/samples`. Where the samples of a phase differ, \
         the second column names those that a row is for. What a row does not name is ignored, except where it is rejected.\n",
    );
    let mut phases: Vec<Vec<Sample>> = Vec::new();
    for sample in states() {
        let phase = |sample: &Sample| (sample.task.state.kind(), sample.task.state.phase());
        match phases.iter_mut().find(|of| phase(&of[0]) == phase(&sample)) {
            Some(of) => of.push(sample),
            None => phases.push(vec![sample]),
        }
    }
    for samples in phases {
        answers(&mut text, &samples);
    }
    text
}

const fn variant(sample: &Sample) -> &'static str {
    if sample.variant.is_empty() {
        "plain"
    } else {
        sample.variant
    }
}

/// The answers in one phase.
#[derive(Default)]
struct Answers {
    /// What became of the task, in which samples, by which events.
    rows: Vec<(String, Vec<&'static str>, Vec<String>)>,
    ignored: BTreeMap<&'static str, BTreeSet<&'static str>>,
    rejected: BTreeSet<&'static str>,
}

fn answers_of(samples: &[Sample]) -> Answers {
    let mut answers = Answers::default();
    for (name, event) in events() {
        let kind = event.kind().name();
        let mut moved: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for sample in samples {
            match sample.task.advance(NOW, &id(), event.clone(), &Policy::default()) {
                Ok(Advance::Moved(transition, row)) => {
                    let after = &transition.after.state;
                    let told: Vec<_> = transition
                        .notices
                        .iter()
                        .map(|n| n.status().to_string())
                        .collect();
                    let answer = format!(
                        "{}, {} | {} | {}",
                        after.kind().name(),
                        after.phase(),
                        row.handler,
                        told.join(", ")
                    );
                    moved.entry(answer).or_default().push(variant(sample));
                }
                Ok(Advance::Ignored(why)) => drop(answers.ignored.entry(why).or_default().insert(kind)),
                Err(_) => drop(answers.rejected.insert(kind)),
            }
        }
        for (answer, of) in moved {
            match answers
                .rows
                .iter_mut()
                .find(|row| (&row.0, &row.1) == (&answer, &of))
            {
                Some(row) => row.2.push(name.clone()),
                None => answers.rows.push((answer, of, vec![name.clone()])),
            }
        }
    }
    answers
}

/// Writes the answers in one phase: events with the same answer in the same samples share a row.
fn answers(text: &mut String, samples: &[Sample]) {
    let state = &samples[0].task.state;
    writeln!(text, "\n### {}, {}\n", state.kind().name(), state.phase()).expect(TEXT);
    for sample in samples {
        let owes = sample.task.state.owed().map_or("nothing", |effect| owed(&effect));
        writeln!(
            text,
            "- {}: woken by {}; owes {owes}.",
            variant(sample),
            sample.task.state.waker()
        )
        .expect(TEXT);
    }
    let Answers {
        rows,
        ignored,
        rejected,
    } = answers_of(samples);
    if !rows.is_empty() {
        text.push_str("\n| event | of | becomes | through | tells |\n|---|---|---|---|---|\n");
    }
    for (answer, of, names) in rows {
        let of = if of.len() == samples.len() {
            String::new()
        } else {
            of.join("; ")
        };
        writeln!(text, "| {} | {of} | {answer} |", names.join("; ")).expect(TEXT);
    }
    text.push('\n');
    let list = |kinds: BTreeSet<&str>| kinds.into_iter().collect::<Vec<_>>().join(", ");
    for (why, kinds) in ignored {
        writeln!(text, "- ignored, {why}: {}.", list(kinds)).expect(TEXT);
    }
    if !rejected.is_empty() {
        writeln!(text, "- rejected: {}.", list(rejected)).expect(TEXT);
    }
}

const fn owed(effect: &Effect) -> &'static str {
    match effect {
        Effect::CreateJob { .. } => "the create",
        Effect::Look => "a look",
        Effect::StopJob { .. } => "the stop",
        Effect::SetTtl { .. } => "the TTL",
    }
}

#[test]
fn every_phase_has_a_sample() {
    let phases: BTreeSet<_> = states()
        .iter()
        .map(|sample| (sample.task.state.kind(), sample.task.state.phase()))
        .collect();
    let count = |kind| phases.iter().filter(|(of, _)| *of == kind).count();
    assert_eq!(StateKind::ALL.map(count), [5, 7, 5, 2, 2, 3]);
    let kinds: BTreeSet<_> = events().iter().map(|(_, event)| event.kind()).collect();
    assert_eq!(kinds, EventKind::ALL.into_iter().collect());
}

#[test]
fn a_state_that_is_not_an_end_has_a_deadline_or_something_owed_or_somebody_who_wakes_it() {
    for Sample {
        task: Task { state, .. },
        ..
    } in states()
    {
        if state.kind().is_terminal() || state.deadline().is_some() || state.owed().is_some() {
            continue;
        }
        let named = match (state.kind(), state.phase()) {
            (StateKind::Received, "queued") => "a free create slot",
            (StateKind::Received, "gated") => "a probe of its namespace",
            (StateKind::Created | StateKind::PodStarted, "waiting for a pod" | "suspended" | "following") => {
                "the watch of Jobs and pods"
            }
            (kind, phase) => panic!("{}, {phase} has nobody who wakes it", kind.name()),
        };
        assert_eq!(state.waker(), named);
    }
}

#[test]
fn what_is_looked_for_or_asked_is_owed_until_its_deadline() {
    for Sample {
        task: Task { state, .. },
        ..
    } in states()
    {
        assert!(
            state.deadline().is_none() || state.owed().is_none(),
            "both awaited and put off: {state:?}"
        );
    }
}

#[test]
fn an_end_is_never_left_and_tells_nothing_more() {
    for row in MOVES.iter().filter(|row| row.from.is_terminal()) {
        assert_eq!(row.from, row.to);
    }
    for sample in states() {
        let from = sample.task.state.kind();
        for (name, event) in events() {
            if let Ok(Advance::Moved(transition, _)) =
                sample.task.advance(NOW, &id(), event, &Policy::default())
            {
                let to = transition.after.state.kind();
                let told = transition.notices.iter().any(|notice| notice.status() >= 2);
                assert_eq!(told, transition.gave_verdict(), "{from:?} + {name}");
                assert!(to >= from, "{from:?} + {name} goes back to {to:?}");
                assert_eq!(transition.after.seq, sample.task.seq + 1);
                if from.is_terminal() {
                    assert_eq!((to, transition.notices.len()), (from, 0), "{from:?} + {name}");
                }
            }
        }
    }
}

#[test]
fn a_move_within_a_phase_changes_something() {
    for sample in states() {
        for (name, event) in events() {
            if let Ok(Advance::Moved(transition, row)) =
                sample.task.advance(NOW, &id(), event, &Policy::default())
            {
                let stays = transition.after.state == sample.task.state;
                // A new leader's doubt may fall on the very moment that is noted already.
                let doubted = row.handler == "doubted";
                assert!(
                    !stays || doubted,
                    "{:?} + {name} by {}",
                    sample.task.state,
                    row.handler
                );
            }
        }
    }
}

#[test]
fn a_row_with_a_condition_has_another_one_behind_it() {
    for row in MOVES
        .iter()
        .filter(|row| row.guard.is_some() && !row.from.is_terminal())
    {
        let same = |from, on| (from, on) == (row.from, row.on);
        let otherwise = MOVES
            .iter()
            .any(|other| other.guard.is_none() && same(other.from, other.on));
        let ignored = IGNORES.iter().any(|other| same(other.from, other.on));
        assert!(otherwise || ignored, "{row:?}");
        assert!(
            !(otherwise && ignored),
            "{row:?}: the ignored row is never reached"
        );
    }
}

#[test]
fn no_row_is_written_twice() {
    let moves: BTreeSet<_> = MOVES.iter().map(|row| (row.from, row.on, row.guard)).collect();
    assert_eq!(moves.len(), MOVES.len());
    let ignores: BTreeSet<_> = IGNORES.iter().map(|row| (row.from, row.on)).collect();
    assert_eq!(ignores.len(), IGNORES.len());
}

#[test]
fn every_row_fires() {
    let name = |row: &Move| (row.from, row.on, row.guard, row.handler);
    let mut fired = BTreeSet::new();
    for sample in states() {
        for (_, event) in events() {
            if let Ok(Advance::Moved(_, row)) = sample.task.advance(NOW, &id(), event, &Policy::default()) {
                fired.insert(name(row));
            }
        }
    }
    let by_samples = fired.len();
    for story in Story::all() {
        let (world, _) = story.run();
        let mut tasks: BTreeMap<_, Task> = BTreeMap::new();
        for transition in world.moved {
            if let Some(before) = tasks.get(&transition.task) {
                let again = before.advance(
                    transition.at,
                    &transition.task,
                    transition.event.clone(),
                    world.engine.policy(),
                );
                let Ok(Advance::Moved(_, row)) = again else {
                    panic!("{}: {transition:?} does not move again", story.name);
                };
                fired.insert(name(row));
            }
            tasks.insert(transition.task.clone(), transition.after);
        }
    }
    let silent: Vec<_> = MOVES.iter().filter(|row| !fired.contains(&name(row))).collect();
    assert!(
        silent.is_empty(),
        "{by_samples} rows by samples; never: {silent:#?}"
    );
}

#[test]
fn an_event_that_begins_a_task_is_refused_by_one_that_lives() {
    let begins = |event: engine::Event| Task::begin(NOW, &id(), event, &Policy::default());
    for (name, event) in events() {
        let on = event.kind();
        let begun = begins(event.clone()).map(|transition| (transition.from, transition.after.seq));
        let expected = matches!(on, EventKind::Taken | EventKind::Adopted).then_some((None, 1));
        assert_eq!(begun, expected, "{name}");
        for sample in states()
            .iter()
            .filter(|sample| !sample.task.state.kind().is_terminal())
        {
            let answer = sample.task.advance(NOW, &id(), event.clone(), &Policy::default());
            assert!(
                expected.is_none() || answer.is_err(),
                "{name} in {:?}",
                sample.task.state
            );
        }
    }
}

#[test]
fn a_start_clock_stands_where_the_jobs_own_deadline_comes_first() {
    let armed = |deadline| {
        engine::Spec {
            active_deadline_secs: deadline,
            ..spec()
        }
        .start_timer_armed()
    };
    assert_eq!(
        [None, Some(599), Some(600), Some(601)].map(armed),
        [true, false, false, true]
    );
}
