//! The one that speaks: data goes to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};

use crate::cli::usage::UsageError;
use crate::failure::{Failure, Report, written};

/// What is known of the caller's terminal, and the voice of the program.
#[derive(Debug, Clone)]
pub(crate) struct Ui {
    program: String,
    color: bool,
    debug: bool,
}

impl Ui {
    /// A voice that calls itself `program`.
    pub(crate) fn new(program: &str) -> Self {
        let color = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            && io::stderr().is_terminal();
        Self {
            program: program.to_owned(),
            color,
            debug: false,
        }
    }

    /// Whether to say more of failures.
    pub(crate) fn set_debug(&mut self, debug: bool) {
        self.debug = debug;
    }

    /// Whether more is said of failures.
    pub(crate) fn debug(&self) -> bool {
        self.debug
    }

    /// The name the program was called by, as messages show it.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Whether stderr understands colours and may show them.
    pub(crate) fn color(&self) -> bool {
        self.color
    }

    /// Data: written as it is.
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Data: one line.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        let mut line = String::with_capacity(text.len() + 1);
        line.push_str(text);
        line.push('\n');
        self.bytes(line.as_bytes())
    }

    /// Data: bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(written)
    }

    /// Progress, status and warnings: one line. Nobody listening is no failure.
    pub(crate) fn status(&self, text: &str) {
        let line = format!("{text}\n");
        drop(io::stderr().lock().write_all(line.as_bytes()));
    }

    /// Something that works, though not as people may expect.
    pub(crate) fn warning(&self, text: &str) {
        self.status(&format!("WARNING: {text}"));
    }

    /// Tells of a failure; those that were told already stay silent.
    pub(crate) fn failure(&self, failure: &Failure) {
        match failure {
            Failure::Usage(usage) => self.status(&self.usage_text(usage)),
            Failure::Fault(report) => self.status(&self.report_text(report)),
            Failure::Said(_) | Failure::BrokenPipe => {}
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn report_text(&self, report: &Report) -> String {
        let prefix = self.paint("1;31", &format!("{}:", self.program));
        let mut text = format!("{prefix} {}", report.message);
        for cause in &report.causes {
            text.push_str("\n  caused by: ");
            text.push_str(&cause.replace('\n', "\n    "));
        }
        if self.debug {
            text.push_str(&format!("\n  kind: {:?}", report.kind));
        }
        for hint in &report.hints {
            text.push_str(&format!("\n{} {hint}", self.paint("36", "hint:")));
        }
        text
    }

    fn usage_text(&self, usage: &UsageError) -> String {
        let mut text = if usage.prefixed {
            format!(
                "{} {}",
                self.paint("1;31", &format!("{}:", self.program)),
                usage.message
            )
        } else {
            usage.message.clone()
        };
        if let Some(suggestion) = &usage.suggestion {
            text.push_str(&format!("\n\nDid you mean {suggestion}?"));
        }
        if let Some(line) = &usage.usage {
            text.push_str(&format!("\n\nUsage:  {} {line}", self.program));
        }
        let path = [self.program.as_str(), usage.command.as_str()].join(" ");
        let path = path.trim_end();
        text.push_str(&format!("\n\nRun '{path} --help' for more information"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::FaultKind;

    fn ui() -> Ui {
        Ui {
            program: "gantry".into(),
            color: false,
            debug: false,
        }
    }

    #[test]
    fn reports_have_causes_and_hints() {
        let report = Report {
            message: "cannot publish 127.0.0.1:8080".into(),
            causes: vec!["address already in use".into()],
            hints: vec!["choose another host port".into()],
            kind: FaultKind::Conflict,
            code: None,
        };
        insta::assert_snapshot!(ui().report_text(&report), @r"
        gantry: cannot publish 127.0.0.1:8080
          caused by: address already in use
        hint: choose another host port
        ");
    }

    #[test]
    fn usage_errors_show_the_way() {
        let usage = UsageError {
            message: "unknown flag: --foo".into(),
            suggestion: Some("'--format'".into()),
            usage: Some("ps [OPTIONS]".into()),
            command: "ps".into(),
            prefixed: false,
            code: 125,
        };
        insta::assert_snapshot!(ui().usage_text(&usage), @r"
        unknown flag: --foo

        Did you mean '--format'?

        Usage:  gantry ps [OPTIONS]

        Run 'gantry ps --help' for more information
        ");
    }
}
