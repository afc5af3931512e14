//! `--call`: what a Dockerfile says, told without building it.

mod document;
mod text;

use gantry_build::{BuildError, BuildRequest, Check, Examination, Reporter};

use self::document::{CheckDocument, OutlineDocument, TargetsDocument};
use super::bases::EngineBases;
use super::{BuildArgs, failure, interrupt, make};
use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::go_json;
use crate::output::progress::build::{BuildDisplay, Mode};

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Check,
    Outline,
    Targets,
}

/// What is to be told, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands::builder) struct Call {
    subject: Subject,
    json: bool,
    /// Whether the exit code is 0 whatever was found.
    ignore_status: bool,
}

/// What the flags ask for; nothing where they ask for a build.
pub(in crate::commands::builder) fn chosen(args: &BuildArgs) -> Result<Option<Call>, Failure> {
    match (&args.call, args.check) {
        (Some(call), true)
            if !call
                .split(',')
                .any(|word| word == "check" || word == "lint") =>
        {
            Err(Failure::invalid(format!(
                "--check and --call={call} ask for different things: give one of them"
            )))
        }
        (Some(call), _) => parse(call),
        (None, true) => parse("check"),
        (None, false) => Ok(None),
    }
}

fn parse(text: &str) -> Result<Option<Call>, Failure> {
    let mut words = text.split(',');
    let subject = match words.next().unwrap_or_default() {
        "" | "build" => None,
        "check" | "lint" => Some(Subject::Check),
        "outline" => Some(Subject::Outline),
        "targets" => Some(Subject::Targets),
        other => {
            return Err(Failure::invalid(format!(
                "--call {other} is not supported: build, check, outline and targets are there"
            )));
        }
    };
    let (mut json, mut ignore_status) = (false, false);
    for word in words {
        match word.split_once('=').unwrap_or((word, "true")) {
            ("format", "json") => json = true,
            ("format", "text" | "default") => json = false,
            ("ignorestatus", value) => {
                ignore_status = match value {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => {
                        return Err(Failure::invalid(format!(
                            "--call: ignorestatus is true or false, not {value:?}"
                        )));
                    }
                }
            }
            _ => {
                return Err(Failure::invalid(format!(
                    "invalid print field: {word}: --call takes format=text|json and ignorestatus=true|false"
                )));
            }
        }
    }
    Ok(subject.map(|subject| Call {
        subject,
        json,
        ignore_status,
    }))
}

/// What was found out.
enum Told {
    Check(Check),
    Outline(gantry_dockerfile::outline::Outline),
    Targets(Vec<gantry_dockerfile::outline::Target>),
}

pub(in crate::commands::builder) fn run(
    context: &Context,
    mode: Mode,
    call: &Call,
    request: &BuildRequest,
    trusted: Option<&str>,
) -> Outcome {
    let engine = context.engine()?;
    let bases = EngineBases::new(engine);
    let builder = make::builder(engine, &bases, trusted)?;
    let display = BuildDisplay::new(mode, make::palette(context), context.ui.debug());
    let look = || -> Result<(Examination, Told), BuildError> {
        let reporter = Reporter::new(&display);
        let examination = gantry_build::examine(request, Some(&builder), &reporter)?;
        let told = match call.subject {
            Subject::Check => Told::Check(examination.check(&bases)),
            Subject::Outline => Told::Outline(examination.outline(&bases)?),
            Subject::Targets => Told::Targets(examination.targets()?),
        };
        Ok((examination, told))
    };
    let cancellation = builder.cancellation.clone();
    let told = interrupt::guarded(&cancellation, || {
        display.show(|| look().map_err(Box::new), Result::is_err)
    })?;
    let (examination, told) = told.map_err(|error| failure(context, *error))?;
    let source = &examination.source;
    let name = shown_name(request, source.name());
    if call.json {
        let json = match &told {
            Told::Check(check) => {
                go_json::indented_by_two(&CheckDocument::new(check, &examination))
            }
            Told::Outline(outline) => {
                go_json::indented_by_two(&OutlineDocument::new(outline, source))
            }
            Told::Targets(targets) => {
                go_json::indented_by_two(&TargetsDocument::new(targets, source))
            }
        };
        context.ui.line(&json)?;
    } else {
        let text = match &told {
            Told::Check(check) => text::check(check, &examination, &name),
            Told::Outline(outline) => text::outline(outline),
            Told::Targets(targets) => text::targets(targets),
        };
        context.ui.data(&text)?;
    }
    let Told::Check(check) = told else {
        return Ok(Exit::SUCCESS);
    };
    if let Some(error) = &check.error {
        context.ui.status(&format!("ERROR: {}", error.message));
        if let Some((first, last)) = error.lines {
            context
                .ui
                .status(source.excerpt(&name, first, last).trim_end());
        }
    }
    let is_clean = check.error.is_none() && check.warnings.is_empty();
    match is_clean || call.ignore_status {
        true => Ok(Exit::SUCCESS),
        false => Err(Failure::Said(1)),
    }
}

/// The Dockerfile as the caller would name it.
fn shown_name(request: &BuildRequest, name: &str) -> String {
    use gantry_build::{ContextSource, DockerfileSource};
    match (&request.dockerfile, &request.context) {
        (Some(DockerfileSource::File(path)), _) => path.display().to_string(),
        (None, Some(ContextSource::Folder(context))) => {
            let path: std::path::PathBuf = context.join(name).components().collect();
            path.display().to_string()
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Subject, parse};

    #[test]
    fn calls_are_read() {
        let call = parse("check,format=json").unwrap().unwrap();
        assert_eq!((call.subject, call.json), (Subject::Check, true));
        let call = parse("lint,ignorestatus=true").unwrap().unwrap();
        assert!(call.ignore_status && !call.json);
        assert_eq!(parse("build").unwrap(), None);
        assert_eq!(parse("outline").unwrap().unwrap().subject, Subject::Outline);
        for wrong in [
            "nope",
            "check,format=yaml",
            "check,x=y",
            "check,ignorestatus=maybe",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
