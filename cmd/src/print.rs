//! Text for people and other programs, on the two standard streams.
//!
//! Only subcommands that print and end use it; the daemon logs.

use crate::exit::EX_IOERR;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Writes a text to stdout; the answer is `code`, or `EX_IOERR` where it could not be written.
pub(crate) fn to_stdout(text: &str, code: ExitCode) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => code,
        // Nobody reads on, which is no fault.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(_) => ExitCode::from(EX_IOERR),
    }
}

/// Writes a line to stderr.
pub(crate) fn to_stderr(line: &str) {
    // Where stderr is closed, the exit code alone has to say it.
    match writeln!(io::stderr(), "{line}") {
        Ok(()) | Err(_) => {}
    }
}
