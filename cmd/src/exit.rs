//! The exit codes of all subcommands: the numbers and names of sysexits.h where it has one.
//!
//! README, `--help` and the manual page list them from here.

/// Exit code where all was done, or nobody reads on.
pub(crate) const EX_OK: u8 = 0;
/// Exit code where something was found wrong or different, or what was asked for does not exist, or a second signal did not wait for the end.
pub(crate) const FAILURE: u8 = 1;
/// Exit code for a command line that cannot be read.
pub(crate) const EX_USAGE: u8 = 64;
/// Exit code for a message that breaks a rule, or an event log that is damaged.
pub(crate) const EX_DATAERR: u8 = 65;
/// Exit code for a file that cannot be read.
pub(crate) const EX_NOINPUT: u8 = 66;
/// Exit code where something outside of the process is missing.
pub(crate) const EX_UNAVAILABLE: u8 = 69;
/// Exit code of a process one of whose parts has died.
pub(crate) const EX_SOFTWARE: u8 = 70;
/// Exit code where what is printed, or a file, cannot be written.
pub(crate) const EX_IOERR: u8 = 74;
/// Exit code where no answer came in time and the same command may get one later.
pub(crate) const EX_TEMPFAIL: u8 = 75;
/// Exit code of a process whose configuration is refused.
pub(crate) const EX_CONFIG: u8 = 78;

/// One code: number, name, meaning.
type Code = (u8, &'static str, &'static str);

/// Every code that is used.
pub(crate) const CODES: &[Code] = &[
    (EX_OK, "EX_OK", "done, or stopped as told"),
    (
        FAILURE,
        "",
        "something is wrong, and was said (`audit`, `check`, `dev --demo`), is not there (`get`, `why`), or is decided differently (`replay`); or a second signal",
    ),
    (EX_USAGE, "EX_USAGE", "the command line is wrong"),
    (
        EX_DATAERR,
        "EX_DATAERR",
        "the message is refused, or an event log is damaged",
    ),
    (EX_NOINPUT, "EX_NOINPUT", "a file cannot be read"),
    (
        EX_UNAVAILABLE,
        "EX_UNAVAILABLE",
        "something outside is missing: Redis, a port, credentials, redis-server",
    ),
    (EX_SOFTWARE, "EX_SOFTWARE", "a part of the process has died"),
    (
        EX_IOERR,
        "EX_IOERR",
        "standard output, or a file, cannot be written, such as to a full disk",
    ),
    (
        EX_TEMPFAIL,
        "EX_TEMPFAIL",
        "no answer in time: the same command may be tried again",
    ),
    (EX_CONFIG, "EX_CONFIG", "the configuration is refused"),
];

/// Writes the section on exit codes for `--help`.
pub(crate) fn help() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for (code, name, meaning) in CODES {
        text.push_str(&format!("  {code:<3}{name:<16}{}\n", meaning.replace('`', "")));
    }
    text
}
