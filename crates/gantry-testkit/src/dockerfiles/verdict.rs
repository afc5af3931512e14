//! What a builder says of a Dockerfile without building it, as a text that can be compared.
//!
//! ```text
//! check ok                                (or: check refuses LINE MESSAGE, check unknown WHY)
//! rule LINE NAME
//! outline ok                              (or: outline refuses, outline unknown)
//! arg LINE NAME=VALUE                     (or without a value)
//! secret LINE NAME [required]
//! ssh LINE NAME [required]
//! targets ok                              (or: targets refuses)
//! stage LINE NAME BASE [PLATFORM]         (- where there is no name or base)
//! ```
//! `unknown` stands where the builder would have had to ask a registry for an image.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Most letters of a sentence that are kept.
const MOST: usize = 120;

/// The text, line by line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict(String);

impl Verdict {
    /// The lines.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string can be written to");
    }

    /// Whether the file could be built, or the line and the sentence that say why not.
    pub fn check(&mut self, error: Option<(Option<usize>, &str)>) {
        match error {
            None => self.line(format_args!("check ok")),
            Some((line, message)) => {
                let printable = |letter: &char| (' '..='~').contains(letter);
                let message: String = message.chars().filter(printable).take(MOST).collect();
                let line = line.map_or_else(|| "-".to_owned(), |line| line.to_string());
                self.line(format_args!("check refuses {line} {message}"));
            }
        }
    }

    /// That the builder could not look at the file for want of an image.
    pub fn unknown(&mut self, what: &str, image: &str) {
        self.line(format_args!("{what} unknown {image}"));
    }

    /// A rule of BuildKit's that is broken, and the first line of the instruction.
    pub fn rule(&mut self, name: &str, line: usize) {
        self.line(format_args!("rule {line} {name}"));
    }

    /// Whether `outline` or `targets` has an answer.
    pub fn answers(&mut self, what: &str, ok: bool) {
        let word = if ok { "ok" } else { "refuses" };
        self.line(format_args!("{what} {word}"));
    }

    /// A build argument.
    pub fn argument(&mut self, line: usize, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.line(format_args!("arg {line} {name}={value:?}")),
            None => self.line(format_args!("arg {line} {name}")),
        }
    }

    /// A secret, or an agent (`ssh`).
    pub fn lent(&mut self, kind: &str, line: usize, name: &str, required: bool) {
        let required = if required { " required" } else { "" };
        self.line(format_args!("{kind} {line} {name}{required}"));
    }

    /// A stage, as written.
    pub fn stage(&mut self, line: usize, name: Option<&str>, base: &str, platform: Option<&str>) {
        let platform = platform.map_or_else(String::new, |platform| format!(" {platform}"));
        self.line(format_args!(
            "stage {line} {} {base}{platform}",
            name.unwrap_or("-")
        ));
    }

    /// Without what `expected` could not tell.
    #[must_use]
    pub fn known_to(&self, expected: &str) -> String {
        let unknown = |what: &str| {
            let start = format!("{what} unknown");
            expected.lines().find(|line| line.starts_with(&start))
        };
        let (check, outline) = (unknown("check"), unknown("outline"));
        let mut text = String::new();
        for line in self.0.lines() {
            let instead = match line.split(' ').next().unwrap_or_default() {
                "check" => check.unwrap_or(line),
                "outline" => outline.unwrap_or(line),
                "rule" if check.is_some() => continue,
                "arg" | "secret" | "ssh" if outline.is_some() => continue,
                _ => line,
            };
            text.push_str(instead);
            text.push('\n');
        }
        text
    }
}

/// The verdicts in a file of them: each after a line `=== SHA256 ORIGIN`.
///
/// # Panics
/// When the text begins otherwise.
#[must_use]
pub fn expectations(text: &str) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("=== ") {
            let digest = head.split(' ').next().unwrap_or_default();
            current = Some(all.entry(digest.to_owned()).or_default());
        } else {
            let verdict = current.as_mut().expect("a verdict follows its head");
            verdict.push_str(line);
            verdict.push('\n');
        }
    }
    all
}
