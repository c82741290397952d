//! One thing that was looked at, and the two forms in which all of them are shown.

use std::fmt::{self, Display, Write as _};

use serde::Serialize;

/// How a finding is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Neither good nor bad.
    Info,
    /// The daemon works, and promises less.
    Warn,
    /// The daemon does not work.
    Fail,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Ok => "ok",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Fail => "fail",
        })
    }
}

/// What was looked at and found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    check: String,
    /// The judgement.
    pub(super) level: Level,
    /// What there is.
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    /// Notes what was found.
    pub(super) fn new(check: impl Into<String>, level: Level, found: impl Display) -> Self {
        Self {
            check: check.into(),
            level,
            // Foreign errors may have several lines.
            found: found.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
            advice: None,
        }
    }

    /// Notes what keeps the daemon from its work, and what to do.
    pub(super) fn fail(check: impl Into<String>, found: impl Display, advice: impl Into<String>) -> Self {
        Self::new(check, Level::Fail, found).advise(advice)
    }

    /// Adds what to do.
    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// Shows findings to people: a line each, and under it what to do.
pub(super) fn table(findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.check.chars().count())
        .max()
        .unwrap_or_default();
    let mut table = String::new();
    for finding in findings {
        line(
            &mut table,
            format_args!(
                "{:<4}  {:<width$}  {}",
                finding.level, finding.check, finding.found
            ),
        );
        if let Some(advice) = &finding.advice {
            line(&mut table, format_args!("{:<4}  {:<width$}  → {advice}", "", ""));
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (fail, warn) = (count(Level::Fail), count(Level::Warn));
    line(
        &mut table,
        format_args!("\n{fail} fail, {warn} warn, {} looked at", findings.len()),
    );
    table
}

/// Shows findings to programs.
pub(super) fn json(findings: &[Finding]) -> String {
    let ok = findings.iter().all(|finding| finding.level != Level::Fail);
    let mut text = serde_json::json!({"ok": ok, "findings": findings}).to_string();
    text.push('\n');
    text
}

fn line(text: &mut String, line: fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes everything");
}
