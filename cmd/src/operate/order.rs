//! Orders for the leader: given through the store, and answered there.

use std::time::{Duration, Instant};

use adapters::driver::orders::{Answer, Order, WORDS_MAX, What};
use adapters::store::read::Reader;

use super::output::{self, Output};
use super::table::Table;
use super::{Failure, age, place};

/// The longest wait for answers before the next is begun.
const TURN: Duration = Duration::from_secs(1);
/// How long an answer is waited for that may be under way when the order is taken back.
const LAST: Duration = Duration::from_secs(3);

/// Who gives an order, why, and for how long it stands.
#[derive(clap::Args)]
pub(super) struct Signed {
    /// Who gives the order: it stands in the event log and in the verdict.
    #[arg(
        long,
        env = "USER",
        value_name = "NAME",
        default_value = "an operator",
        hide_env_values = true
    )]
    by: String,
    /// Why, for the event log and the verdict.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// How long to wait for the leader; then the order is taken back.
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = age::parse)]
    wait: Duration,
}

/// Gives an order and waits for its answer.
pub(super) fn give(signed: &Signed, what: What) -> Result<Answer, Failure> {
    let words = |text: &str| text.chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
    let order = Order {
        by: words(&signed.by),
        reason: words(&signed.reason),
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
