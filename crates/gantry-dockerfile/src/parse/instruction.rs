//! The keyword decides how the rest of an instruction is read.

use super::flag::{Flags, split_flags};
use super::heredoc::{Marker, markers};
use super::line::Text;
use super::words::{JsonForm, json_form};
use super::{copy, run, simple, stage};
use crate::ast::{CommandLine, Escape, Heredoc, Instruction, InstructionKind, Stage, Word};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

/// What an instruction became.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// `FROM`: a new stage.
    Stage(Stage),
    /// Anything else.
    Instruction(Instruction),
}

/// Every keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
}

impl Keyword {
    const ALL: [Self; 18] = [
        Self::Add,
        Self::Arg,
        Self::Cmd,
        Self::Copy,
        Self::Entrypoint,
        Self::Env,
        Self::Expose,
        Self::From,
        Self::Healthcheck,
        Self::Label,
        Self::Maintainer,
        Self::Onbuild,
        Self::Run,
        Self::Shell,
        Self::StopSignal,
        Self::User,
        Self::Volume,
        Self::Workdir,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Arg => "ARG",
            Self::Cmd => "CMD",
            Self::Copy => "COPY",
            Self::Entrypoint => "ENTRYPOINT",
            Self::Env => "ENV",
            Self::Expose => "EXPOSE",
            Self::From => "FROM",
            Self::Healthcheck => "HEALTHCHECK",
            Self::Label => "LABEL",
            Self::Maintainer => "MAINTAINER",
            Self::Onbuild => "ONBUILD",
            Self::Run => "RUN",
            Self::Shell => "SHELL",
            Self::StopSignal => "STOPSIGNAL",
            Self::User => "USER",
            Self::Volume => "VOLUME",
            Self::Workdir => "WORKDIR",
        }
    }

    fn read(keyword: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(keyword))
    }
}

/// An instruction to be parsed.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// Everything from the keyword on, white space at the end included.
    line: Text<'a>,
    comments: Vec<String>,
    pub(crate) heredocs: Vec<Heredoc>,
    pub(crate) escape: Escape,
}

/// An instruction split into its parts.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) keyword: Keyword,
    pub(crate) written: Word,
    pub(crate) flags: Flags,
    pub(crate) arguments: Text<'a>,
    pub(crate) heredocs: Vec<Heredoc>,
    pub(crate) escape: Escape,
    /// The whole line, white space at its end included.
    line: Text<'a>,
    pub(crate) text: String,
    pub(crate) span: Span,
    pub(crate) comments: Vec<String>,
}

/// What is wrong with one instruction.
pub(crate) type Refusal = Vec<Diagnostic>;

impl<'a> Request<'a> {
    pub(crate) fn new(
        line: Text<'a>,
        comments: Vec<String>,
        heredocs: Vec<Heredoc>,
        escape: Escape,
    ) -> Self {
        Self {
            line,
            comments,
            heredocs,
            escape,
        }
    }

    fn split(self) -> Result<Parts<'a>, Refusal> {
        let line = self.line.trim();
        let (keyword, rest) = line.split_blank();
        let Some(known) = Keyword::read(keyword.as_str()) else {
            return Err(vec![unknown_instruction(keyword)]);
        };
        let rest = rest.unwrap_or_else(|| line.from(line.as_str().len()));
        let (flags, arguments) = split_flags(rest, known.name());
        let line_span = line.span();
        let span = self
            .heredocs
            .last()
            .map_or(line_span, |last| line_span.join(last.end_span));
        Ok(Parts {
            keyword: known,
            written: keyword.word(),
            flags,
            arguments,
            heredocs: self.heredocs,
            escape: self.escape,
            text: line.as_str().to_owned(),
            line: self.line,
            span,
            comments: self.comments,
        })
    }
}

fn unknown_instruction(keyword: Text<'_>) -> Diagnostic {
    let written = keyword.as_str();
    let shown: String = written.chars().take(60).collect();
    let error = Diagnostic::error(
        Code::UnknownInstruction,
        format!("unknown instruction: {shown}"),
        keyword.span(),
    )
    .suggesting(written, Keyword::ALL.iter().map(|known| known.name()));
    if written.contains(|letter: char| letter.is_whitespace() && !letter.is_ascii()) {
        return error.with_hint("replace the no-break space behind the keyword by a plain one");
    }
    error
}

/// Parses one instruction.
pub(crate) fn parse_instruction(request: Request<'_>) -> Result<Parsed, Refusal> {
    let mut parts = request.split()?;
    if parts.keyword == Keyword::From {
        return stage::from(parts).map(Parsed::Stage);
    }
    let kind = match parts.keyword {
        Keyword::Add => copy::add(&mut parts)?,
        Keyword::Copy => copy::copy(&mut parts)?,
        Keyword::Run => run::run(&mut parts)?,
        Keyword::Onbuild => onbuild(&mut parts)?,
        _ => simple::simple(&mut parts)?,
    };
    Ok(Parsed::Instruction(Instruction {
        kind,
        text: parts.text,
        keyword: parts.written,
        span: parts.span,
        comments: parts.comments,
    }))
}

/// The heredoc markers of an instruction that can have any.
pub(crate) fn heredoc_markers(line: Text<'_>) -> Vec<Marker> {
    let mut command = line.trim();
    if !command.as_str().contains("<<") {
        return Vec::new();
    }
    loop {
        let (keyword, Some(rest)) = command.split_blank() else {
            return Vec::new();
        };
        match Keyword::read(keyword.as_str()) {
            Some(Keyword::Onbuild) if command.as_str().len() == line.trim().as_str().len() => {
                command = rest
            }
            Some(Keyword::Run | Keyword::Copy | Keyword::Add) => {
                let (_, arguments) = split_flags(rest, "");
                let is_json = !matches!(json_form(arguments), JsonForm::Not);
                return if is_json { Vec::new() } else { markers(line) };
            }
            _ => return Vec::new(),
        }
    }
}

/// `ONBUILD`: an instruction inside an instruction.
fn onbuild(parts: &mut Parts<'_>) -> Result<InstructionKind, Refusal> {
    parts.finish_flags(&[])?;
    if parts.arguments.is_empty() {
        return Err(parts.refuse(Code::Arguments, "ONBUILD requires at least one argument"));
    }
    let (keyword, _) = parts.arguments.split_blank();
    let refused = match Keyword::read(keyword.as_str()) {
        Some(Keyword::Onbuild) => {
            Some("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned())
        }
        Some(named @ (Keyword::From | Keyword::Maintainer)) => Some(format!(
            "{} isn't allowed as an ONBUILD trigger",
            named.name()
        )),
        _ => None,
    };
    if let Some(message) = refused {
        return Err(vec![Diagnostic::error(
            Code::Onbuild,
            message,
            keyword.span(),
        )]);
    }
    // The image keeps the trigger as it is written, white space at its end included.
    let written = parts.line.as_str().trim_start();
    let mut trigger = written
        .get(parts.written.value.len()..)
        .unwrap_or_default()
        .trim_start()
        .to_owned();
    for heredoc in &parts.heredocs {
        trigger.push('\n');
        trigger.push_str(&heredoc.content);
        trigger.push_str(&heredoc.name);
    }
    let inner = Request::new(
        parts.arguments,
        Vec::new(),
        std::mem::take(&mut parts.heredocs),
        parts.escape,
    );
    match parse_instruction(inner)? {
        Parsed::Instruction(instruction) => Ok(InstructionKind::Onbuild(crate::ast::Onbuild {
            trigger,
            instruction: Box::new(instruction),
        })),
        // FROM was refused above.
        Parsed::Stage(_) => {
            Err(parts.refuse(Code::Onbuild, "FROM isn't allowed as an ONBUILD trigger"))
        }
    }
}

impl<'a> Parts<'a> {
    /// One error about the whole instruction.
    pub(crate) fn refuse(&self, code: Code, message: impl Into<String>) -> Refusal {
        vec![Diagnostic::error(code, message, self.span)]
    }

    /// Ends the options: all that were not asked for are errors.
    pub(crate) fn finish_flags(&mut self, known: &[&str]) -> Result<(), Refusal> {
        self.flags.take().finish(known)
    }

    /// The arguments as a command line.
    pub(crate) fn command_line(&self, arguments: Text<'a>) -> Result<CommandLine, Refusal> {
        match json_form(arguments) {
            JsonForm::Strings(words) => Ok(CommandLine::Exec(words)),
            JsonForm::Not => Ok(CommandLine::Shell(arguments.word())),
            JsonForm::Mixed => Err(mixed(arguments)),
        }
    }

    /// The arguments as a list, in JSON or separated by blanks.
    pub(crate) fn list(&self) -> Result<Vec<Word>, Refusal> {
        match json_form(self.arguments) {
            JsonForm::Strings(words) => Ok(words),
            JsonForm::Not => Ok(self
                .arguments
                .blank_separated()
                .into_iter()
                .map(Text::word)
                .collect()),
            JsonForm::Mixed => Err(mixed(self.arguments)),
        }
    }
}

fn mixed(arguments: Text<'_>) -> Refusal {
    let message = "when using JSON array syntax, arrays must be comprised of strings only";
    vec![
        Diagnostic::error(Code::Arguments, message, arguments.span())
            .with_hint("put every element in double quotes"),
    ]
}
