//! Writes the completion of a shell.

use clap::Args;
use clap_complete::Shell;

use crate::cli::tree;
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionArgs {
    /// Leave out what the commands and flags do
    #[arg(long)]
    pub(crate) no_descriptions: bool,
    /// The shell.
    pub(crate) operands: Vec<String>,
}

pub(crate) fn run(context: &Context, args: CompletionArgs) -> Outcome {
    let shell = match args.operands.first().map(String::as_str) {
        Some("bash") => Shell::Bash,
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        Some("powershell") => Shell::PowerShell,
        other => {
            return Err(Failure::invalid(format!(
                "unknown shell {:?}, the shells are bash, zsh, fish and powershell",
                other.unwrap_or_default()
            )));
        }
    };
    let mut commands = tree::whole();
    if args.no_descriptions {
        commands = undescribed(commands);
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut commands, context.ui.program(), &mut script);
    context.ui.bytes(&script)?;
    Ok(Exit::SUCCESS)
}

/// The same commands and flags without their sentences.
fn undescribed(command: clap::Command) -> clap::Command {
    command
        .about(None::<&str>)
        .mut_args(|arg| arg.help(None::<&str>))
        .mut_subcommands(undescribed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_can_be_left_out() {
        let script = |mut commands: clap::Command| {
            let mut script = Vec::new();
            clap_complete::generate(Shell::Fish, &mut commands, "gantry", &mut script);
            String::from_utf8(script).unwrap()
        };
        let (long, short) = (script(tree::whole()), script(undescribed(tree::whole())));
        let sentence = "Show only container IDs";
        assert!(long.contains(sentence) && !short.contains(sentence));
        assert!(short.contains("no-trunc"));
    }
}
