//! `job-worker dead requeue` and `job-worker dead drop`: orders about dead letters.

use adapters::driver::orders::{Answer, Callback, Letter, THINGS_MAX, What};

use super::Failure;
use super::dead::{self, Kind};
use super::order;
use super::output::Output;
use super::signed::Signed;

/// Which dead letters.
#[derive(clap::Args)]
struct Chosen {
    /// Their names, as `dead list` prints them.
    #[arg(
        value_name = "LETTER",
        value_parser = dead::name,
        required_unless_present_any = ["all", "all_of", "task"],
        conflicts_with_all = ["all", "all_of", "task", "kind"]
    )]
    letters: Vec<(Kind, String)>,
    /// All of them.
    #[arg(long)]
    all: bool,
    /// All with this reason, as `dead list` prints it, such as DUPLICATE_ID.
    #[arg(long, value_name = "CODE")]
    all_of: Option<String>,
    /// All with this task's id.
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// Of this kind alone.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Does not ask before more than what was named is done.
    #[arg(short, long)]
    yes: bool,
    /// Says what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    signed: Signed,
    #[command(flatten)]
    output: Output,
}

/// Which dead letters go back, and who wants it.
#[derive(clap::Args)]
#[command(
    after_help = "A message goes to the end of the queue, as one that was never seen: what is remembered of its id is forgotten, so a task that \
ended may run again. One that would be refused again stays, and RESULT says why; so does one whose id belongs to a task that is still there. \
A callback is sent again, as by `callbacks resend`.\n\n\
Where queue and store are two Redis servers, the message moves just after the answer: should the leader die in between, it stays where it is.\n\n\
Examples:\n  job-worker dead requeue message/1764000000120-0\n  job-worker dead requeue --all-of DUPLICATE_ID --dry-run\n\n\
Exit codes: 0 all are done; 1 at least one is not; 75 no leader answered, and the order was taken back."
)]
pub(super) struct Requeue {
    #[command(flatten)]
    chosen: Chosen,
}

/// Which dead letters are dropped, and who wants it.
#[derive(clap::Args)]
#[command(
    after_help = "A dropped message or callback is gone; the event log says who dropped it.\n\n\
Examples:\n  job-worker dead drop callback/1764000000120-0\n  job-worker dead drop --kind message --all-of INVALID_MESSAGE --yes\n\n\
Exit codes: 0 all are done; 1 at least one is not; 75 no leader answered, and the order was taken back."
)]
pub(super) struct Drop {
    #[command(flatten)]
    chosen: Chosen,
}

/// A dead letter by its place, with the id that it has.
struct Found {
    kind: Kind,
    place: String,
    task: Option<String>,
}

impl Chosen {
    fn find(&self) -> Result<Vec<Found>, Failure> {
        if self.letters.is_empty() {
            let mut letters = dead::all(self.kind, self.all_of.as_deref())?;
            letters.retain(|letter| self.task.is_none() || letter.task() == self.task.as_deref());
            let found = |letter: &dead::Letter| {
                let (kind, place) = letter.place();
                Found {
                    kind,
                    place: place.to_owned(),
                    task: letter.task().map(str::to_owned),
                }
            };
            return match &letters[..] {
                [] => Err(Failure::NotFound("no such dead letter".to_owned())),
                letters => Ok(letters.iter().map(found).collect()),
            };
        }
        let named = self.letters.iter().map(|(kind, place)| {
            Ok(Found {
                kind: *kind,
                place: place.clone(),
                task: match kind {
                    Kind::Message => dead::task_of(place)?,
                    Kind::Callback => None,
                },
            })
        });
        named.collect()
    }

    /// Returns what was found, unless it is a dry run: that says what would be done, and is over.
    fn begin(&self, verb: &str) -> Result<Option<Vec<Found>>, Failure> {
        let found = self.find()?;
        if self.dry_run {
            let row = |found: &Found| {
                let task = found
                    .task
                    .as_ref()
                    .map_or_else(String::new, |task| format!(", task {task}"));
                (
                    dead::full_name(found.kind, &found.place),
                    format!("would {verb}{task}"),
                )
            };
            order::rehearse(self.output, "LETTER", found.iter().map(row).collect())?;
            return Ok(None);
        }
        if self.letters.is_empty() {
            let question = match found.len() {
                1 => format!("1 dead letter would {verb}."),
                count => format!("{count} dead letters would {verb}."),
            };
            order::confirm(&question, self.yes)?;
        }
        Ok(Some(found))
    }

    fn print(&self, answer: &Answer) -> Result<(), Failure> {
        order::print(self.output, "LETTER", answer)
    }
}

fn of_kind(found: &[Found], kind: Kind) -> impl Iterator<Item = &Found> {
    found.iter().filter(move |found| found.kind == kind)
}

/// Puts dead letters back.
pub(super) fn requeue(arguments: &Requeue) -> Result<(), Failure> {
    let chosen = &arguments.chosen;
    let Some(found) = chosen.begin("go back")? else {
        return Ok(());
    };
    let letters: Vec<Letter> = of_kind(&found, Kind::Message)
        .map(|found| Letter {
            place: found.place.clone(),
            task: found.task.clone(),
        })
        .collect();
    let callbacks: Vec<Callback> = of_kind(&found, Kind::Callback)
        .map(|found| Callback::Dead {
            place: found.place.clone(),
        })
        .collect();
    let mut answer = order::give_all(&chosen.signed, &letters, THINGS_MAX, |letters| What::Requeue {
        letters,
    })?;
    let resent = order::give_all(&chosen.signed, &callbacks, THINGS_MAX, |callbacks| What::Resend {
        callbacks,
    })?;
    answer.results.extend(resent.results);
    answer.refused = answer.refused.or(resent.refused);
    chosen.print(&answer)
}

/// Drops dead letters.
pub(super) fn drop(arguments: &Drop) -> Result<(), Failure> {
    let chosen = &arguments.chosen;
    let Some(found) = chosen.begin("be dropped")? else {
        return Ok(());
    };
    let answer = order::give_all(&chosen.signed, &places(&found), THINGS_MAX, |some| {
        let of = |wanted: Kind| {
            let places = some.iter().filter(|(kind, _)| *kind == wanted);
            places.map(|(_, place)| place.clone()).collect()
        };
        What::Drop {
            messages: of(Kind::Message),
            callbacks: of(Kind::Callback),
        }
    })?;
    chosen.print(&answer)
}

fn places(found: &[Found]) -> Vec<(Kind, String)> {
    found
        .iter()
        .map(|found| (found.kind, found.place.clone()))
        .collect()
}
