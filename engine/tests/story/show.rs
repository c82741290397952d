//! What happened, in words.

use super::BEGIN;
use engine::{Effect, Notice, Timestamp, Transition};
use std::fmt::Write;

/// Shows a moment as seconds since the story began.
pub(crate) fn offset(at: Timestamp) -> String {
    let ms = at.since_ms(BEGIN);
    match ms % 1000 {
        0 => format!("{}s", ms / 1000),
        rest => format!("{}.{rest:03}s", ms / 1000),
    }
}

/// Shows a transition, what the client is told, and what is asked of the world.
pub(crate) fn transition(text: &mut String, at: &str, transition: &Transition) {
    let after = &transition.after.state;
    let from = transition.from.map_or("(new)", engine::StateKind::name);
    writeln!(
        text,
        "{at:>7} {}: {from} -> {} ({}), {}",
        transition.task,
        after.kind().name(),
        after.phase(),
        transition.event.kind().name(),
    )
    .expect("a String takes all");
    for notice in &transition.notices {
        writeln!(text, "          tells {}", self::notice(notice)).expect("a String takes all");
    }
    if let Some(asked) = transition.recorded_effect() {
        writeln!(text, "          asks {}", effect(asked)).expect("a String takes all");
    }
    if let Some(deadline) = after.deadline() {
        writeln!(text, "          wakes at {}", offset(deadline)).expect("a String takes all");
    }
}

pub(crate) fn effect(effect: &Effect) -> String {
    match effect {
        Effect::CreateJob { with_ttl: true } => "to create the Job (its TTL set at once)".to_owned(),
        Effect::CreateJob { with_ttl: false } => "to create the Job (its TTL set later)".to_owned(),
        Effect::Look => "to look at the Job and its pods".to_owned(),
        Effect::StopJob { uid, failure } => format!("to stop Job {uid} as {}", failure.code),
        Effect::SetTtl { uid, seconds } => format!("to set the TTL of Job {uid} to {seconds} s"),
    }
}

fn notice(notice: &Notice) -> String {
    let detail = match notice {
        Notice::Created { job } => format!("Job {job}"),
        Notice::Started { pod, name } => format!("pod {pod} ({name})"),
        Notice::Completed { duration_secs } => format!("after {duration_secs} s"),
        Notice::Failed(failure) | Notice::Exception(failure) => {
            format!("{}: {}", failure.code, failure.message)
        }
    };
    format!("{}, {detail}", notice.status())
}
