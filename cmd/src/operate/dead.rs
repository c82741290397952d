//! `job-worker dead`: messages that were refused and callbacks that were given up.

use std::process::ExitCode;

use adapters::driver::orders::is_place;
use adapters::source::letters::{Kept, Letters};
use adapters::view::{DeadCallbackView, LetterView};
use serde::Serialize;

use super::output::{self, Format, Output};
use super::table::{Table, shown};
use super::{Failure, age, letters, queue, report, view};

/// Before the place of a message.
const MESSAGE: &str = "message/";
/// Before the place of a callback.
const CALLBACK: &str = "callback/";

/// What to do with dead letters.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Lists dead letters, the oldest first.
    List(ListArguments),
    /// Shows one dead letter with every fault.
    Show(ShowArguments),
    /// Puts refused messages back into the queue, and sends given up callbacks again.
    Requeue(letters::Requeue),
    /// Drops dead letters.
    Drop(letters::Drop),
}

#[derive(clap::Args)]
struct ListArguments {
    /// Of this kind alone.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// With this reason alone, such as INVALID_MESSAGE.
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Kind {
    /// Messages that were refused.
    Message,
    /// Callbacks that were given up.
    Callback,
}

#[derive(clap::Args)]
#[command(
    after_help = "A corrected message may be sent again:\n  job-worker dead show message/1764000000120-0 --raw > message.json\n  job-worker submit message.json"
)]
struct ShowArguments {
    /// Its name, as `dead list` prints it.
    #[arg(value_name = "LETTER", value_parser = name)]
    letter: (Kind, String),
    /// Prints the bytes of the message as its producer wrote them, and nothing else.
    #[arg(long)]
    raw: bool,
    /// Form of the output; wide is table.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// A dead letter.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(super) enum Letter {
    Message(LetterView),
    Callback(DeadCallbackView),
}

/// Does what is asked with dead letters.
pub(crate) fn dead(arguments: &Arguments) -> ExitCode {
    report(match &arguments.command {
        Command::List(arguments) => list(arguments),
        Command::Show(arguments) => show(arguments),
        Command::Requeue(arguments) => letters::requeue(arguments),
        Command::Drop(arguments) => letters::drop(arguments),
    })
}

/// Returns the dead letters of a kind and with a reason, the oldest first.
pub(super) fn all(kind: Option<Kind>, reason: Option<&str>) -> Result<Vec<Letter>, Failure> {
    let mut letters = Vec::new();
    if kind != Some(Kind::Callback) {
        open()?.all(&mut |kept| letters.push(Letter::Message(LetterView::new(&kept))))?;
    }
    if kind != Some(Kind::Message) {
        letters.extend(view("dead")?.dead_callbacks()?.into_iter().map(Letter::Callback));
    }
    letters.sort_by_key(Letter::at);
    letters.retain(|letter| reason.is_none_or(|reason| letter.reason() == reason));
    Ok(letters)
}

/// Returns the id of a refused message, where there is one and it can be read.
pub(super) fn task_of(place: &str) -> Result<Option<String>, Failure> {
    let kept = open()?.one(place)?;
    Ok(kept.and_then(|kept| LetterView::new(&kept).task))
}

fn list(arguments: &ListArguments) -> Result<(), Failure> {
    let letters = all(arguments.kind, arguments.reason.as_deref())?;
    let output = arguments.output;
    if !output.is_table() {
        return Ok(output::value(output.output, &letters)?);
    }
    if letters.is_empty() {
        crate::print::to_stderr("no such dead letter");
        return Ok(());
    }
    let mut headers = vec!["LETTER", "AGE", "TASK", "REASON"];
    if output.is_wide() {
        headers.push("DETAIL");
    }
    let mut table = Table::new(&headers, !output.no_headers);
    for letter in &letters {
        let mut cells = vec![
            letter.name(),
            age::since(letter.at()),
            letter.task().unwrap_or_default().to_owned(),
            letter.reason().to_owned(),
        ];
        if output.is_wide() {
            cells.push(letter.detail().to_owned());
        }
        table.row(cells);
    }
    Ok(output::text(&table.take())?)
}

fn show(arguments: &ShowArguments) -> Result<(), Failure> {
    let (kind, place) = &arguments.letter;
    let missing = || {
        Failure::NotFound(format!(
            "no dead letter has this name: {}",
            full_name(*kind, place)
        ))
    };
    let letter = match kind {
        Kind::Message => {
            let kept: Kept = open()?.one(place)?.ok_or_else(missing)?;
            if arguments.raw {
                return Ok(output::bytes(&kept.raw)?);
            }
            Letter::Message(LetterView::new(&kept))
        }
        Kind::Callback => {
            let mut callbacks = view("dead")?.dead_callbacks()?;
            callbacks.retain(|callback| callback.id == *place);
            Letter::Callback(callbacks.pop().ok_or_else(missing)?)
        }
    };
    if !matches!(arguments.output, Format::Table | Format::Wide) {
        return Ok(output::value(arguments.output, &letter)?);
    }
    Ok(output::text(&letter.text())?)
}

fn open() -> Result<Letters, Failure> {
    let (target, prefix) = queue()?;
    Ok(Letters::new(&target, &prefix, "dead")?)
}

/// Reads the name of a letter.
pub(super) fn name(text: &str) -> Result<(Kind, String), String> {
    let known = [(MESSAGE, Kind::Message), (CALLBACK, Kind::Callback)]
        .into_iter()
        .find_map(|(prefix, kind)| Some((kind, text.strip_prefix(prefix)?)));
    match known {
        Some((kind, place)) if is_place(place) => Ok((kind, place.to_owned())),
        Some(_) | None => Err("must be a name of `dead list`, such as message/1764000000120-0".to_owned()),
    }
}

pub(super) fn full_name(kind: Kind, place: &str) -> String {
    let prefix = match kind {
        Kind::Message => MESSAGE,
        Kind::Callback => CALLBACK,
    };
    format!("{prefix}{place}")
}

impl Letter {
    /// Returns its kind and its place.
    pub(super) fn place(&self) -> (Kind, &str) {
        match self {
            Self::Message(letter) => (Kind::Message, &letter.id),
            Self::Callback(callback) => (Kind::Callback, &callback.id),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Message(letter) => full_name(Kind::Message, &letter.id),
            Self::Callback(callback) => full_name(Kind::Callback, &callback.id),
        }
    }

    const fn at(&self) -> adapters::view::Moment {
        match self {
            Self::Message(letter) => letter.at,
            Self::Callback(callback) => callback.at,
        }
    }

    pub(super) fn task(&self) -> Option<&str> {
        match self {
            Self::Message(letter) => letter.task.as_deref(),
            Self::Callback(callback) => callback.task.as_deref(),
        }
    }

    fn reason(&self) -> &str {
        match self {
            Self::Message(letter) => &letter.reason,
            Self::Callback(callback) => &callback.reason,
        }
    }

    fn detail(&self) -> &str {
        match self {
            Self::Message(letter) => &letter.detail,
            Self::Callback(callback) => &callback.url,
        }
    }

    fn text(&self) -> String {
        let mut rows = vec![
            ("letter", self.name()),
            ("died", format!("{} ({} ago)", self.at(), age::since(self.at()))),
            ("task", self.task().unwrap_or_default().to_owned()),
            ("reason", self.reason().to_owned()),
        ];
        match self {
            Self::Message(letter) => {
                rows.push(("size", format!("{} bytes", letter.bytes)));
                rows.extend(letter.detail.split("; ").map(|fault| ("fault", fault.to_owned())));
            }
            Self::Callback(callback) => {
                rows.push(("url", callback.url.clone()));
                rows.push(("webhook-id", callback.webhook_id.clone()));
            }
        }
        rows.into_iter()
            .map(|(name, value)| format!("{name:<10} {}\n", shown(&value)))
            .collect()
    }
}
