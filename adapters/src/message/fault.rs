//! What a message is refused for, and what in it was ignored.
//!
//! A fault or a warning never holds an env value, a command, an argument or a webhook URL: both go to logs and to callbacks.

use std::borrow::Cow;
use std::fmt;

use super::json::Json;

/// The most faults that one refusal lists. A last one tells how many more there were.
pub const FAULTS_MAX: usize = 256;

/// The most warnings that one message gets. A last one tells how many more unknown fields there were.
pub const WARNINGS_MAX: usize = 32;

/// The most characters of a value, or of a field's name, that are shown.
pub const SHOWN_MAX: usize = 80;

/// One broken rule of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The field, as in `job.env[2].name`; `message` where it is the whole.
    pub path: String,
    /// What the field holds, escaped and cut to [`SHOWN_MAX`] characters; absent where it may be secret.
    pub value: Option<String>,
    /// The rule, as the rest of a sentence that starts with the path.
    pub rule: Cow<'static, str>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.rule)?;
        match &self.value {
            Some(value) => write!(f, ", got {value}"),
            None => Ok(()),
        }
    }
}

/// Something of an accepted message that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A field that this version does not know, by its path.
    UnknownField(String),
    /// This many unknown fields beyond the [`WARNINGS_MAX`] that are named.
    MoreUnknownFields(usize),
    /// The `traceparent` is not one by W3C Trace Context.
    InvalidTraceparent,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::UnknownField(path) => write!(f, "{path}: unknown field, ignored"),
            Warning::MoreUnknownFields(count) => {
                write!(f, "message: {count} more unknown fields, ignored")
            }
            Warning::InvalidTraceparent => {
                f.write_str("traceparent: not valid by W3C Trace Context, ignored")
            }
        }
    }
}

/// Where in a message something is. Costs nothing until it is shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'p> {
    /// The message itself.
    Root,
    /// A field of an object.
    Field(&'p Path<'p>, &'p str),
    /// An item of an array, from 0.
    Item(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => f.write_str("message"),
            Path::Field(Path::Root, name) => write!(f, "{}", Cut(name)),
            Path::Field(parent, name) => write!(f, "{parent}.{}", Cut(name)),
            Path::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Collects the faults and warnings of one message.
#[derive(Debug, Default)]
pub(super) struct Report {
    faults: Vec<Fault>,
    more_faults: usize,
    warnings: Vec<Warning>,
    more_unknown: usize,
}

impl Report {
    /// Adds a fault that shows no value.
    pub(super) fn fault(&mut self, path: &Path<'_>, rule: impl Into<Cow<'static, str>>) {
        self.push(path, None, rule.into());
    }

    /// Adds a fault that shows the value, or its type where it is an array or an object.
    pub(super) fn fault_with(
        &mut self,
        path: &Path<'_>,
        value: &Json<'_>,
        rule: impl Into<Cow<'static, str>>,
    ) {
        self.push(path, Some(value), rule.into());
    }

    /// Adds the warning about an unknown field.
    pub(super) fn unknown(&mut self, path: &Path<'_>) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(Warning::UnknownField(path.to_string()));
        } else {
            self.more_unknown += 1;
        }
    }

    /// Adds the warning about the `traceparent`, beyond the bound on unknown fields.
    pub(super) fn invalid_traceparent(&mut self) {
        self.warnings.push(Warning::InvalidTraceparent);
    }

    /// Gives out the faults and the warnings, each with a last line for those over its bound.
    pub(super) fn finish(mut self) -> (Vec<Fault>, Vec<Warning>) {
        if self.more_faults > 0 {
            let rule = format!("has {} more faults", self.more_faults);
            self.faults.push(Fault {
                path: Path::Root.to_string(),
                value: None,
                rule: rule.into(),
            });
        }
        if self.more_unknown > 0 {
            self.warnings.push(Warning::MoreUnknownFields(self.more_unknown));
        }
        (self.faults, self.warnings)
    }

    fn push(&mut self, path: &Path<'_>, value: Option<&Json<'_>>, rule: Cow<'static, str>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault {
                path: path.to_string(),
                value: value.map(shown),
                rule,
            });
        } else {
            self.more_faults += 1;
        }
    }
}

fn shown(value: &Json<'_>) -> String {
    match value {
        Json::Bool(value) => value.to_string(),
        Json::Integer(value) => value.to_string(),
        Json::Float(value) => format!("{value:?}"),
        Json::String(text) => format!("\"{}\"", Cut(text)),
        Json::Null | Json::Array(_) | Json::Object(_) => value.kind().to_owned(),
    }
}

/// Shows at most [`SHOWN_MAX`] characters, with control characters escaped.
struct Cut<'a>(&'a str);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN_MAX) {
            Some((end, _)) => write!(f, "{}…", self.0[..end].escape_debug()),
            None => write!(f, "{}", self.0.escape_debug()),
        }
    }
}
