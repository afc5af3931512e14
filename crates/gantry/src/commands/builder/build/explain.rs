//! `--explain`: why each step ran or did not.

use std::fmt::Write as _;
use std::time::Duration;

use gantry_build::explain::{Advice, Aspect, Change, Explanation, Outcome, Reason, What};
use gantry_model::quantity::counted;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::outputs::{Output, Place};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::progress::build::Mode;
use crate::output::progress::screen::harmless;

/// Most files and settings that are listed of one step; the document has all.
const MOST: usize = 20;

/// How an explanation is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands::builder) enum Format {
    /// For people, on stderr.
    Text,
    /// For programs, on stdout.
    Json,
}

impl Format {
    /// What `--explain` asks for.
    pub(super) fn choose(flag: Option<&str>, mode: Mode) -> Result<Option<Self>, Failure> {
        match flag {
            None => Ok(None),
            Some("text") => Ok(Some(Self::Text)),
            Some("json") if mode == Mode::Quiet => Err(Failure::invalid(
                "conflicting options: --explain=json and --quiet both write to STDOUT",
            )),
            Some("json") => Ok(Some(Self::Json)),
            Some(other) => Err(Failure::invalid(format!(
                "invalid --explain {other:?}, the formats are text and json"
            ))),
        }
    }
}

/// Refuses two documents on one stream.
pub(super) fn check(format: Option<Format>, outputs: &[Output]) -> Result<(), Failure> {
    let to_stdout = outputs.iter().any(|output| match output {
        Output::Layout(layout) => layout.place == Place::Stdout,
        Output::Files(files) => files.place == Place::Stdout,
        Output::Image(_) | Output::Nothing => false,
    });
    match format {
        Some(Format::Json) if to_stdout => Err(Failure::invalid(
            "conflicting options: --explain=json and --output both write to STDOUT",
        )),
        _ => Ok(()),
    }
}

/// Shows what was asked for; where nothing was, only what another order would have saved.
pub(super) fn show(
    context: &Context,
    format: Option<Format>,
    mode: Mode,
    explanation: &Explanation,
) -> Result<(), Failure> {
    match format {
        Some(Format::Json) => {
            let text = serde_json::to_string(explanation).expect("texts and numbers are JSON");
            context.ui.line(&text)?;
        }
        Some(Format::Text) => context.ui.status(text(explanation).trim_end()),
        None if !matches!(mode, Mode::Quiet | Mode::Raw) => {
            if let Some(advice) = &explanation.advice {
                context.ui.status(&advised(advice));
            }
        }
        None => {}
    }
    Ok(())
}

fn text(explanation: &Explanation) -> String {
    let mut text = match explanation.compared_with {
        Some(seconds) => format!("\nCompared with the build of {}:\n", moment(seconds)),
        None => "\nThere is no earlier build to compare with:\n".to_owned(),
    };
    let names = explanation.steps.iter().map(|step| &step.name);
    let width = names
        .map(|name| harmless(name).chars().count().min(60))
        .max();
    let width = width.unwrap_or(0);
    for step in &explanation.steps {
        let outcome = match step.outcome {
            Outcome::Base if step.reasons.is_empty() => "base",
            Outcome::Base => "base, another one",
            Outcome::Hit => "hit",
            Outcome::Ran => "ran",
            Outcome::Unfinished => "not finished",
        };
        let took = step.took.map(|took| format!(" {}", seconds(took)));
        let name = harmless(&step.name);
        let line = format!(" {name:width$}  {outcome}{}", took.unwrap_or_default());
        text.push_str(line.trim_end());
        text.push('\n');
        for reason in step.reasons.iter().take(MOST) {
            let _ = writeln!(text, "     {}", harmless(&said(reason)));
        }
        if let Some(more) = step
            .reasons
            .len()
            .checked_sub(MOST)
            .filter(|more| *more > 0)
        {
            let _ = writeln!(text, "     … and {more} more (--explain=json has all)");
        }
    }
    let first = explanation
        .first_divergent
        .and_then(|at| explanation.steps.get(at));
    if let Some(first) = first {
        let _ = writeln!(
            text,
            "The first step that differs: {}",
            harmless(&first.name)
        );
    }
    let _ = writeln!(
        text,
        "Steps that ran took {}; those in the cache took {} when they ran",
        seconds(explanation.lost),
        seconds(explanation.saved),
    );
    if let Some(advice) = &explanation.advice {
        text.push_str(&advised(advice));
        text.push('\n');
    }
    text
}

/// One line on what another order would have saved.
fn advised(advice: &Advice) -> String {
    let saved = seconds(advice.saved);
    let total = seconds(advice.total);
    let (moved, behind) = (harmless(&advice.moved), harmless(&advice.behind));
    match &advice.changed[..] {
        [] => format!(
            "{saved} of {total} would have been saved with {moved} behind {behind}: its value \
             changed, and the steps before do not name it"
        ),
        [first, more @ ..] => {
            let more = match more.len() {
                0 => String::new(),
                count => format!(" and {count} more"),
            };
            format!(
                "{saved} of {total} would have been saved with {moved} behind {behind} (what that \
                 needs of it copied before): only {}{more} changed",
                harmless(first)
            )
        }
    }
}

fn said(reason: &Reason) -> String {
    match reason {
        Reason::FirstBuild => "nothing like it was built before".to_owned(),
        Reason::NewInstruction => "new: the earlier build has no such instruction".to_owned(),
        Reason::Instruction { was } => {
            format!("the instruction was: {}", was.replace('\n', " "))
        }
        Reason::Setting {
            what,
            name,
            change,
            was,
            is,
        } => setting(*what, name, *change, was.as_deref(), is.as_deref()),
        Reason::File {
            path,
            change,
            aspects,
        } => {
            let path = if path.is_empty() { "." } else { path };
            let aspects: Vec<String> = aspects.iter().map(aspect).collect();
            match aspects.is_empty() {
                true => format!("{}: {path}", changed(*change)),
                false => format!("{}: {path} ({})", changed(*change), aspects.join(", ")),
            }
        }
        Reason::MoreFiles { count } => counted(*count, "more file"),
        Reason::Base { was, is } => format!("another base image: {is}, was {was}"),
        Reason::Parent { step } => format!("follows {step}"),
        Reason::Refused => "the cache was not to be asked".to_owned(),
        Reason::Forgotten => "nothing changed, but the cache has its result no longer".to_owned(),
        Reason::Damaged { what } => format!("what the cache had is damaged: {what}"),
        Reason::Unknown => "it is not kept what it worked on then".to_owned(),
    }
}

fn setting(what: What, name: &str, change: Change, was: Option<&str>, is: Option<&str>) -> String {
    let what = match what {
        What::Command => "command",
        What::Document => "document",
        What::Argument => "argument",
        What::Variable => "environment variable",
        What::Directory => "working directory",
        What::User => "user",
        What::Network => "network",
        What::Mount => "mount",
        What::Host => "host",
        What::Destination => "destination",
        What::Flag => "flag",
    };
    let name = if name.is_empty() {
        what.to_owned()
    } else {
        format!("{what} {name}")
    };
    match (was, is) {
        (Some(was), Some(is)) => format!("{}: {name}: {is:?}, was {was:?}", changed(change)),
        (Some(only), None) | (None, Some(only)) => {
            format!("{}: {name}: {only:?}", changed(change))
        }
        (None, None) => format!("{}: {name}", changed(change)),
    }
}

fn aspect(aspect: &Aspect) -> String {
    match aspect {
        Aspect::Content => "content".to_owned(),
        Aspect::Below => "something below it".to_owned(),
        Aspect::Type => "another type of file".to_owned(),
        Aspect::Mode { was, is } => format!("mode {is}, was {was}"),
        Aspect::Owner { was, is } => format!("owner {is}, was {was}"),
        Aspect::Link { was, is } => format!("leads to {is}, was {was}"),
    }
}

fn changed(change: Change) -> &'static str {
    match change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Changed => "changed",
    }
}

fn moment(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    let zoned = time.to_zoned(TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn seconds(time: Duration) -> String {
    gantry_build::progress::plain::seconds(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        assert_eq!(Format::choose(None, Mode::Plain).unwrap(), None);
        let json = Format::choose(Some("json"), Mode::Plain).unwrap();
        assert_eq!(json, Some(Format::Json));
        assert!(Format::choose(Some("json"), Mode::Quiet).is_err());
        assert!(Format::choose(Some("yaml"), Mode::Plain).is_err());
    }

    #[test]
    fn an_order_in_one_line() {
        let mut advice = Advice {
            moved: "[2/4] COPY . .".into(),
            behind: "[3/4] RUN make".into(),
            changed: vec!["a".into(), "b".into()],
            saved: Duration::from_secs(40),
            total: Duration::from_secs(41),
        };
        assert_eq!(
            advised(&advice),
            "40.0s of 41.0s would have been saved with [2/4] COPY . . behind [3/4] RUN make (what \
             that needs of it copied before): only a and 1 more changed"
        );
        advice.moved = "ARG V".into();
        advice.changed.clear();
        assert!(advised(&advice).contains("with ARG V behind [3/4] RUN make: its value"));
    }
}
