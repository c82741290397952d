//! The binary `job-worker`: command line, configuration, wiring.

mod audit;
mod check;
mod completion;
mod config;
#[cfg(feature = "dev")]
mod dev;
mod exit;
mod export;
mod man;
mod operate;
mod print;
mod probes;
#[cfg(test)]
mod readme;
mod render;
mod replay;
mod run;
mod schema;
mod submit;

use clap::{CommandFactory as _, FromArgMatches as _};
use std::process::ExitCode;

/// Takes task messages from a queue, runs each as a Kubernetes Job, and tells the client by webhook.
#[derive(clap::Parser)]
#[command(name = "job-worker", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Runs the daemon; also without a subcommand.
    Run,
    /// Checks a message and puts it on the queue.
    Submit(submit::Arguments),
    /// Looks at everything that the daemon needs, and says what to do about it.
    Check(check::Arguments),
    /// Compares what the store holds with the Jobs in the cluster, and lists what does not fit.
    Audit(audit::Arguments),
    /// Prints the Job that a message becomes, as YAML.
    Render(render::Arguments),
    /// Lists tasks.
    List(operate::list::Arguments),
    /// Shows one task.
    Get(operate::get::Arguments),
    /// Tells why a task is where it is: its whole life, and what it waits for.
    Why(operate::why::Arguments),
    /// Prints the event log.
    Events(operate::events::Arguments),
    /// Shows what was refused or given up, sends it again, or drops it.
    Dead(operate::dead::Arguments),
    /// Shows the callbacks that are owed, and sends callbacks again.
    Callbacks(operate::callbacks::Arguments),
    /// Shows what goes on, at a glance.
    Top(operate::top::Arguments),
    /// Ends tasks.
    Cancel(operate::cancel::Arguments),
    /// Takes no more messages from the queue; tasks go on.
    Pause(operate::pause::Arguments),
    /// Takes messages from the queue again.
    Resume(operate::pause::Arguments),
    /// Exports the event log.
    Log(export::Arguments),
    /// Runs exported event logs again, and compares every decision.
    Replay(replay::Arguments),
    /// Prints the JSON Schema of messages.
    Schema,
    /// Prints the completions of a shell.
    Completion(completion::Arguments),
    /// Prints the manual page.
    Man,
    /// Runs the daemon with all that it needs on this machine, without a cluster: for trying and for tests.
    #[cfg(feature = "dev")]
    Dev(dev::Arguments),
}

fn main() -> ExitCode {
    let matches = command().try_get_matches();
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return told(&error),
    };
    // Two TLS stacks share the process; without a default of its own each of them may panic.
    if rustls::crypto::ring::default_provider()
        .install_default()
        .is_err()
    {
        log::debug!("a TLS provider was installed before");
    }
    match arguments.command {
        None | Some(Command::Run) => run::run(),
        Some(Command::Submit(arguments)) => submit::submit(&arguments),
        Some(Command::Check(arguments)) => check::check(&arguments),
        Some(Command::Audit(arguments)) => audit::audit(&arguments),
        Some(Command::Render(arguments)) => render::render(&arguments),
        Some(Command::List(arguments)) => operate::list::list(&arguments),
        Some(Command::Get(arguments)) => operate::get::get(&arguments),
        Some(Command::Why(arguments)) => operate::why::why(&arguments),
        Some(Command::Events(arguments)) => operate::events::events(&arguments),
        Some(Command::Dead(arguments)) => operate::dead::dead(&arguments),
        Some(Command::Callbacks(arguments)) => operate::callbacks::callbacks(&arguments),
        Some(Command::Top(arguments)) => operate::top::top(&arguments),
        Some(Command::Cancel(arguments)) => operate::cancel::cancel(&arguments),
        Some(Command::Pause(arguments)) => operate::pause::pause(&arguments),
        Some(Command::Resume(arguments)) => operate::pause::resume(&arguments),
        Some(Command::Log(arguments)) => export::log(&arguments),
        Some(Command::Replay(arguments)) => replay::replay(&arguments),
        Some(Command::Schema) => schema::schema(),
        Some(Command::Completion(arguments)) => completion::completion(&arguments, command()),
        Some(Command::Man) => man::man(command()),
        #[cfg(feature = "dev")]
        Some(Command::Dev(arguments)) => dev::dev(&arguments),
    }
}

fn command() -> clap::Command {
    Arguments::command().after_long_help(format!("{}\n{}", exit::help(), config::help()))
}

/// Prints the help or version that was asked for, or what is wrong with the command line.
fn told(error: &clap::Error) -> ExitCode {
    match (error.print(), error.use_stderr()) {
        (_, true) => ExitCode::from(exit::EX_USAGE),
        (Err(error), false) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            ExitCode::from(exit::EX_IOERR)
        }
        (Ok(()) | Err(_), false) => ExitCode::SUCCESS,
    }
}
