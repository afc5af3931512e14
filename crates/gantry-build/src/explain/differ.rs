//! What differs between a step and its counterpart in an earlier build.

use std::cmp::Ordering;

use serde::Serialize;

use super::inputs::{Content, Fact, File, Inputs, Value, What};
use super::trace::Step;
use super::{Done, Outcome};

/// Most files that are told of one step.
const MOST_FILES: usize = 1000;

/// Why a step was not in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Reason {
    /// There is no earlier build to compare with.
    FirstBuild,
    /// No earlier build has this instruction.
    NewInstruction,
    /// The instruction said something else.
    Instruction {
        /// What it said.
        was: String,
    },
    /// It was told something else.
    Setting {
        /// What it is about.
        what: What,
        /// Which of its kind; empty where there is only one.
        name: String,
        /// What happened to it.
        change: Change,
        /// What it was, where that may be shown.
        was: Option<String>,
        /// What it is now, where that may be shown.
        is: Option<String>,
    },
    /// A copied file is not the same.
    File {
        /// Where it is in the context or stage.
        path: String,
        /// What happened to it.
        change: Change,
        /// What is different about a changed one.
        aspects: Vec<Aspect>,
    },
    /// More copied files that are not the same.
    MoreFiles {
        /// How many.
        count: usize,
    },
    /// A base image is another one.
    Base {
        /// What the earlier build began with.
        was: String,
        /// What this one begins with.
        is: String,
    },
    /// A step that it stands on or copies from gave something else.
    Parent {
        /// The name of that step.
        step: String,
    },
    /// The cache was not to be asked.
    Refused,
    /// The earlier build had the same, but the cache has it no longer.
    Forgotten,
    /// What the cache had is damaged.
    Damaged {
        /// What is wrong with it.
        what: String,
    },
    /// It is not known any more what the step worked on.
    Unknown,
}

/// What happened to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is different.
    Changed,
}

/// What is different about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Aspect {
    /// Its content or its extended attributes.
    Content,
    /// Something below this directory.
    Below,
    /// Its type.
    Type,
    /// Its permissions.
    Mode {
        /// In octal.
        was: String,
        /// In octal.
        is: String,
    },
    /// Its owner.
    Owner {
        /// `user:group`
        was: String,
        /// `user:group`
        is: String,
    },
    /// Where it leads.
    Link {
        /// Where it led.
        was: String,
        /// Where it leads.
        is: String,
    },
}

/// Two builds side by side.
pub(super) struct Context<'c> {
    pub(super) done: &'c [Done],
    pub(super) before: &'c [Step],
    pub(super) counterparts: &'c [Option<usize>],
    pub(super) inputs_of: &'c dyn Fn(&Step) -> Option<Inputs>,
}

impl Context<'_> {
    /// Why a step of a first build ran.
    pub(super) fn first_time(&self, number: usize) -> Vec<Reason> {
        let done = &self.done[number];
        match (done.outcome, &done.damage) {
            (Outcome::Ran, Some(damage)) => vec![damaged(damage)],
            (Outcome::Ran, None) if done.refused => vec![Reason::Refused],
            (Outcome::Ran, None) => vec![Reason::FirstBuild],
            _ => Vec::new(),
        }
    }

    /// Why a step ran; nothing for one that did not.
    pub(super) fn reasons(&self, number: usize) -> Vec<Reason> {
        let done = &self.done[number];
        let counterpart = self.counterparts[number].map(|at| &self.before[at]);
        if done.outcome == Outcome::Base {
            return counterpart.map_or_else(Vec::new, |other| base(&done.step, other));
        }
        if done.outcome == Outcome::Hit
            || (done.outcome == Outcome::Unfinished && done.step.key.is_none())
        {
            return Vec::new();
        }
        if let Some(damage) = &done.damage {
            return vec![damaged(damage)];
        }
        if done.refused {
            return vec![Reason::Refused];
        }
        let Some(other) = counterpart else {
            return vec![Reason::NewInstruction];
        };
        if done.step.key == other.key {
            return vec![Reason::Forgotten];
        }
        let mut reasons = Vec::new();
        if done.step.text != other.text {
            let was = other.text.clone();
            reasons.push(Reason::Instruction { was });
        }
        let inputs = (done.inputs.as_ref(), (self.inputs_of)(other));
        let known = matches!(inputs, (Some(_), Some(_)));
        if let (Some(now), Some(before)) = inputs {
            facts(&before.facts, &now.facts, &mut reasons);
            files(&before.files, &now.files, &mut reasons);
        }
        self.parents(number, other, &mut reasons);
        if reasons.is_empty() {
            reasons.push(if known && done.step.key.is_some() {
                // The same in everything that is kept: a way of making keys that was changed.
                Reason::Forgotten
            } else {
                Reason::Unknown
            });
        }
        reasons
    }

    fn parents(&self, number: usize, other: &Step, reasons: &mut Vec<Reason>) {
        let step = &self.done[number].step;
        for (place, input) in step.inputs.iter().enumerate() {
            let parent = &self.done[*input];
            let before = other.inputs.get(place).and_then(|at| self.before.get(*at));
            let differs = before.is_none_or(|before| before.result != parent.step.result);
            if !differs {
                continue;
            }
            match before {
                Some(before) if parent.outcome == Outcome::Base => {
                    reasons.extend(base(&parent.step, before));
                }
                _ => reasons.push(Reason::Parent {
                    step: parent.name.clone(),
                }),
            }
        }
    }
}

fn damaged(what: &str) -> Reason {
    Reason::Damaged {
        what: what.to_owned(),
    }
}

fn base(now: &Step, before: &Step) -> Vec<Reason> {
    if now.result == before.result {
        return Vec::new();
    }
    let shown = |step: &Step| {
        let name = step.text.strip_prefix("FROM ").unwrap_or(&step.text);
        match name.contains('@') {
            true => name.to_owned(),
            false => format!("{name} ({})", &step.result[..step.result.len().min(12)]),
        }
    };
    vec![Reason::Base {
        was: shown(before),
        is: shown(now),
    }]
}

/// What the instruction itself says shows in its text where that differs.
fn is_in_text(what: What) -> bool {
    matches!(what, What::Command | What::Destination)
}

fn facts(before: &[Fact], now: &[Fact], reasons: &mut Vec<Reason>) {
    let told = matches!(reasons.first(), Some(Reason::Instruction { .. }));
    let same = |one: &Fact, other: &Fact| one.what == other.what && one.name == other.name;
    let mut push = |change, was: Option<&Fact>, is: Option<&Fact>| {
        let Some(fact) = is.or(was) else { return };
        if told && is_in_text(fact.what) {
            return;
        }
        let shown = |fact: Option<&Fact>| match fact.map(|fact| &fact.value) {
            Some(Value::Shown(text)) => Some(text.clone()),
            Some(Value::Hidden(_)) | None => None,
        };
        reasons.push(Reason::Setting {
            what: fact.what,
            name: fact.name.clone(),
            change,
            was: shown(was),
            is: shown(is),
        });
    };
    let mut taken = vec![false; before.len()];
    for fact in now {
        let counterpart = (0..before.len()).find(|at| !taken[*at] && same(fact, &before[*at]));
        match counterpart {
            None => push(Change::Added, None, Some(fact)),
            Some(at) => {
                taken[at] = true;
                if before[at].value != fact.value {
                    push(Change::Changed, Some(&before[at]), Some(fact));
                }
            }
        }
    }
    for (fact, taken) in before.iter().zip(taken) {
        if !taken {
            push(Change::Removed, Some(fact), None);
        }
    }
}

/// Both lists are in the order of paths.
fn files(before: &[File], now: &[File], reasons: &mut Vec<Reason>) {
    let mut told = 0;
    let mut push = |path: &str, change, aspects| {
        told += 1;
        if told <= MOST_FILES {
            reasons.push(Reason::File {
                path: path.to_owned(),
                change,
                aspects,
            });
        }
    };
    let (mut old, mut new) = (before.iter().peekable(), now.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.path.cmp(&other.path),
        };
        match order {
            Ordering::Less => {
                if let Some(file) = old.next() {
                    push(&file.path, Change::Removed, Vec::new());
                }
            }
            Ordering::Greater => {
                if let Some(file) = new.next() {
                    push(&file.path, Change::Added, Vec::new());
                }
            }
            Ordering::Equal => {
                if let (Some(was), Some(is)) = (old.next(), new.next())
                    && was != is
                {
                    push(&is.path, Change::Changed, aspects(was, is));
                }
            }
        }
    }
    if told > MOST_FILES {
        reasons.push(Reason::MoreFiles {
            count: told - MOST_FILES,
        });
    }
}

fn aspects(was: &File, is: &File) -> Vec<Aspect> {
    if was.kind() != is.kind() {
        return vec![Aspect::Type];
    }
    let mut aspects = Vec::new();
    match (&was.content, &is.content) {
        (one, other) if one == other => {}
        (Content::Link(was), Content::Link(is)) => aspects.push(Aspect::Link {
            was: was.clone(),
            is: is.clone(),
        }),
        (Content::Below(..), _) | (_, Content::Below(..)) => aspects.push(Aspect::Below),
        _ => aspects.push(Aspect::Content),
    }
    let mode = |file: &File| format!("{:04o}", file.mode & 0o7777);
    if mode(was) != mode(is) {
        aspects.push(Aspect::Mode {
            was: mode(was),
            is: mode(is),
        });
    }
    let owner = |file: &File| format!("{}:{}", file.owner.0, file.owner.1);
    if owner(was) != owner(is) {
        aspects.push(Aspect::Owner {
            was: owner(was),
            is: owner(is),
        });
    }
    aspects
}
