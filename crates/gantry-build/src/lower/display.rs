//! What steps are called.

use gantry_dockerfile::ast::Escape;
use gantry_dockerfile::{Instruction, InstructionKind, Variables};
use gantry_model::Platform;

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
        let stage = self
            .stage
            .as_ref()
            .map(|stage| format!("{stage} "))
            .unwrap_or_default();
        format!("[{stage}{:width$}/{}] {text}", self.number, self.total)
    }
}

/// A platform, and what a stage of it is building for, if that is another one:
/// `linux/amd64->arm64`.
pub(super) fn platform(platform: &Platform, made_for: Option<&Platform>) -> String {
    match made_for {
        Some(other) if other.os != platform.os => format!("{platform}->{other}"),
        Some(other) if other.architecture != platform.architecture => {
            let variant = other.variant.iter().map(|variant| format!("/{variant}"));
            format!(
                "{platform}->{}{}",
                other.architecture,
                variant.collect::<String>()
            )
        }
        _ => platform.to_string(),
    }
}

/// Whether an instruction counts as a step.
pub(super) fn is_step(instruction: &Instruction) -> bool {
    matches!(
        instruction.kind,
        InstructionKind::Run(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Add(_)
            | InstructionKind::Workdir(_)
    )
}

/// The text of an instruction with the variables replaced that are set.
pub(super) fn text(
    instruction: &Instruction,
    variables: &dyn Variables,
    escape: Escape,
    trigger: bool,
) -> String {
    let text = gantry_dockerfile::expand::step_text(instruction, variables, escape);
    if trigger {
        format!("ONBUILD {text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Numbering, platform};

    #[test]
    fn platforms_as_buildx_shows_them() {
        let shown = |own: &str, made_for: Option<&str>| {
            let made_for = made_for.map(|text| text.parse().unwrap());
            platform(&own.parse().unwrap(), made_for.as_ref())
        };
        assert_eq!(shown("linux/amd64", None), "linux/amd64");
        assert_eq!(shown("linux/amd64", Some("linux/amd64")), "linux/amd64");
        assert_eq!(
            shown("linux/amd64", Some("linux/arm/v7")),
            "linux/amd64->arm/v7"
        );
        assert_eq!(
            shown("linux/amd64", Some("windows/amd64")),
            "linux/amd64->windows/amd64"
        );
    }

    #[test]
    fn numbers_are_aligned() {
        let mut one = Numbering {
            stage: None,
            number: 0,
            total: 16,
        };
        assert_eq!(one.next("FROM x"), "[ 1/16] FROM x");
        let mut named = Numbering {
            stage: Some("build".into()),
            number: 1,
            total: 4,
        };
        assert_eq!(named.next("RUN make"), "[build 2/4] RUN make");
    }
}
