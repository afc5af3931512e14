//! Writes the completion of a shell.

use clap::Args;
use clap_complete::Shell;

use crate::cli::tree;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionArgs {
    /// The shell.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: CompletionArgs) -> Outcome {
    let shell = match args.operands.first().map(String::as_str) {
        Some("bash") => Shell::Bash,
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        other => {
            return Err(Failure::invalid(format!(
                "unknown shell {:?}, the shells are bash, zsh and fish",
                other.unwrap_or_default()
            )));
        }
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut tree::whole(), context.ui.program(), &mut script);
    context.ui.bytes(&script)?;
    Ok(Exit::SUCCESS)
}
