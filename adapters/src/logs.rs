//! Log lines: one event a line on stderr, as text for people or as JSON for machines.
//!
//! It owns the form of a line and its bound, and that no content can forge a second line. It never decides what
//! is logged: callers keep bodies, env values and secrets out. `main` calls [`init`] once.

mod line;

use std::io::{IsTerminal as _, Write as _};
use std::str::FromStr;

use env_logger::Target;
use log::{LevelFilter, SetLoggerError};

use crate::clock::Clock;

/// Longest line in bytes, newline not counted; longer values are cut, and the line says so.
pub const LINE_MAX: usize = 8 * 1024;

/// Dependencies that talk too much below WARN; each name stands for all targets that begin with it.
///
/// A target that `LOG_LEVEL` names itself is left at the level given there.
const QUIET: &[&str] = &[
    "h2",
    "hyper",
    "kube",
    "redis",
    "rustls",
    "tiny_http",
    "tower",
    "ureq",
];

/// Dependencies that are not heard at all: this one tells each failed request as an error without saying which, beside our own
/// line that does.
const MUTE: &[&str] = &["kube_client::client::builder"];

/// Names the form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `time LEVEL message key=value …`, coloured on a terminal.
    Text,
    /// An object with `ts`, `level`, `msg`, `target` and then the key-values in their order.
    Json,
}

impl Format {
    /// Picks text where stderr is a terminal, else JSON.
    pub fn detected() -> Self {
        match std::io::stderr().is_terminal() {
            true => Self::Text,
            false => Self::Json,
        }
    }
}

/// Holds what `LOG_LEVEL` says: one level for all, and others for single targets.
///
/// Reads `level` and `target=level`, comma separated, as env_logger does. A target without a level is refused,
/// for it could be a misspelt level that silences everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    all: LevelFilter,
    targets: Vec<(String, LevelFilter)>,
}

/// Says that a text is no list of levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be error, warn, info, debug or trace, or a list such as info,kube=debug")]
pub struct Error;

impl FromStr for Levels {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut levels = Self {
            all: LevelFilter::Info,
            targets: Vec::new(),
        };
        let mut all = None;
        for directive in text.split(',').map(str::trim) {
            let (target, level) = match directive.split_once('=') {
                Some((target, level)) => (Some(target.trim()), level.trim()),
                None => (None, directive),
            };
            let level = level.parse().map_err(|_| Error)?;
            match target {
                None if all.replace(level).is_some() => return Err(Error),
                None => levels.all = level,
                Some(target) if is_target(target) => levels.targets.push((target.to_owned(), level)),
                Some(_) => return Err(Error),
            }
        }
        Ok(levels)
    }
}

impl Levels {
    fn apply(&self, logger: &mut env_logger::Builder) {
        logger.filter_level(self.all);
        for quiet in QUIET {
            logger.filter_module(quiet, self.all.min(LevelFilter::Warn));
        }
        for mute in MUTE {
            if !self.targets.iter().any(|(target, _)| mute.starts_with(target)) {
                logger.filter_module(mute, LevelFilter::Off);
            }
        }
        for (target, level) in &self.targets {
            logger.filter_module(target, *level);
        }
    }
}

/// Tells what can be the beginning of a target: a Rust path.
fn is_target(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
}

/// Installs the logger of the process, which writes to stderr.
///
/// # Errors
/// When a logger is installed already.
pub fn init(levels: &Levels, format: Format) -> Result<(), SetLoggerError> {
    builder(levels, format).target(Target::Stderr).try_init()
}

fn builder(levels: &Levels, format: Format) -> env_logger::Builder {
    let mut logger = env_logger::Builder::new();
    levels.apply(&mut logger);
    logger.format(move |out, record| {
        let now = Clock.now_ms();
        match format {
            Format::Json => writeln!(out, "{}", line::json(now, record)),
            Format::Text => {
                let style = out.default_level_style(record.level());
                let text = line::Text::new(now, record);
                writeln!(
                    out,
                    "{} {style}{:5}{style:#} {}",
                    text.time, text.level, text.rest
                )
            }
        }
    });
    logger
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use log::{Level, Log, Record};

    use super::*;

    /// Collects what a logger writes.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(levels: &str, format: Format, records: &[Record<'_>]) -> String {
        let sink = Sink::default();
        let logger = builder(&levels.parse().unwrap(), format)
            .target(Target::Pipe(Box::new(sink.clone())))
            .build();
        for record in records {
            logger.log(record);
        }
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn passes(levels: &str, target: &str, level: Level) -> bool {
        let record = Record::builder()
            .target(target)
            .level(level)
            .args(format_args!("x"))
            .build();
        !written(levels, Format::Json, &[record]).is_empty()
    }

    #[test]
    fn dependencies_are_quiet_until_they_are_named() {
        assert!(passes("info", "adapters::driver", Level::Info));
        assert!(!passes("info", "adapters::driver", Level::Debug));
        assert!(!passes("debug", "kube_client::client", Level::Info));
        assert!(passes("debug", "kube_client::client", Level::Warn));
        assert!(!passes("error", "kube_client::client", Level::Warn));
        assert!(passes("info,kube=debug", "kube_client::client", Level::Debug));
        assert!(passes(
            "info, kube_client=trace",
            "kube_client::client",
            Level::Trace
        ));
        assert!(!passes("info,kube=off", "kube_client::client", Level::Error));
    }

    #[test]
    fn a_dependency_that_repeats_our_own_errors_is_heard_only_where_it_is_named() {
        let target = "kube_client::client::builder";
        assert!(!passes("debug", target, Level::Error));
        assert!(passes("info,kube=debug", target, Level::Error));
    }

    #[test]
    fn a_list_that_says_nothing_clear_is_refused() {
        for text in [
            "",
            "inof",
            "info,",
            "info,debug",
            "kube",
            "=info",
            "kube=loud",
            "info;kube=warn",
        ] {
            assert_eq!(text.parse::<Levels>(), Err(Error), "{text}");
        }
        assert_eq!("WARN".parse::<Levels>().unwrap().all, LevelFilter::Warn);
        assert_eq!("kube=warn".parse::<Levels>().unwrap().all, LevelFilter::Info);
    }

    #[test]
    fn a_pipe_gets_whole_lines_without_colour() {
        let record = Record::builder()
            .target("adapters")
            .level(Level::Info)
            .args(format_args!("started"))
            .build();
        let text = written("info", Format::Text, std::slice::from_ref(&record));
        assert_eq!(
            text.find(" INFO  started\n"),
            Some("2026-11-24T06:41:31.123Z".len()),
            "{text:?}"
        );
        assert_eq!(text.matches('\n').count(), 1);
        let json = written("info", Format::Json, &[record.clone(), record]);
        assert_eq!(json.matches('\n').count(), 2);
    }
}
