//! What steps are called.

use gantry_dockerfile::ast::{Escape, Run, RunProgram};
use gantry_dockerfile::{Instruction, InstructionKind, Variables};

/// The numbering of the steps of one stage.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbering {
    /// The stage's name where there are several.
    pub(super) stage: Option<String>,
    /// Steps so far.
    pub(super) number: usize,
    /// Steps in all.
    pub(super) total: usize,
}

impl Numbering {
    /// The name of the next step: `[build 2/4] RUN make`.
    pub(super) fn next(&mut self, text: &str) -> String {
        self.number += 1;
        let width = self.total.to_string().len();
        let stage = self.stage.as_ref().map(|stage| format!("{stage} ")).unwrap_or_default();
        format!("[{stage}{:width$}/{}] {text}", self.number, self.total)
    }
}

/// Whether an instruction counts as a step.
pub(super) fn is_step(instruction: &Instruction) -> bool {
    matches!(
        instruction.kind,
        InstructionKind::Run(_) | InstructionKind::Copy(_) | InstructionKind::Add(_) | InstructionKind::Workdir(_)
    )
}

/// The text of an instruction with the variables replaced that are set.
pub(super) fn text(instruction: &Instruction, variables: &dyn Variables, escape: Escape, trigger: bool) -> String {
    let shown = gantry_dockerfile::expand::process_display(&instruction.text, variables, escape);
    let prefix = if trigger { "ONBUILD " } else { "" };
    let suffix = match &instruction.kind {
        InstructionKind::Run(run) => heredoc_summary(run),
        _ => String::new(),
    };
    format!("{prefix}{shown}{suffix}")
}

/// ` (first line...)` for a script in a heredoc.
fn heredoc_summary(run: &Run) -> String {
    let [heredoc] = run.heredocs.as_slice() else { return String::new() };
    let is_script = match run.program() {
        RunProgram::Script { .. } => true,
        RunProgram::Shell(script) => script == heredoc.body(),
        RunProgram::Exec(_) => false,
    };
    if !is_script {
        return String::new();
    }
    let mut lines = heredoc.content.trim().lines();
    let first = lines.next().unwrap_or_default();
    let dots = if lines.next().is_some() { "..." } else { "" };
    format!(" ({first}{dots})")
}

#[cfg(test)]
mod tests {
    use super::Numbering;

    #[test]
    fn numbers_are_aligned() {
        let mut one = Numbering { stage: None, number: 0, total: 16 };
        assert_eq!(one.next("FROM x"), "[ 1/16] FROM x");
        let mut named = Numbering { stage: Some("build".into()), number: 1, total: 4 };
        assert_eq!(named.next("RUN make"), "[build 2/4] RUN make");
    }
}
