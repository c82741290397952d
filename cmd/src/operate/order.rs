//! Orders for the leader: given through the store, and answered there.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use adapters::driver::orders::{Answer, Done, Order, What};
use adapters::store::read::Reader;

use super::output::{self, Output};
use super::signed::Signed;
use super::table::Table;
use super::{Failure, place};

/// The longest wait for answers before the next is begun.
const TURN: Duration = Duration::from_secs(1);
/// How long an answer is waited for that may be under way when the order is taken back.
const LAST: Duration = Duration::from_secs(3);

/// Gives an order and waits for its answer.
pub(super) fn give(signed: &Signed, what: What) -> Result<Answer, Failure> {
    let order = Order {
        by: signed.by(),
        reason: signed.reason.clone(),
        what,
    };
    let bytes = serde_json::to_vec(&order).map_err(output::Error::from)?;
    let mut reader = Reader::new(&place()?, "order")?;
    let mut after = reader.answers_end()?;
    let place = reader.order(&bytes)?;
    if let Some(answer) = wait(&mut reader, &mut after, &place, signed.wait)? {
        return Ok(answer);
    }
    let taken_back = reader.take_back(&place)?;
    match wait(&mut reader, &mut after, &place, LAST)? {
        Some(answer) => Ok(answer),
        None if taken_back => Err(Failure::NoLeader(signed.wait)),
        None => Err(Failure::Unanswered),
    }
}

fn wait(
    reader: &mut Reader,
    after: &mut String,
    place: &str,
    span: Duration,
) -> Result<Option<Answer>, Failure> {
    let deadline = Instant::now() + span;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        for (_, fields) in reader.answers(after, left.min(TURN))? {
            if fields
                .get("place")
                .is_some_and(|answered| answered == place.as_bytes())
            {
                let answer = fields.get("answer").map_or(&[][..], Vec::as_slice);
                return Ok(Some(serde_json::from_slice(answer).map_err(output::Error::from)?));
            }
        }
        if left.is_zero() {
            return Ok(None);
        }
    }
}

/// Gives orders that name at most so many things each, and waits for their answers.
pub(super) fn give_all<T: Clone>(
    signed: &Signed,
    things: &[T],
    many: usize,
    what: impl Fn(Vec<T>) -> What,
) -> Result<Answer, Failure> {
    let mut all = Answer::default();
    for some in things.chunks(many) {
        let answer = give(signed, what(some.to_vec()))?;
        all.results.extend(answer.results);
        all.refused = all.refused.or(answer.refused);
    }
    Ok(all)
}

/// Asks before much is done at once; who cannot be asked has to have said yes.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::Unconfirmed(question.to_owned()));
    }
    crate::print::to_stderr(&format!("{question} Type yes to go on:"));
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(_) if matches!(line.trim(), "y" | "yes") => Ok(()),
        Ok(_) | Err(_) => Err(Failure::Declined),
    }
}

/// Prints what would be done, were it no dry run.
pub(super) fn rehearse(
    output: Output,
    subject: &'static str,
    rows: Vec<(String, String)>,
) -> Result<(), Failure> {
    let results: Vec<Done> = rows
        .into_iter()
        .map(|(subject, text)| Done {
            subject,
            done: false,
            text,
        })
        .collect();
    if output.is_table() {
        let mut table = Table::new(&[subject, "DONE", "RESULT"], !output.no_headers);
        for result in &results {
            table.row([result.subject.clone(), "no".to_owned(), result.text.clone()]);
        }
        Ok(output::text(&table.take())?)
    } else {
        Ok(output::value(output.output, &results)?)
    }
}

/// Prints an answer: what became of each thing that was named.
pub(super) fn print(output: Output, subject: &'static str, answer: &Answer) -> Result<(), Failure> {
    if let Some(refused) = &answer.refused {
        return Err(Failure::Refused(refused.clone()));
    }
    if output.is_table() {
        let mut table = Table::new(&[subject, "DONE", "RESULT"], !output.no_headers);
        for result in &answer.results {
            let done = if result.done { "yes" } else { "no" };
            table.row([result.subject.clone(), done.to_owned(), result.text.clone()]);
        }
        if !answer.results.is_empty() {
            output::text(&table.take())?;
        }
    } else {
        output::value(output.output, &answer.results)?;
    }
    match answer.results.iter().filter(|result| !result.done).count() {
        0 => Ok(()),
        1 => Err(Failure::NotFound("1 was not done".to_owned())),
        count => Err(Failure::NotFound(format!("{count} were not done"))),
    }
}
