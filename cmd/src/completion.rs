//! `job-worker completion`: what a shell needs to complete our command line.

use std::process::ExitCode;

use clap_complete::Shell;

use crate::print;

/// For which shell.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The shell.
    shell: Shell,
}

/// Prints the completions, to be sourced by the shell.
pub(crate) fn completion(arguments: &Arguments, mut command: clap::Command) -> ExitCode {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    print::to_stdout(&String::from_utf8_lossy(&script), ExitCode::SUCCESS)
}
