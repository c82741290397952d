//! The forms in which a command prints.

use std::io::{self, Write as _};

use serde::Serialize;

/// A form.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(super) enum Format {
    /// Columns.
    Table,
    /// More columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// How to print.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Output {
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(super) output: Format,
    /// Leaves out the line of column names.
    #[arg(long)]
    pub(super) no_headers: bool,
}

/// Why nothing was printed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Nobody reads on.
    #[error("closed")]
    Closed,
    /// A value has no JSON form.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A value has no YAML form.
    #[error("{0}")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

impl From<io::Error> for Error {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl Output {
    /// Tells whether rows in columns are asked for.
    pub(super) const fn is_table(self) -> bool {
        matches!(self.output, Format::Table | Format::Wide)
    }

    /// Tells whether all columns are asked for.
    pub(super) fn is_wide(self) -> bool {
        self.output == Format::Wide
    }
}

/// Prints text.
///
/// # Errors
/// Nobody reads on.
pub(super) fn text(text: &str) -> Result<(), Error> {
    bytes(text.as_bytes())
}

/// Prints bytes as they are.
///
/// # Errors
/// Nobody reads on.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    Ok(stdout.flush()?)
}

/// Prints a whole value: JSON for people to read, or YAML.
///
/// # Errors
/// Nobody reads on, or the value has no such form.
pub(super) fn value<T: Serialize>(format: Format, value: &T) -> Result<(), Error> {
    match format {
        Format::Yaml => text(&serde_saphyr::to_string(value)?),
        Format::Table | Format::Wide | Format::Json => {
            let mut json = serde_json::to_string_pretty(value)?;
            json.push('\n');
            text(&json)
        }
    }
}

/// Prints one of several values that follow each other: a line of JSON, or a document of YAML.
///
/// # Errors
/// As [`value`].
pub(super) fn one_of_many<T: Serialize>(format: Format, value: &T) -> Result<(), Error> {
    match format {
        Format::Yaml => text(&format!("---\n{}", serde_saphyr::to_string(value)?)),
        Format::Table | Format::Wide | Format::Json => {
            let mut json = serde_json::to_string(value)?;
            json.push('\n');
            text(&json)
        }
    }
}
