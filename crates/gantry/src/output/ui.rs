//! The one that speaks: data goes to stdout, everything else to stderr.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};

use crate::cli::usage::UsageError;
use crate::failure::{Failure, Report, written};

/// What is known of the caller's terminal, and the voice of the program.
#[derive(Debug, Clone)]
pub(crate) struct Ui {
    program: String,
    color: bool,
    debug: bool,
    /// Whether stdout and stderr are terminals: these obey what is written to them, and what is
    /// written came from images, containers, registries and file names.
    terminals: (bool, bool),
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
            terminals: (io::stdout().is_terminal(), io::stderr().is_terminal()),
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

    /// Data: text as it is; on a terminal without anything that it would obey.
    pub(crate) fn data(&self, text: &str) -> Result<(), Failure> {
        match self.terminals.0 {
            true => self.bytes(visible(text).as_bytes()),
            false => self.bytes(text.as_bytes()),
        }
    }

    /// Data: one line.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        let mut line = String::with_capacity(text.len() + 1);
        line.push_str(text);
        line.push('\n');
        self.data(&line)
    }

    /// Data that takes the place of what the terminal shows.
    pub(crate) fn frame(&self, text: &str, first: bool) -> Result<(), Failure> {
        let mut out = String::from(if first { "\x1b[2J\x1b[H" } else { "\x1b[H" });
        for line in visible(text).lines() {
            out.push_str(line);
            // Cleared behind the text, not before it: that flickers.
            out.push_str("\x1b[K\n");
        }
        out.push_str("\x1b[J");
        self.bytes(out.as_bytes())
    }

    /// Data: names that others chose, a line each, behind something of our own. A program gets
    /// their bytes; a person sees nothing that the terminal obeys, nor a line that is none.
    pub(crate) fn names<'n>(
        &self,
        lines: impl Iterator<Item = (&'n str, &'n OsStr)>,
    ) -> Result<(), Failure> {
        let mut out = Vec::new();
        for (own, name) in lines {
            out.extend(own.as_bytes());
            match self.terminals.0 {
                true => {
                    let name = name.to_string_lossy().replace('\n', "\\n");
                    out.extend(visible(&name).as_bytes());
                }
                false => out.extend(name.as_encoded_bytes()),
            }
            out.push(b'\n');
        }
        self.bytes(&out)
    }

    /// Data: bytes as they are. Not for what others wrote.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(written)
    }

    /// Progress, status and warnings: one line or several. Nobody listening is no failure.
    pub(crate) fn status(&self, text: &str) {
        self.say(&self.shown(text));
    }

    /// A line whose parts were made harmless, and painted.
    fn say(&self, text: &str) {
        let line = format!("{text}\n");
        drop(io::stderr().lock().write_all(line.as_bytes()));
    }

    /// What is shown of a text on stderr.
    fn shown<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.terminals.1 {
            true => visible(text),
            false => Cow::Borrowed(text),
        }
    }

    /// Whether a person reads both streams: only then is anything said that nobody asked for.
    pub(crate) fn is_conversation(&self) -> bool {
        self.terminals == (true, true)
    }

    /// Something that works, though not as people may expect.
    pub(crate) fn warning(&self, text: &str) {
        self.status(&format!("WARNING: {text}"));
    }

    /// What to do next, behind a warning.
    pub(crate) fn hint(&self, text: &str) {
        self.say(&format!(
            "{} {}",
            self.paint("36", "hint:"),
            self.shown(text)
        ));
    }

    /// Tells of a failure; those that were told already stay silent.
    pub(crate) fn failure(&self, failure: &Failure) {
        match failure {
            Failure::Usage(usage) => self.say(&self.usage_text(usage)),
            Failure::Fault(report) => self.say(&self.report_text(report)),
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
        let mut text = format!("{prefix} {}", self.shown(&report.message));
        for cause in &report.causes {
            text.push_str("\n  caused by: ");
            text.push_str(&self.shown(cause).replace('\n', "\n    "));
        }
        if self.debug {
            text.push_str(&format!("\n  kind: {:?}", report.kind));
        }
        for hint in &report.hints {
            let hint = self.shown(hint);
            text.push_str(&format!("\n{} {hint}", self.paint("36", "hint:")));
        }
        text
    }

    fn usage_text(&self, usage: &UsageError) -> String {
        let mut text = if usage.prefixed {
            format!(
                "{} {}",
                self.paint("1;31", &format!("{}:", self.program)),
                self.shown(&usage.message)
            )
        } else {
            self.shown(&usage.message).into_owned()
        };
        if let Some(suggestion) = &usage.suggestion {
            let suggestion = self.shown(suggestion);
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

/// The text with everything written out that a terminal obeys or that reorders what stands
/// beside it; line ends and tabs stay.
fn visible(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\r' => out.push_str("\\r"),
            c if obeyed(c) && u32::from(c) < 0x100 => {
                out.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            c if obeyed(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
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
            terminals: (false, false),
        }
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_written_to_one() {
        for (text, want) in [
            ("a\tb\n\u{e9}", "a\tb\n\u{e9}"),
            ("\x1b[2J\r\x07\x7f", "\\x1b[2J\\r\\x07\\x7f"),
            ("\u{9b}31m", "\\x9b31m"),
            ("a\u{202e}b\u{2066}", "a\\u202eb\\u2066"),
        ] {
            assert_eq!(visible(text), want);
        }
        let at_terminal = Ui {
            terminals: (true, true),
            ..ui()
        };
        let report = Report {
            message: "No such container: \x1b[31mx".into(),
            causes: vec!["\x1b]0;t\x07".into()],
            hints: vec!["rm \x1b[1m".into()],
            kind: FaultKind::NotFound,
            code: None,
        };
        assert!(!at_terminal.report_text(&report).contains(['\x1b', '\x07']));
        assert!(ui().report_text(&report).contains('\x1b'));
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
