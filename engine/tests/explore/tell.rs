//! The line of a story for a fact.

use crate::story::BEGIN;
use engine::{CreateFailure, Event, JobEnd, StopAnswered, TtlAnswered, Waiting};

/// Returns the line that gives `event` to task `id`.
pub(crate) fn line(id: &str, event: &Event) -> String {
    let name = event.kind().name();
    let rest = match event {
        Event::JobSeen(e) => format!(
            "uid={} received={}ms created={}ms{}{}{}",
            e.uid,
            e.received_at.since_ms(BEGIN),
            e.created_at.since_ms(BEGIN),
            e.ended_at
                .map_or_else(String::new, |at| format!(" ended={}ms", at.since_ms(BEGIN))),
            if e.stoppable { " stoppable" } else { "" },
            if e.by_pod { " by_pod" } else { "" },
        ),
        Event::JobJudged(e) => format!("job={} {} {}", e.uid, e.failure.code, quoted(&e.failure.message)),
        Event::JobEnded(e) => match &e.end {
            JobEnd::Complete { duration_secs } => format!("job={} Complete {duration_secs}", e.uid),
            JobEnd::Failed { reason, message } => {
                format!("job={} Failed {reason} {}", e.uid, quoted(message))
            }
        },
        Event::JobDeleted(e) => format!("job={}", e.uid),
        Event::PodStarted(e) => format!("job={} pod={}", e.job, e.uid),
        Event::PodWaiting(e) => format!("job={} {}", e.job, waiting(&e.waiting)),
        Event::PodFailed(e) => format!("job={} pod={} exit=1", e.job, e.end.uid),
        Event::CreateFailed(e) => format!("{} {}", create_failure(e.why), quoted(&e.message)),
        Event::Looked(e) => format!(
            "{}{}{}",
            e.job
                .as_ref()
                .map_or_else(|| "gone".to_owned(), |uid| format!("job={uid}")),
            e.waiting
                .as_ref()
                .map_or_else(String::new, |what| format!(" waiting {}", waiting(what))),
            if e.has_pods { " pods" } else { "" },
        ),
        Event::StopAnswered(answer) => match answer {
            StopAnswered::Done => "Done",
            StopAnswered::Conflict => "Conflict",
            StopAnswered::Gone => "Gone",
            StopAnswered::Forbidden => "Forbidden",
            StopAnswered::Unknown => "Unknown",
        }
        .to_owned(),
        Event::TtlAnswered(answer) => match answer {
            TtlAnswered::Settled => "Settled",
            TtlAnswered::Unknown => "Unknown",
        }
        .to_owned(),
        Event::SetAside(e) => quoted(&e.message),
        Event::JobMissing(_) | Event::LookFailed(_) => String::new(),
        Event::Taken(_)
        | Event::Adopted(_)
        | Event::Granted(_)
        | Event::Held(_)
        | Event::Released(_)
        | Event::StillRefused(_)
        | Event::TookOver(_)
        | Event::Woke(_)
        | Event::LookRefused(_)
        | Event::Cancelled(_) => panic!("{name} happens in no search"),
    };
    format!("{id} {name} {rest}").trim_end().to_owned()
}

fn waiting(waiting: &Waiting) -> String {
    format!("{:?} {}", waiting.kind, waiting.reason)
}

fn create_failure(why: CreateFailure) -> String {
    format!("{why:?}")
}

/// Quotes a text; the language has no way to quote a quote.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "'"))
}
