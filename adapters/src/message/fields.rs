//! Typed readers of one JSON object. Each reports its fault and goes on, so that one fault never hides another.
//!
//! A reader of a required field answers a placeholder after it has reported a fault; a message with faults is refused, so no
//! placeholder leaves this module's callers.

use std::ops::RangeInclusive;

use super::fault::{Path, Report};
use super::json::{Json, Member};
use super::rules::Rule;

/// The members of one object, and where it is.
pub(super) struct Fields<'a> {
    members: &'a [Member<'a>],
    path: Path<'a>,
    repeated: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Looks over the members: warns of those whose names are not `known`, faults known ones that are given twice.
    pub(super) fn open(
        members: &'a [Member<'a>],
        path: Path<'a>,
        known: &[&'static str],
        report: &mut Report,
    ) -> Self {
        let mut seen = Vec::with_capacity(known.len());
        let mut repeated = Vec::new();
        for (name, _) in members {
            let Some(name) = known.iter().find(|known| *known == name) else {
                report.unknown(&Path::Field(&path, name));
                continue;
            };
            if !seen.contains(name) {
                seen.push(*name);
            } else if !repeated.contains(name) {
                repeated.push(*name);
                report.fault(
                    &Path::Field(&path, name),
                    "must be given once, is there more than once",
                );
            }
        }
        Self {
            members,
            path,
            repeated,
        }
    }

    /// Tells whether the field is there more than once.
    pub(super) fn is_repeated(&self, name: &str) -> bool {
        self.repeated.contains(&name)
    }

    /// The value, the first one where there are more; `None` also where it counts as absent ([`Json::is_empty`]).
    pub(super) fn value(&self, name: &str) -> Option<&'a Json<'a>> {
        self.given(name).filter(|value| !value.is_empty())
    }

    /// Adds a fault at a field, without its value.
    pub(super) fn fault(&self, name: &str, rule: String, report: &mut Report) {
        report.fault(&Path::Field(&self.path, name), rule);
    }

    /// Adds a fault at a field, with its value.
    pub(super) fn fault_with(&self, name: &str, value: &Json<'_>, rule: String, report: &mut Report) {
        report.fault_with(&Path::Field(&self.path, name), value, rule);
    }

    /// Reads an optional string.
    pub(super) fn string(&self, name: &str, rule: &Rule, report: &mut Report) -> Option<String> {
        string(self.value(name)?, &Path::Field(&self.path, name), rule, report)
    }

    /// Reads a required string.
    pub(super) fn required_string(&self, name: &str, rule: &Rule, report: &mut Report) -> String {
        self.require(name, report);
        self.string(name, rule, report).unwrap_or_default()
    }

    /// Reads an optional integer.
    pub(super) fn integer(
        &self,
        name: &str,
        range: RangeInclusive<u32>,
        rule: &'static str,
        report: &mut Report,
    ) -> Option<u32> {
        let value = self.value(name)?;
        let integer = if let Json::Integer(value) = value {
            u32::try_from(*value).ok().filter(|value| range.contains(value))
        } else {
            None
        };
        if integer.is_none() {
            report.fault_with(&Path::Field(&self.path, name), value, rule);
        }
        integer
    }

    /// Reads an optional boolean.
    pub(super) fn boolean(&self, name: &str, report: &mut Report) -> Option<bool> {
        let value = self.value(name)?;
        if let Json::Bool(value) = value {
            return Some(*value);
        }
        report.fault_with(&Path::Field(&self.path, name), value, "must be true or false");
        None
    }

    /// Opens an optional object.
    pub(super) fn object(
        &'a self,
        name: &'a str,
        known: &[&'static str],
        report: &mut Report,
    ) -> Option<Fields<'a>> {
        object(self.value(name)?, Path::Field(&self.path, name), known, report)
    }

    /// Opens a required object. An empty one is opened too, so that each of its own required fields is named.
    pub(super) fn required_object(
        &'a self,
        name: &'a str,
        known: &[&'static str],
        report: &mut Report,
    ) -> Option<Fields<'a>> {
        if let Some(Json::Object(members)) = self.given(name) {
            return Some(Fields::open(
                members,
                Path::Field(&self.path, name),
                known,
                report,
            ));
        }
        self.require(name, report);
        self.object(name, known, report)
    }

    /// Reads an optional array item by item; absent is empty.
    pub(super) fn array<T>(
        &self,
        name: &str,
        report: &mut Report,
        mut item: impl FnMut(&Json<'_>, &Path<'_>, &mut Report) -> Option<T>,
    ) -> Vec<T> {
        let path = Path::Field(&self.path, name);
        match self.value(name) {
            None => Vec::new(),
            Some(Json::Array(items)) => items
                .iter()
                .enumerate()
                .filter_map(|(index, value)| item(value, &Path::Item(&path, index), report))
                .collect(),
            Some(value) => {
                report.fault(&path, format!("must be an array, is {}", value.kind()));
                Vec::new()
            }
        }
    }

    /// Faults a required field that is absent.
    pub(super) fn require(&self, name: &str, report: &mut Report) {
        if self.value(name).is_none() {
            report.fault(&Path::Field(&self.path, name), "is required");
        }
    }

    fn given(&self, name: &str) -> Option<&'a Json<'a>> {
        self.members
            .iter()
            .find(|(member, _)| member == name)
            .map(|(_, value)| value)
    }
}

/// Reads a string by its rule.
pub(super) fn string(value: &Json<'_>, path: &Path<'_>, rule: &Rule, report: &mut Report) -> Option<String> {
    let Json::String(text) = value else {
        report.fault(path, format!("must be a string, is {}", value.kind()));
        return None;
    };
    if (rule.holds)(text) {
        return Some(text.clone().into_owned());
    }
    if rule.secret {
        report.fault(path, rule.text);
    } else {
        report.fault_with(path, value, rule.text);
    }
    None
}

/// Opens an object.
pub(super) fn object<'a>(
    value: &'a Json<'a>,
    path: Path<'a>,
    known: &[&'static str],
    report: &mut Report,
) -> Option<Fields<'a>> {
    if let Json::Object(members) = value {
        return Some(Fields::open(members, path, known, report));
    }
    report.fault(&path, format!("must be an object, is {}", value.kind()));
    None
}
