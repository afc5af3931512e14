//! Instructions without a file of their own.

use std::time::Duration;

use super::flag::Flags;
use super::instruction::{Keyword, Parts, Refusal};
use super::line::Text;
use super::words::{JsonForm, json_form, quoted_words};
use crate::ast::{
    ArgDeclaration, Healthcheck, HealthcheckCommand, InstructionKind, KeyValue, Word,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::duration;

/// Instructions that take no options, and `HEALTHCHECK`.
pub(crate) fn simple(parts: &mut Parts<'_>) -> Result<InstructionKind, Refusal> {
    if parts.keyword == Keyword::Healthcheck {
        return healthcheck(parts).map(InstructionKind::Healthcheck);
    }
    parts.finish_flags(&[])?;
    match parts.keyword {
        Keyword::Arg => arg(parts).map(InstructionKind::Arg),
        Keyword::Cmd => parts
            .command_line(parts.arguments)
            .map(InstructionKind::Cmd),
        Keyword::Entrypoint => parts
            .command_line(parts.arguments)
            .map(InstructionKind::Entrypoint),
        Keyword::Env => pairs(parts).map(InstructionKind::Env),
        Keyword::Expose => at_least_one(parts).map(InstructionKind::Expose),
        Keyword::Label => pairs(parts).map(InstructionKind::Label),
        Keyword::Maintainer => exactly_one(parts).map(InstructionKind::Maintainer),
        Keyword::Shell => shell(parts).map(InstructionKind::Shell),
        Keyword::StopSignal => exactly_one(parts).map(InstructionKind::StopSignal),
        Keyword::User => exactly_one(parts).map(InstructionKind::User),
        Keyword::Volume => volume(parts).map(InstructionKind::Volume),
        Keyword::Workdir => exactly_one(parts).map(InstructionKind::Workdir),
        // The caller keeps these to itself.
        Keyword::Add
        | Keyword::Copy
        | Keyword::From
        | Keyword::Healthcheck
        | Keyword::Onbuild
        | Keyword::Run => Err(parts.refuse(
            Code::UnknownInstruction,
            format!("misplaced {}", parts.keyword.name()),
        )),
    }
}

fn needs_an_argument(parts: &Parts<'_>) -> Refusal {
    parts.refuse(
        Code::Arguments,
        format!("{} requires at least one argument", parts.keyword.name()),
    )
}

/// The whole rest of the line as one argument.
fn exactly_one(parts: &Parts<'_>) -> Result<Word, Refusal> {
    if parts.arguments.is_empty() {
        let message = format!("{} requires exactly one argument", parts.keyword.name());
        return Err(parts.refuse(Code::Arguments, message));
    }
    Ok(parts.arguments.word())
}

/// Words between blanks.
fn at_least_one(parts: &Parts<'_>) -> Result<Vec<Word>, Refusal> {
    let words: Vec<Word> = parts
        .arguments
        .blank_separated()
        .into_iter()
        .map(Text::word)
        .collect();
    if words.is_empty() {
        Err(needs_an_argument(parts))
    } else {
        Ok(words)
    }
}

/// `VOLUME path…` or `VOLUME ["path", …]`
fn volume(parts: &Parts<'_>) -> Result<Vec<Word>, Refusal> {
    let mut words = parts.list()?;
    if words.is_empty() {
        return Err(needs_an_argument(parts));
    }
    for word in &mut words {
        word.value = word.value.trim().to_owned();
        if word.value.is_empty() {
            return Err(vec![Diagnostic::error(
                Code::Arguments,
                "VOLUME specified can not be an empty string",
                word.span,
            )]);
        }
    }
    Ok(words)
}

/// `SHELL ["program", …]`, in JSON only.
fn shell(parts: &Parts<'_>) -> Result<Vec<Word>, Refusal> {
    match json_form(parts.arguments) {
        JsonForm::Strings(words) if !words.is_empty() => Ok(words),
        JsonForm::Strings(_) => Err(needs_an_argument(parts)),
        JsonForm::Not if parts.arguments.is_empty() => Err(needs_an_argument(parts)),
        JsonForm::Not | JsonForm::Mixed => {
            let error = Diagnostic::error(
                Code::Arguments,
                "SHELL requires the arguments to be in JSON form",
                parts.span,
            );
            Err(vec![error.with_hint("write SHELL [\"/bin/bash\", \"-c\"]")])
        }
    }
}

/// `ARG name[=default] …`
fn arg(parts: &Parts<'_>) -> Result<Vec<ArgDeclaration>, Refusal> {
    let words = quoted_words(parts.arguments, parts.escape);
    if words.is_empty() {
        return Err(needs_an_argument(parts));
    }
    words
        .into_iter()
        .map(|word| arg_declaration(parts, word))
        .collect()
}

fn arg_declaration(parts: &Parts<'_>, word: Text<'_>) -> Result<ArgDeclaration, Refusal> {
    match split_pair(word) {
        None => Ok(ArgDeclaration {
            name: word.word(),
            default: None,
        }),
        Some((name, _)) if name.is_empty() => Err(blank_name(parts, word)),
        Some((name, default)) => Ok(ArgDeclaration {
            name: name.word(),
            default: Some(default.word()),
        }),
    }
}

/// `ENV` and `LABEL`: `key=value …`, or `key value` in the old form.
fn pairs(parts: &Parts<'_>) -> Result<Vec<KeyValue>, Refusal> {
    let words = quoted_words(parts.arguments, parts.escape);
    let Some(first) = words.first() else {
        return Err(needs_an_argument(parts));
    };
    if !first.as_str().contains('=') {
        return legacy_pair(parts).map(|pair| vec![pair]);
    }
    let mut pairs = Vec::with_capacity(words.len());
    for word in words {
        let Some((key, value)) = split_pair(word) else {
            let message = format!(
                "syntax error - can't find = in \"{}\", must be of the form: name=value",
                word.as_str()
            );
            let hint = "put a value with white space in double quotes";
            return Err(vec![
                Diagnostic::error(Code::Arguments, message, word.span()).with_hint(hint),
            ]);
        };
        if key.is_empty() {
            return Err(blank_name(parts, word));
        }
        pairs.push(KeyValue {
            key: key.word(),
            value: value.word(),
            legacy: false,
        });
    }
    Ok(pairs)
}

fn legacy_pair(parts: &Parts<'_>) -> Result<KeyValue, Refusal> {
    let (key, value) = parts.arguments.split_blank();
    let Some(value) = value else {
        let name = parts.keyword.name();
        let error = Diagnostic::error(
            Code::Arguments,
            format!("{name} must have two arguments"),
            parts.span,
        );
        return Err(vec![
            error.with_hint(format!("write {name} {}=<value>", key.as_str())),
        ]);
    };
    Ok(KeyValue {
        key: key.word(),
        value: value.word(),
        legacy: true,
    })
}

fn blank_name(parts: &Parts<'_>, word: Text<'_>) -> Refusal {
    let message = format!("{} names can not be blank", parts.keyword.name());
    vec![Diagnostic::error(Code::Arguments, message, word.span())]
}

/// What stands before and behind the first `=`.
fn split_pair(word: Text<'_>) -> Option<(Text<'_>, Text<'_>)> {
    let at = word.as_str().find('=')?;
    Some((word.part(0..at), word.from(at + 1)))
}

/// `HEALTHCHECK [flags] CMD command` or `HEALTHCHECK NONE`
fn healthcheck(parts: &mut Parts<'_>) -> Result<Healthcheck, Refusal> {
    let mut flags = parts.flags.take();
    let interval = flags.string("interval");
    let timeout = flags.string("timeout");
    let start_period = flags.string("start-period");
    let start_interval = flags.string("start-interval");
    let retries = flags.string("retries");
    Flags::finish(
        flags,
        &[
            "interval",
            "timeout",
            "start-period",
            "start-interval",
            "retries",
        ],
    )?;
    if parts.arguments.is_empty() {
        return Err(needs_an_argument(parts));
    }
    let (kind, rest) = split_space(parts.arguments);
    if kind.as_str().eq_ignore_ascii_case("NONE") {
        if !rest.is_empty() {
            return Err(parts.refuse(Code::Arguments, "HEALTHCHECK NONE takes no arguments"));
        }
        return Ok(Healthcheck::None);
    }
    if !kind.as_str().eq_ignore_ascii_case("CMD") {
        let message = format!(
            "unknown type \"{}\" in HEALTHCHECK (try CMD)",
            kind.as_str().to_uppercase()
        );
        return Err(vec![Diagnostic::error(
            Code::Arguments,
            message,
            kind.span(),
        )]);
    }
    let command = parts.command_line(rest)?;
    if command.is_empty() {
        return Err(parts.refuse(Code::Arguments, "missing command after HEALTHCHECK CMD"));
    }
    Ok(Healthcheck::Command(HealthcheckCommand {
        command,
        interval: optional_interval("interval", interval.as_ref())?,
        timeout: optional_interval("timeout", timeout.as_ref())?,
        start_period: optional_interval("start-period", start_period.as_ref())?,
        start_interval: optional_interval("start-interval", start_interval.as_ref())?,
        retries: optional_retries(retries.as_ref())?,
    }))
}

/// Splits at the first run of any white space.
fn split_space(text: Text<'_>) -> (Text<'_>, Text<'_>) {
    let whole = text.as_str();
    let end = whole.find(char::is_whitespace).unwrap_or(whole.len());
    (text.part(0..end), text.from(end).trim())
}

/// A duration of nothing or at least a millisecond.
fn optional_interval(flag: &str, word: Option<&Word>) -> Result<Option<Duration>, Refusal> {
    let Some(word) = word.filter(|word| !word.value.is_empty()) else {
        return Ok(None);
    };
    let refuse = |message: String| vec![Diagnostic::error(Code::Flag, message, word.span)];
    match duration::parse(&word.value) {
        Ok(parsed) if parsed.is_zero() => Ok(None),
        Ok(parsed) if parsed >= Duration::from_millis(1) => Ok(Some(parsed)),
        Ok(_) | Err(duration::DurationError::Negative { .. }) => Err(refuse(format!(
            "interval \"{flag}\" cannot be less than 1ms"
        ))),
        Err(error) => Err(refuse(format!("--{flag}: {error}"))),
    }
}

fn optional_retries(word: Option<&Word>) -> Result<Option<u32>, Refusal> {
    let Some(word) = word.filter(|word| !word.value.is_empty()) else {
        return Ok(None);
    };
    let refuse = |message: String| Err(vec![Diagnostic::error(Code::Flag, message, word.span)]);
    match word.value.parse::<i32>() {
        Ok(number) => match u32::try_from(number) {
            Ok(0) => Ok(None),
            Ok(number) => Ok(Some(number)),
            Err(_) => refuse(format!("--retries cannot be negative ({number})")),
        },
        Err(_) => refuse(format!(
            "--retries: \"{}\" is not a whole number",
            word.value
        )),
    }
}
