//! `job-worker replay table`: the transition table of this program's engine.

use std::process::ExitCode;

use engine::describe;

use crate::print;

/// How to print it.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The rows and the matrix, or the diagram of the states.
    #[arg(long, value_enum, default_value_t = Format::Markdown)]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// Every row and the matrix.
    Markdown,
    /// The diagram of the states, as GitHub draws it.
    Mermaid,
    /// The diagram of the states, for Graphviz.
    Dot,
}

/// Prints it.
pub(super) fn table(arguments: &Arguments) -> ExitCode {
    let text = match arguments.format {
        Format::Markdown => describe::document(),
        Format::Mermaid => describe::mermaid(),
        Format::Dot => describe::dot(),
    };
    print::to_stdout(&text, ExitCode::SUCCESS)
}
