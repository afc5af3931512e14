//! Options of an instruction: `--name=value` before its arguments.

use super::line::Text;
use crate::ast::Word;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

/// One option as written, quotes and escapes taken away.
#[derive(Debug)]
struct Flag {
    name: String,
    value: Option<Word>,
    span: Span,
    taken: bool,
}

/// Most complaints about the options of one instruction.
pub(crate) const MOST_ERRORS: usize = 20;

/// The options of one instruction.
#[derive(Debug)]
pub(crate) struct Flags {
    instruction: &'static str,
    flags: Vec<Flag>,
    errors: Vec<Diagnostic>,
}

/// Splits the options off the front; the rest are the arguments.
pub(crate) fn split_flags<'a>(text: Text<'a>, instruction: &'static str) -> (Flags, Text<'a>) {
    let mut flags = Flags {
        instruction,
        flags: Vec::new(),
        errors: Vec::new(),
    };
    let mut rest = text;
    loop {
        let whole = rest.as_str();
        let left = whole.trim_start();
        rest = rest.from(whole.len() - left.len());
        if !left.starts_with("--") {
            return (flags, rest.trim());
        }
        let (value, length) = unquoted_word(left);
        let written = rest.part(0..length);
        rest = rest.from(length);
        if value == "--" {
            return (flags, rest.trim());
        }
        flags.flags.push(Flag::new(&value, written));
    }
}

/// The first word with quotes and escapes taken away, and its length as written. The escape
/// character is `\` here whatever the file says.
fn unquoted_word(text: &str) -> (String, usize) {
    let mut value = String::new();
    let mut quote = None;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match (letter, quote) {
            ('\\', _) => value.extend(letters.next().map(|(_, escaped)| escaped)),
            (letter, Some(open)) if letter == open => quote = None,
            ('"' | '\'', None) => quote = Some(letter),
            (letter, None) if letter.is_whitespace() => return (value, at),
            (letter, _) => value.push(letter),
        }
    }
    (value, text.len())
}

impl Flag {
    fn new(value: &str, written: Text<'_>) -> Self {
        let body = value.strip_prefix("--").unwrap_or(value);
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        let value_at = written.as_str().find('=').map_or(0, |at| at + 1);
        Self {
            name: name.to_owned(),
            value: value.map(|value| Word::new(value, written.from(value_at).span())),
            span: written.span(),
            taken: false,
        }
    }
}

impl Flags {
    /// The options themselves, none left behind.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            instruction: self.instruction,
            flags: std::mem::take(&mut self.flags),
            errors: std::mem::take(&mut self.errors),
        }
    }

    /// The value of an option that may be given once.
    pub(crate) fn string(&mut self, name: &'static str) -> Option<Word> {
        let mut found = self.strings_of(name).into_iter();
        let (first, _) = found.next()?;
        self.errors
            .extend(found.map(|(_, span)| duplicate(name, span)));
        Some(first)
    }

    /// The values of an option that may be given many times.
    pub(crate) fn strings(&mut self, name: &'static str) -> Vec<Word> {
        self.strings_of(name)
            .into_iter()
            .map(|(word, _)| word)
            .collect()
    }

    fn strings_of(&mut self, name: &'static str) -> Vec<(Word, Span)> {
        let mut values = Vec::new();
        for flag in self.flags.iter_mut().filter(|flag| flag.name == name) {
            flag.taken = true;
            match flag.value.take() {
                Some(value) => values.push((value, flag.span)),
                None => complain(
                    &mut self.errors,
                    missing_value(name, flag.span).with_hint(format!("write --{name}=<value>")),
                ),
            }
        }
        values
    }

    /// An option that is on or off.
    pub(crate) fn switch(&mut self, name: &'static str) -> Option<bool> {
        let mut result = None;
        for flag in self.flags.iter_mut().filter(|flag| flag.name == name) {
            flag.taken = true;
            let value = flag
                .value
                .as_ref()
                .map(|value| value.value.to_ascii_lowercase());
            match value.as_deref() {
                None | Some("true" | "false") => {
                    if result.replace(value.as_deref() != Some("false")).is_some() {
                        complain(&mut self.errors, duplicate(name, flag.span));
                    }
                }
                Some("") => complain(&mut self.errors, missing_value(name, flag.span)),
                Some(other) => {
                    let message =
                        format!("expecting boolean value for flag --{name}, not: {other}");
                    complain(
                        &mut self.errors,
                        Diagnostic::error(Code::Flag, message, flag.span),
                    );
                }
            }
        }
        result
    }

    /// Ends the reading: what was asked for is known (`known`), everything else is an error.
    pub(crate) fn finish(mut self, known: &[&str]) -> Result<(), Vec<Diagnostic>> {
        for flag in self
            .flags
            .iter()
            .filter(|flag| !flag.taken)
            .take(MOST_ERRORS)
        {
            let mut error = Diagnostic::error(
                Code::Flag,
                format!("unknown flag: --{}", flag.name),
                flag.span,
            );
            error = error.suggesting_flag(&flag.name, known);
            let note = if known.is_empty() {
                format!("{} takes no flags", self.instruction)
            } else {
                let names: Vec<String> = known.iter().map(|name| format!("--{name}")).collect();
                format!("{} takes {}", self.instruction, names.join(", "))
            };
            self.errors.push(error.with_note(note));
        }
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(self.errors)
        }
    }
}

/// Keeps a complaint, while they are few.
fn complain(errors: &mut Vec<Diagnostic>, error: Diagnostic) {
    if errors.len() < MOST_ERRORS {
        errors.push(error);
    }
}

fn missing_value(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::Flag,
        format!("missing a value on flag: --{name}"),
        span,
    )
}

fn duplicate(name: &str, span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::Flag,
        format!("duplicate flag specified: --{name}"),
        span,
    )
}

impl Diagnostic {
    fn suggesting_flag(mut self, name: &str, known: &[&str]) -> Self {
        if let Some(near) = crate::suggest::nearest(name, known.iter().copied()) {
            self.message.push_str(&format!(" (did you mean --{near}?)"));
        }
        self
    }
}
