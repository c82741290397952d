//! One log line as text or JSON, bounded, and unable to pretend to be two lines.
//!
//! Pure: it turns a record and a time into a string and never writes it.

use std::fmt::Write as _;

use jiff::Timestamp;
use log::Record;
use log::kv::{self, Key, Value, VisitSource};
use serde_json::Value as Json;

use super::LINE_MAX;

/// Longest message in bytes as it is written, so that key-values always find room.
const MESSAGE_MAX: usize = LINE_MAX / 2;

/// Bytes kept free for what ends a line: the mark of a cut.
const TAIL: usize = 32;

/// The keys that every JSON line has; a key-value with such a name gets an underscore.
const FIXED: &[&str] = &["ts", "level", "msg", "target", "cut"];

/// The crates of this program: their targets are left out of text lines.
const OURS: &[&str] = &["job_worker", "adapters", "engine"];

/// Holds the parts of a text line; the level is apart because a terminal colours it.
pub(super) struct Text {
    pub(super) time: String,
    pub(super) level: log::Level,
    pub(super) rest: String,
}

impl Text {
    pub(super) fn new(now_ms: u64, record: &Record<'_>) -> Self {
        let time = rfc3339(now_ms);
        let mut line = Line {
            text: escaped(&record.args().to_string()),
            room: LINE_MAX - time.len() - " ERROR ".len(),
            cut: 0,
        };
        if cut_at(&mut line.text, MESSAGE_MAX) {
            line.cut += 1;
        }
        each(record, |key, value| line.text_pair(key, value));
        let target = record.target();
        if !OURS.contains(&target.split("::").next().unwrap_or_default()) {
            line.text_pair("target", Value::from(target));
        }
        if line.cut > 0 {
            write!(line.text, " cut={}", line.cut).expect("writing to a string");
        }
        Self {
            time,
            level: record.level(),
            rest: line.text,
        }
    }
}

/// Writes a record as one JSON object.
pub(super) fn json(now_ms: u64, record: &Record<'_>) -> String {
    let mut line = Line {
        text: format!(r#"{{"ts":"{}","level":"{}""#, rfc3339(now_ms), record.level()),
        room: LINE_MAX,
        cut: 0,
    };
    let (message, whole) = fitted(&record.args().to_string(), MESSAGE_MAX);
    line.cut += usize::from(!whole);
    write!(line.text, r#","msg":{message}"#).expect("writing to a string");
    line.json_pair("target", Value::from(record.target()));
    each(record, |key, value| match FIXED.contains(&key) {
        true => line.json_pair(&format!("{key}_"), value),
        false => line.json_pair(key, value),
    });
    if line.cut > 0 {
        write!(line.text, r#","cut":{}"#, line.cut).expect("writing to a string");
    }
    line.text.push('}');
    line.text
}

struct Line {
    text: String,
    room: usize,
    /// Messages and key-values that were shortened or left out.
    cut: usize,
}

impl Line {
    fn left(&self) -> usize {
        self.room.saturating_sub(self.text.len() + TAIL)
    }

    fn json_pair(&mut self, key: &str, value: Value<'_>) {
        let (key, _) = fitted(key, MESSAGE_MAX);
        // The comma, the colon and an empty string.
        let Some(left) = self.left().checked_sub(key.len() + 4) else {
            self.cut += 1;
            return;
        };
        let value = serde_json::to_value(&value).unwrap_or_else(|_| Json::String(value.to_string()));
        let whole = printable_json(value.to_string());
        let value = if whole.len() <= left {
            whole
        } else {
            self.cut += 1;
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            fitted(&text, left).0
        };
        write!(self.text, ",{key}:{value}").expect("writing to a string");
    }

    fn text_pair(&mut self, key: &str, value: Value<'_>) {
        let value = value.to_string();
        let plain = !value.is_empty()
            && !value.contains(|c: char| c.is_whitespace() || c.is_control() || "\"=".contains(c));
        let mut pair = match plain {
            true => format!(" {}={}", escaped(key), escaped(&value)),
            false => format!(" {}=\"{}\"", escaped(key), escaped(&value).replace('"', "\\\"")),
        };
        if cut_at(&mut pair, self.left()) {
            self.cut += 1;
        }
        self.text.push_str(&pair);
    }
}

/// Visits the key-values in their order.
fn each(record: &Record<'_>, mut pair: impl FnMut(&str, Value<'_>)) {
    struct Pairs<F>(F);

    impl<'kvs, F: FnMut(&str, Value<'_>)> VisitSource<'kvs> for Pairs<F> {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
            (self.0)(key.as_str(), value);
            Ok(())
        }
    }

    if record.key_values().visit(&mut Pairs(&mut pair)).is_err() {
        pair("kv_error", Value::from("the source of the key-values broke off"));
    }
}

fn rfc3339(now_ms: u64) -> String {
    let millis = i64::try_from(now_ms).unwrap_or(i64::MAX);
    format!(
        "{:.3}",
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    )
}

/// Tells whether a character could end a line, move a cursor or turn text around.
fn forges(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Escapes what [`forges`], and the backslash, so that an escape is never ambiguous.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            c if forges(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Escapes what JSON allows raw and a terminal would obey; such characters occur inside of strings alone.
fn printable_json(json: String) -> String {
    if !json.contains(forges) {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match forges(c) {
            // All of them lie in the basic plane: one unit each.
            true => write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a string"),
            false => out.push(c),
        }
    }
    out
}

/// Gives the longest beginning of a text whose JSON form has at most `max` bytes, and whether that is all of it.
fn fitted(text: &str, max: usize) -> (String, bool) {
    let quoted = |text: &str| printable_json(Json::String(text.to_owned()).to_string());
    let mut rest = text.to_owned();
    let mut whole = !cut_at(&mut rest, max);
    loop {
        let json = quoted(&rest);
        if json.len() <= max || rest.is_empty() {
            return (json, whole);
        }
        whole = false;
        // Each step removes at least one byte, and half of what is too much at best: escapes are 2 to 6 times as long.
        let target = rest.len().saturating_sub((json.len() - max).div_ceil(6));
        cut_at(&mut rest, target);
    }
}

/// Cuts at a character boundary at or below `max` bytes and tells whether anything was lost.
fn cut_at(text: &mut String, max: usize) -> bool {
    if text.len() <= max {
        return false;
    }
    let boundary = (0..=max).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(boundary.unwrap_or(0));
    true
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    /// 2026-11-24T06:41:31.123Z.
    const NOW: u64 = 1_795_502_491_123;

    fn json_of(message: &str, pairs: &[(&str, Value<'_>)]) -> String {
        json(
            NOW,
            &Record::builder()
                .level(Level::Warn)
                .target("adapters::queue")
                .args(format_args!("{message}"))
                .key_values(&pairs)
                .build(),
        )
    }

    fn text_of(target: &str, message: &str, pairs: &[(&str, Value<'_>)]) -> String {
        Text::new(
            NOW,
            &Record::builder()
                .level(Level::Warn)
                .target(target)
                .args(format_args!("{message}"))
                .key_values(&pairs)
                .build(),
        )
        .rest
    }

    #[test]
    fn json_has_the_fixed_keys_first_and_then_the_pairs_in_their_order() {
        let list = vec![1, 2];
        assert_eq!(
            json_of(
                "refused",
                &[
                    ("task", Value::from("31a8")),
                    ("attempt", Value::from(3)),
                    ("alone", Value::from(true)),
                    ("codes", Value::from_serde(&list)),
                    ("level", Value::from("mine")),
                ]
            ),
            concat!(
                r#"{"ts":"2026-11-24T06:41:31.123Z","level":"WARN","msg":"refused","target":"adapters::queue","#,
                r#""task":"31a8","attempt":3,"alone":true,"codes":[1,2],"level_":"mine"}"#
            )
        );
    }

    #[test]
    fn text_quotes_what_would_be_ambiguous_and_names_foreign_targets() {
        assert_eq!(
            text_of(
                "adapters::queue",
                "refused",
                &[
                    ("task", Value::from("31a8")),
                    ("why", Value::from("a b")),
                    ("says", Value::from("\"x\"=1")),
                    ("none", Value::from("")),
                ]
            ),
            r#"refused task=31a8 why="a b" says="\"x\"=1" none="""#
        );
        assert_eq!(text_of("kube_client", "m", &[]), "m target=kube_client");
    }

    #[test]
    fn no_content_can_forge_a_line() {
        let evil = "a\n2026 ERROR b\r\u{1b}[31m\u{85}\u{2028}\u{202e}\u{7f}\0\\";
        let harmless = r"a\n2026 ERROR b\r\u{1b}[31m\u{85}\u{2028}\u{202e}\u{7f}\u{0}\\";
        assert_eq!(
            text_of("engine", evil, &[("k\n", Value::from(evil))]),
            format!("{harmless} k\\n=\"{harmless}\"")
        );
        let json = json_of(evil, &[("k\n", Value::from(evil))]);
        assert!(!json.contains(forges), "{json:?}");
        let parsed: Json = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&parsed["msg"], &parsed["k\n"]),
            (&Json::from(evil), &Json::from(evil))
        );
    }

    #[test]
    fn a_line_is_never_longer_than_its_bound_and_says_what_was_cut() {
        for filling in ["x", "ü", "\n", "\u{2028}", "\""] {
            let long = filling.repeat(20_000);
            let pairs = [
                ("first", Value::from("kept")),
                ("second", Value::from(long.as_str())),
                ("third", Value::from(long.as_str())),
            ];
            let json = json_of(&long, &pairs);
            assert!(
                json.len() <= LINE_MAX && json.len() > LINE_MAX / 2,
                "{filling:?}: {}",
                json.len()
            );
            let parsed: Json = serde_json::from_str(&json).unwrap();
            assert_eq!(
                (&parsed["first"], &parsed["cut"]),
                (&Json::from("kept"), &Json::from(3))
            );
            let text = Text::new(
                NOW,
                &Record::builder()
                    .args(format_args!("{long}"))
                    .target("engine")
                    .key_values(&pairs)
                    .build(),
            );
            let length = text.time.len() + " ERROR ".len() + text.rest.len();
            assert!(
                length <= LINE_MAX && length > LINE_MAX / 2,
                "{filling:?}: {length}"
            );
            assert!(
                text.rest.ends_with(" cut=3"),
                "{}",
                &text.rest[text.rest.len() - 20..]
            );
        }
    }
}
