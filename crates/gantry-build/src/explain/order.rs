//! What one change of order would have saved: computed from what changed and from the times that
//! the steps took, never guessed.

use std::time::Duration;

use serde::Serialize;

use super::differ::{Change, Reason};
use super::inputs::What;
use super::{Done, Outcome, StepExplanation};

/// What is worth a line: a part of the time of all steps, and never less than a second.
const WORTH: (u32, Duration) = (20, Duration::from_secs(1));

/// A change of order.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// What is to be moved: the name of a step, or `ARG NAME`.
    pub moved: String,
    /// Behind which step.
    pub behind: String,
    /// The paths that had changed; empty where an argument is moved.
    pub changed: Vec<String>,
    /// How long the steps took that would not have run.
    #[serde(serialize_with = "super::seconds", rename = "seconds")]
    pub saved: Duration,
    /// How long all steps took that ran.
    #[serde(serialize_with = "super::seconds", rename = "ofSeconds")]
    pub total: Duration,
}

/// The change that would have saved most.
pub(super) fn advice(done: &[Done], steps: &[StepExplanation]) -> Option<Advice> {
    let chains = Chains { done, steps };
    let total: Duration = steps
        .iter()
        .filter(|step| step.outcome == Outcome::Ran)
        .filter_map(|step| step.took)
        .sum();
    let copies = (0..done.len()).filter_map(|number| chains.copy(number));
    let arguments = chains
        .changed_arguments()
        .into_iter()
        .filter_map(|(number, name)| chains.argument(number, &name));
    let mut best = copies
        .chain(arguments)
        .max_by_key(|advice| advice.saved)
        .filter(|best| best.saved >= WORTH.1 && best.saved * WORTH.0 >= total)?;
    best.total = total;
    Some(best)
}

struct Chains<'c> {
    done: &'c [Done],
    steps: &'c [StepExplanation],
}

impl Chains<'_> {
    /// The step on whose root file system this one works.
    fn below(&self, number: usize) -> Option<usize> {
        self.done[number].step.inputs.first().copied()
    }

    /// The steps that work on this one, one on the other, as long as there is only one that does.
    fn above(&self, number: usize) -> Vec<usize> {
        let mut chain = Vec::new();
        let mut top = number;
        loop {
            let mut users = (0..self.done.len()).filter(|other| self.below(*other) == Some(top));
            match (users.next(), users.next()) {
                (Some(only), None) => {
                    chain.push(only);
                    top = only;
                }
                _ => return chain,
            }
        }
    }

    fn ran(&self, number: usize) -> bool {
        self.steps[number].outcome == Outcome::Ran
    }

    /// Whether all that a step misses is the step right below it.
    fn only_follows(&self, number: usize) -> bool {
        let below = self.below(number).map(|below| &self.done[below].name);
        let follows =
            |reason: &Reason| matches!(reason, Reason::Parent { step } if Some(step) == below);
        self.ran(number)
            && !self.steps[number].reasons.is_empty()
            && self.steps[number].reasons.iter().all(follows)
    }

    /// Whether what lies below a step is what it was.
    fn stands_firm(&self, number: usize) -> bool {
        let is_parent =
            |reason: &Reason| matches!(reason, Reason::Parent { .. } | Reason::Base { .. });
        !self.steps[number].reasons.iter().any(is_parent)
    }

    /// A copy of which only files changed, and behind which steps ran for nothing else.
    fn copy(&self, number: usize) -> Option<Advice> {
        let is_file =
            |reason: &Reason| matches!(reason, Reason::File { .. } | Reason::MoreFiles { .. });
        let reasons = &self.steps[number].reasons;
        let movable = matches!(self.done[number].step.instruction(), "COPY" | "ADD")
            && self.ran(number)
            && !reasons.is_empty()
            && reasons.iter().all(is_file);
        if !movable {
            return None;
        }
        let followers: Vec<usize> = self
            .above(number)
            .into_iter()
            .take_while(|above| self.only_follows(*above))
            .collect();
        let changed = reasons.iter().filter_map(|reason| match reason {
            Reason::File { path, .. } => Some(path.clone()),
            _ => None,
        });
        self.advice(
            self.steps[number].name.clone(),
            &followers,
            changed.collect(),
        )
    }

    /// The arguments for which a step ran that stands firm otherwise: the first such step of each.
    fn changed_arguments(&self) -> Vec<(usize, String)> {
        let mut found: Vec<(usize, String)> = Vec::new();
        for number in 0..self.done.len() {
            if !self.ran(number) || !self.stands_firm(number) {
                continue;
            }
            if let Some(name) = self.only_argument(number)
                && self.only_argument_or_follows(number, &name)
            {
                found.push((number, name));
            }
        }
        found
    }

    /// The argument whose value is all that changed for a step that does not name it.
    fn only_argument(&self, number: usize) -> Option<String> {
        let mut names = self.steps[number]
            .reasons
            .iter()
            .filter_map(|reason| match reason {
                Reason::Setting {
                    what: What::Argument,
                    name,
                    change: Change::Changed,
                    ..
                } => Some(name),
                _ => None,
            });
        match (names.next(), names.next()) {
            (Some(name), None) => Some(name.clone()),
            _ => None,
        }
    }

    fn only_argument_or_follows(&self, number: usize, name: &str) -> bool {
        let below = self.below(number).map(|below| &self.done[below].name);
        let expected = |reason: &Reason| match reason {
            Reason::Setting {
                what: What::Argument,
                name: other,
                change: Change::Changed,
                ..
            } => other == name,
            Reason::Parent { step } => Some(step) == below,
            _ => false,
        };
        self.ran(number)
            && self.steps[number].reasons.iter().all(expected)
            && !self.done[number].step.text.contains(name)
    }

    fn argument(&self, number: usize, name: &str) -> Option<Advice> {
        let mut followers = vec![number];
        followers.extend(
            self.above(number)
                .into_iter()
                .take_while(|above| self.only_argument_or_follows(*above, name)),
        );
        self.advice(format!("ARG {name}"), &followers, Vec::new())
    }

    fn advice(&self, moved: String, followers: &[usize], changed: Vec<String>) -> Option<Advice> {
        let last = followers.last()?;
        Some(Advice {
            moved,
            behind: self.steps[*last].name.clone(),
            changed,
            saved: followers
                .iter()
                .filter_map(|number| self.steps[*number].took)
                .sum(),
            total: Duration::ZERO,
        })
    }
}
