//! Why each step of a build ran or did not: against the nearest earlier build.
//!
//! | module | what |
//! | --- | --- |
//! | `inputs` | what one step worked on, as it is kept with its record |
//! | `trace` | the steps of one build, as they are kept for the next |
//! | `align` | which step of an earlier build a step is |
//! | `differ` | what differs between two such |
//! | `order` | what one change of order would have saved |
//!
//! All of it is pure but for `trace`, which reads and writes records.

mod align;
mod differ;
mod order;

pub(crate) mod inputs;
pub(crate) mod trace;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use differ::{Aspect, Change, Reason};
pub use inputs::What;
pub use order::Advice;

use inputs::Inputs;
use trace::{Step, Trace};

/// What became of the steps of a build, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// When the build was made that this one is compared with, in seconds since 1970; `None` for
    /// a first build.
    pub compared_with: Option<i64>,
    /// The steps in the order of the Dockerfile.
    pub steps: Vec<StepExplanation>,
    /// The first step that differs from the earlier build, by its place in `steps`.
    pub first_divergent: Option<usize>,
    /// How long the steps took that ran, one after the other.
    #[serde(serialize_with = "seconds", rename = "secondsLost")]
    pub lost: Duration,
    /// How long the others took when they ran.
    #[serde(serialize_with = "seconds", rename = "secondsSaved")]
    pub saved: Duration,
    /// What one change of order would have saved.
    pub advice: Option<Advice>,
}

/// What became of one step, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepExplanation {
    /// Its name as progress shows it.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took, now or when it ran; `None` where that is not known.
    #[serde(serialize_with = "optional_seconds", rename = "seconds")]
    pub took: Option<Duration>,
    /// Why it was not in the cache; empty for what was.
    pub reasons: Vec<Reason>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// A base image: there was nothing to run.
    Base,
    /// It was in the cache.
    Hit,
    /// It ran.
    Ran,
    /// It failed, or was stopped, or was never begun because another failed.
    Unfinished,
}

/// One step of the build that is explained.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// What is kept of it for the next build.
    pub(crate) step: Step,
    /// Its name as progress shows it.
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) took: Option<Duration>,
    /// What it worked on, if it ran.
    pub(crate) inputs: Option<Arc<Inputs>>,
    /// Whether the cache was not to be asked.
    pub(crate) refused: bool,
    /// What is wrong with what the cache had.
    pub(crate) damage: Option<String>,
}

/// Explains a build by an earlier one; `inputs_of` gives what an earlier step worked on.
pub(crate) fn explain(
    done: &[Done],
    earlier: Option<&Trace>,
    inputs_of: &dyn Fn(&Step) -> Option<Inputs>,
) -> Explanation {
    let before: &[Step] = earlier.map_or(&[], |trace| &trace.steps);
    let steps: Vec<&Step> = done.iter().map(|done| &done.step).collect();
    let counterparts = align::align(&steps, before);
    let context = differ::Context {
        done,
        before,
        counterparts: &counterparts,
        inputs_of,
    };
    let explained: Vec<StepExplanation> = (0..done.len())
        .map(|number| StepExplanation {
            name: done[number].name.clone(),
            outcome: done[number].outcome,
            took: done[number].took,
            reasons: if earlier.is_some() {
                context.reasons(number)
            } else {
                context.first_time(number)
            },
        })
        .collect();
    let sum = |outcome: Outcome| -> Duration {
        let fit = explained.iter().filter(|step| step.outcome == outcome);
        fit.filter_map(|step| step.took).sum()
    };
    Explanation {
        compared_with: earlier.map(|trace| trace.when),
        first_divergent: earlier
            .and_then(|_| explained.iter().position(|step| !step.reasons.is_empty())),
        lost: sum(Outcome::Ran),
        saved: sum(Outcome::Hit),
        advice: earlier.and_then(|_| order::advice(done, &explained)),
        steps: explained,
    }
}

fn seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(rounded(*time))
}

fn optional_seconds<S: serde::Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(rounded).serialize(serializer)
}

/// Seconds to the millisecond.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;
