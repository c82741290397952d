//! A difference as people read it, and values as lines.

use event_log::{Difference, Part};
use jiff::Timestamp;
use serde_json::Value;

/// Longest value in a line, in characters.
const SHOWN_MAX: usize = 200;

/// Names the step, and shows what of it differs: as recorded, and as this program has it.
pub(super) fn text(difference: &Difference) -> String {
    let Difference {
        event,
        offset,
        task,
        seq,
        at,
        input,
        parts,
    } = difference;
    let at = time(*at);
    let mut text = format!(
        "event {event} (offset {offset}) is decided differently: task {}, version {seq}, {input} at {at}\n",
        escaped(task)
    );
    for Part {
        name,
        recorded,
        replayed,
    } in parts
    {
        let (recorded, replayed) = (leaves(name, recorded), leaves(name, replayed));
        let mut paths: Vec<&String> = recorded.iter().chain(&replayed).map(|(path, _)| path).collect();
        paths.dedup();
        let mut seen: Vec<&String> = Vec::new();
        for path in paths {
            let of = |leaves: &[(String, String)]| {
                leaves
                    .iter()
                    .find(|(is, _)| is == path)
                    .map_or("(nothing)".to_owned(), |(_, value)| value.clone())
            };
            let (was, is) = (of(&recorded), of(&replayed));
            if was != is && !seen.contains(&path) {
                text.push_str(&format!("  {path}\n    recorded  {was}\n    replayed  {is}\n"));
                seen.push(path);
            }
        }
    }
    text
}

/// Returns the values that hold no others, each with its path.
pub(super) fn leaves(path: &str, value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Object(map) if !map.is_empty() => map
            .iter()
            .flat_map(|(name, value)| leaves(&joined(path, name), value))
            .collect(),
        Value::Array(items) if !items.is_empty() => items
            .iter()
            .enumerate()
            .flat_map(|(index, value)| leaves(&format!("{path}[{index}]"), value))
            .collect(),
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => vec![(path.to_owned(), cut(&value.to_string()))],
    }
}

/// A moment as people read it.
pub(super) fn time(ms: u64) -> String {
    let at = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| format!("{ms} ms"), |at| format!("{at:.3}"))
}

/// An id that may hold anything, on one line.
pub(super) fn escaped(text: &str) -> String {
    text.escape_debug().to_string()
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        return name.to_owned();
    }
    format!("{path}.{name}")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
