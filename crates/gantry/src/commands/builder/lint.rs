//! Tells what could be better in Dockerfiles, and mends what can be.

mod document;
mod sarif;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use gantry_build::{BuildRequest, DockerfileSource, Examination, Reporter};
use gantry_dockerfile::diagnostic::{Code, Severity};
use gantry_dockerfile::lint::Rule;
use gantry_dockerfile::{Diagnostic, SourceFile, fix};
use gantry_model::quantity::counted;

use super::build::{EngineBases, failure};
use crate::context::Context;
use crate::failure::{CommandError, Exit, Failure, Outcome};
use crate::flags::value::wrong;

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct LintArgs {
    /// Set build arguments
    #[arg(long)]
    pub(crate) build_arg: Vec<String>,
    /// Print the page on a rule
    #[arg(long)]
    pub(crate) explain: Option<String>,
    /// Write the files anew with what can be mended safely
    #[arg(long)]
    pub(crate) fix: bool,
    /// How to tell ("text", "json", "sarif")
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Look for these rules only
    #[arg(long)]
    pub(crate) rule: Vec<String>,
    /// Least severity that is told and counts ("info", "warning", "error") (default "warning")
    #[arg(long)]
    pub(crate) severity: Option<String>,
    /// Pass these rules over
    #[arg(long)]
    pub(crate) skip: Vec<String>,
    /// Dockerfiles, or folders with such.
    pub(crate) operands: Vec<String>,
}

/// What one file was found to have.
pub(super) struct Linted {
    /// As the caller names it.
    name: String,
    source: Arc<SourceFile>,
    complaints: Vec<Diagnostic>,
}

pub(crate) fn run(context: &Context, args: LintArgs) -> Outcome {
    if let Some(name) = &args.explain {
        let rule = known_rule("--explain", name)?;
        context.ui.data(&rule.page())?;
        return Ok(Exit::SUCCESS);
    }
    let format = Format::read(args.format.as_deref())?;
    let choice = Choice::read(&args)?;
    let mut files = Vec::new();
    for operand in operands(&args.operands) {
        for place in places(operand)? {
            files.push(lint(context, &args, &choice, place)?);
        }
    }
    let shown = match format {
        Format::Text => text::render(&files),
        Format::Json => document::render(&files),
        Format::Sarif => sarif::render(&files),
    };
    context.ui.data(&shown)?;
    match files.iter().all(|file| file.complaints.is_empty()) {
        true => Ok(Exit::SUCCESS),
        false => Err(Failure::Said(1)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Text,
    Json,
    Sarif,
}

impl Format {
    fn read(text: Option<&str>) -> Result<Self, Failure> {
        match text {
            None | Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            Some("sarif") => Ok(Self::Sarif),
            Some(other) => Err(wrong("--format", other)("text, json and sarif are there").into()),
        }
    }
}

/// Which complaints are told.
#[derive(Debug)]
struct Choice {
    least: Severity,
    /// All of them where none is named.
    only: Vec<Rule>,
    skip: Vec<Rule>,
}

impl Choice {
    fn read(args: &LintArgs) -> Result<Self, Failure> {
        let only = rules("--rule", &args.rule)?;
        let least = match args.severity.as_deref() {
            // A rule that is asked for by name is told whatever its severity.
            None if !only.is_empty() => Severity::Info,
            None | Some("warning") => Severity::Warning,
            Some("info") => Severity::Info,
            Some("error") => Severity::Error,
            Some(other) => {
                return Err(wrong("--severity", other)("info, warning and error are there").into());
            }
        };
        Ok(Self {
            least,
            only,
            skip: rules("--skip", &args.skip)?,
        })
    }

    fn tells(&self, complaint: &Diagnostic) -> bool {
        let named = match complaint.code {
            Code::Lint(rule) => {
                (self.only.is_empty() || self.only.contains(&rule)) && !self.skip.contains(&rule)
            }
            // A file that does not parse is told of whatever is looked for.
            _ => true,
        };
        named && complaint.severity >= self.least
    }
}

fn rules(flag: &'static str, texts: &[String]) -> Result<Vec<Rule>, Failure> {
    let names = texts.iter().flat_map(|text| text.split(','));
    names
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(|name| known_rule(flag, name))
        .collect()
}

fn known_rule(flag: &'static str, name: &str) -> Result<Rule, Failure> {
    Rule::named(name).ok_or_else(|| {
        let near =
            gantry_dockerfile::suggest::nearest(name, Rule::ALL.iter().map(|rule| rule.name()));
        let near = near.map_or_else(String::new, |near| format!(" (did you mean {near}?)"));
        wrong(flag, name)(format!("there is no such rule{near}")).into()
    })
}

fn operands(given: &[String]) -> Vec<&str> {
    match given {
        [] => vec!["."],
        some => some.iter().map(String::as_str).collect(),
    }
}

/// A Dockerfile and the folder that would be its context.
struct Place {
    name: String,
    /// Standard input without one.
    path: Option<PathBuf>,
}

/// The Dockerfiles that an operand names: itself, or those at the top of a folder.
fn places(operand: &str) -> Result<Vec<Place>, Failure> {
    if operand == "-" {
        return Ok(vec![Place {
            name: "Dockerfile".to_owned(),
            path: None,
        }]);
    }
    let path = Path::new(operand);
    let place = |path: PathBuf| Place {
        name: path.display().to_string(),
        path: Some(path),
    };
    if !path.is_dir() {
        return Ok(vec![place(path.to_owned())]);
    }
    let entries = std::fs::read_dir(path).map_err(CommandError::file("read", operand))?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            entry.path().is_file() && is_dockerfile(&entry.file_name().to_string_lossy())
        })
        .map(|entry| match operand {
            "." => PathBuf::from(entry.file_name()),
            _ => entry.path(),
        })
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(Failure::invalid(format!(
            "{operand} holds no Dockerfile: name the file itself"
        )));
    }
    Ok(found.into_iter().map(place).collect())
}

fn is_dockerfile(name: &str) -> bool {
    let name = name.to_lowercase();
    let begins = |with: &str| {
        name.strip_prefix(with)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_ignore_file = name.ends_with(".dockerignore");
    !is_ignore_file
        && (begins("dockerfile") || begins("containerfile") || name.ends_with(".dockerfile"))
}

fn lint(
    context: &Context,
    args: &LintArgs,
    choice: &Choice,
    place: Place,
) -> Result<Linted, Failure> {
    let request = request(args, &place)?;
    let mut examination = examine(context, &request)?;
    if args.fix {
        let mended = mend(&examination, &request, choice)?;
        match (&place.path, mended) {
            (_, None) => {}
            (Some(path), Some((text, made))) => {
                std::fs::write(path, &text).map_err(CommandError::file("write", &place.name))?;
                context.ui.status(&format!(
                    "{}: {} mended",
                    place.name,
                    counted(made, "finding")
                ));
                examination = examine(context, &request)?;
            }
            (None, Some(_)) => {
                return Err(Failure::invalid(
                    "--fix cannot write standard input anew: name a file",
                ));
            }
        }
    }
    let bases = EngineBases::new(context.engine()?);
    let mut complaints = match &examination.parsed {
        Ok(_) => examination.complaints(Some(&bases)),
        Err(errors) => errors.clone(),
    };
    complaints.retain(|complaint| choice.tells(complaint));
    Ok(Linted {
        name: place.name,
        source: examination.source,
        complaints,
    })
}

fn request(args: &LintArgs, place: &Place) -> Result<BuildRequest, Failure> {
    let lookup = crate::flags::environment::caller;
    let folder = match &place.path {
        Some(path) => path.parent().filter(|folder| *folder != Path::new("")),
        None => None,
    };
    let mut request = BuildRequest::new(folder.unwrap_or(Path::new(".")).to_owned());
    request.dockerfile = Some(match &place.path {
        Some(path) => DockerfileSource::File(path.clone()),
        None => super::build::dockerfile_from_stdin()?,
    });
    request.build_args = super::build::build_args(&args.build_arg, &lookup)?;
    Ok(request)
}

fn examine(context: &Context, request: &BuildRequest) -> Result<Examination, Failure> {
    let silent = gantry_build::progress::Silent;
    gantry_build::examine(request, None, &Reporter::new(&silent))
        .map_err(|error| failure(context, error))
}

/// Rounds of fixes: one may make room for another that touched it.
const MOST_ROUNDS: usize = 10;

/// The text with every fix made, and how many were; `None` where there is nothing to mend.
fn mend(
    examination: &Examination,
    request: &BuildRequest,
    choice: &Choice,
) -> Result<Option<(String, usize)>, Failure> {
    let mut made = 0;
    let mut text = examination.source.text().to_owned();
    let mut current: Option<Examination> = None;
    for _ in 0..MOST_ROUNDS {
        let complaints = current.as_ref().unwrap_or(examination).complaints(None);
        let chosen = complaints
            .iter()
            .filter(|complaint| choice.tells(complaint));
        let (mended, count) = fix::apply(&text, chosen);
        if count == 0 {
            break;
        }
        let mut again = request.clone();
        again.dockerfile = Some(DockerfileSource::Inline {
            name: examination.source.name().to_owned(),
            bytes: mended.clone().into_bytes(),
        });
        let silent = gantry_build::progress::Silent;
        let next = gantry_build::examine(&again, None, &Reporter::new(&silent))?;
        if next.parsed.is_err() {
            // Not written: a fix must never break a file.
            break;
        }
        (text, made, current) = (mended, made + count, Some(next));
    }
    Ok((made > 0).then_some((text, made)))
}
