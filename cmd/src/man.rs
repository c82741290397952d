//! `job-worker man`: the manual page, with those of the subcommands behind it.

use std::io;
use std::process::ExitCode;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::{config, exit, print};

/// Prints the manual page, in roff; `job-worker man | man -l -` shows it.
pub(crate) fn man(command: clap::Command) -> ExitCode {
    match page(command) {
        Ok(page) => print::to_stdout(&page, ExitCode::SUCCESS),
        Err(error) => {
            print::to_stderr(&format!("the manual page could not be written: {error}"));
            ExitCode::from(exit::EX_SOFTWARE)
        }
    }
}

fn page(command: clap::Command) -> io::Result<String> {
    // Exit codes and environment get sections of their own.
    let mut command = command.after_long_help("");
    command.build();
    let subcommands: Vec<clap::Command> = command
        .get_subcommands()
        .filter(|subcommand| subcommand.get_name() != "help")
        .cloned()
        .collect();
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    exit_status().to_writer(&mut page)?;
    environment().to_writer(&mut page)?;
    for subcommand in subcommands {
        Man::new(subcommand).render(&mut page)?;
    }
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn exit_status() -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["EXIT STATUS"]);
    for (code, name, meaning) in exit::CODES {
        section.control("TP", []);
        section.text([bold(format!("{code} {name}").trim_end())]);
        section.text([roman(meaning.replace('`', ""))]);
    }
    section
}

/// The section of `--help` on the environment: a name, and under it, deeper, what it is for.
fn environment() -> Roff {
    let mut section = Roff::new();
    section.control("SH", ["ENVIRONMENT"]);
    for line in config::help().lines().skip(1) {
        let text = line.trim_start();
        if line.len() - text.len() == 2 {
            section.control("TP", []);
            section.text([bold(text)]);
        } else {
            section.text([roman(text)]);
        }
    }
    section
}
