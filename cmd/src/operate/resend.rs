//! `job-worker callbacks resend`: callbacks that are sent again.

use adapters::driver::orders::{Callback, THINGS_MAX, What};
use adapters::view::{Life, Told};

use super::get::life;
use super::order;
use super::output::Output;
use super::signed::Signed;
use super::why::status_name;
use super::{Failure, view};

/// Which callbacks, and who wants it.
#[derive(clap::Args)]
#[command(
    after_help = "A callback is sent again with the same bytes and the same webhook-id, and with all its attempts before it: one that was given \
up, or one that was told and that its receiver has lost. One that waits for its next attempt is tried at once, but not before the time that a \
Retry-After named.\n\n\
A verdict may be sent again at any time, as long as the event log holds it. A status 0 or 1 only while it is the last that its task has told: a \
receiver must not hear it after what follows.\n\n\
Examples:\n  job-worker callbacks resend 31a89a91\n  job-worker callbacks resend --failing    # the receiver is there again\n\n\
Exit codes: 0 all are done; 1 at least one is not; 75 no leader answered, and the order was taken back."
)]
pub(super) struct Arguments {
    /// The ids of their tasks.
    #[arg(value_name = "ID", required_unless_present = "failing")]
    ids: Vec<String>,
    /// The callback with this status; without it the last one that the task has told.
    #[arg(long, value_name = "STATUS", value_parser = ["0", "1", "2", "3", "99"])]
    status: Option<String>,
    /// Every callback that failed at least once and waits for its next attempt.
    #[arg(long, conflicts_with_all = ["ids", "status"])]
    failing: bool,
    /// Says what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    signed: Signed,
    #[command(flatten)]
    output: Output,
}

/// Sends callbacks again.
pub(super) fn resend(arguments: &Arguments) -> Result<(), Failure> {
    let chosen = if arguments.failing {
        failing()?
    } else {
        let status = arguments.status.as_ref().and_then(|status| status.parse().ok());
        let one = |id: &String| chosen(id, &life(id, "resend")?, status);
        arguments.ids.iter().map(one).collect::<Result<_, _>>()?
    };
    if arguments.dry_run {
        let rows = chosen.into_iter().map(|(name, text, _)| (name, text)).collect();
        return order::rehearse(arguments.output, "CALLBACK", rows);
    }
    let callbacks: Vec<Callback> = chosen.into_iter().map(|(_, _, callback)| callback).collect();
    let answer = order::give_all(&arguments.signed, &callbacks, THINGS_MAX, |callbacks| {
        What::Resend { callbacks }
    })?;
    order::print(arguments.output, "CALLBACK", &answer)
}

fn failing() -> Result<Vec<(String, String, Callback)>, Failure> {
    let mut owed = view("resend")?.callbacks()?;
    owed.retain(|callback| callback.attempts > 0);
    if owed.is_empty() {
        return Err(Failure::NotFound("no such callback".to_owned()));
    }
    let row = |owed: adapters::view::CallbackView| {
        let name = format!("{}/{}", owed.task.unwrap_or_default(), owed.status);
        let callback = Callback::Owed { key: owed.key };
        (name, "would be tried at once".to_owned(), callback)
    };
    Ok(owed.into_iter().map(row).collect())
}

/// Finds the callback of a task in what is known of its life.
fn chosen(id: &str, life: &Life, status: Option<u8>) -> Result<(String, String, Callback), Failure> {
    let told = life
        .callbacks
        .iter()
        .rfind(|told| status.is_none_or(|status| told.status() == status));
    let Some(told) = told else {
        let which = status.map_or_else(
            || "no callback".to_owned(),
            |status| format!("no {}", status_name(status)),
        );
        return Err(Failure::NotFound(format!(
            "task {id:?} has told {which}, as far as is known"
        )));
    };
    let name = format!("{id}/{}", told.status());
    let (text, callback) = match told {
        Told::Owed(owed) => (
            "would be tried at once",
            Callback::Owed {
                key: owed.key.clone(),
            },
        ),
        Told::Dead(dead) => (
            "was given up, would be sent again",
            Callback::Dead {
                place: dead.id.clone(),
            },
        ),
        Told::Delivered { status, .. } => {
            let from = life.events.iter().rfind(|event| event.callbacks.contains(status));
            let Some(from) = from else {
                return Err(Failure::NotFound(format!("the event log no longer holds {name}")));
            };
            let record = from.cursor.clone();
            (
                "was told, would be sent again",
                Callback::Told {
                    record,
                    status: *status,
                },
            )
        }
    };
    Ok((name, text.to_owned(), callback))
}
