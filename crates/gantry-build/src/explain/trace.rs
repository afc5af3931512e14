//! The steps of a build, as they are kept for the explanation of the next.
//!
//! A trace is named by what was built and by the keys of its steps: a build in which nothing
//! changed only marks the trace as used.

use gantry_store::{Recency, Record, Records, StoreError};
use serde::{Deserialize, Serialize};

/// Records of traces: project and digest of the keys → steps.
pub(crate) const TRACE: &str = "build-trace";
/// Most traces of one project, and of all.
const MOST_OF_ONE: usize = 8;
const MOST: usize = 256;

/// What a build is a build of: context, Dockerfile, target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Project(pub(crate) [u8; 16]);

/// The steps of one build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    /// When it was last made, in seconds since 1970.
    pub(crate) when: i64,
    pub(crate) steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// The stage as it is shown; empty where there is one only.
    pub(crate) stage: String,
    /// The instruction.
    pub(crate) text: String,
    /// Its key in hexadecimal; none of base images.
    pub(crate) key: Option<String>,
    /// The steps it stands on or copies from, by their places in the trace.
    pub(crate) inputs: Vec<usize>,
    /// Digest of all layers of its result.
    pub(crate) result: String,
}

impl Step {
    /// A step of which only the name is known, as it is shown: `[build 2/4] RUN make`.
    pub(crate) fn of_name(name: &str) -> Self {
        let parts = name
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("] "));
        let Some((place, text)) = parts else {
            return Self::named("", name);
        };
        let is_number = |word: &str| word.starts_with(|letter: char| letter.is_ascii_digit());
        let stage = match place.rsplit_once(' ') {
            Some((stage, number)) if is_number(number) => stage.trim_end(),
            None if is_number(place) => "",
            _ => place,
        };
        Self::named(stage, text)
    }

    /// A step of which only stage and instruction are known.
    pub(crate) fn named(stage: &str, text: &str) -> Self {
        Self {
            stage: stage.to_owned(),
            text: text.to_owned(),
            ..Self::default()
        }
    }

    /// `RUN`, `COPY`, …
    pub(crate) fn instruction(&self) -> &str {
        let mut words = self.text.split_whitespace();
        match words.next() {
            Some("ONBUILD") => words.next().unwrap_or_default(),
            other => other.unwrap_or_default(),
        }
    }
}

/// The name of a record: the project, then a digest of the keys.
pub(crate) fn name(project: Project, steps: &[Step]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    for step in steps {
        for part in [&step.stage, &step.text, &step.result] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(step.key.as_deref().unwrap_or_default().as_bytes());
    }
    [&project.0[..], &hasher.finalize().as_bytes()[..16]].concat()
}

/// Keeps a trace that is not there yet, and forgets old ones.
pub(crate) fn keep(
    records: Records<'_>,
    project: Project,
    steps: &[Step],
) -> Result<(), StoreError> {
    let value = serde_json::to_vec(steps).expect("texts are JSON");
    let name = name(project, steps);
    records.put(&[Record::new(TRACE, &name, &value)])?;
    let mut kept = records.heads(TRACE)?;
    // This one and the newest first: what is beyond the bounds goes.
    let recency = Recency::now();
    kept.sort_by_key(|other| {
        (
            other.key != name,
            std::cmp::Reverse(recency.of(other.last_used)),
        )
    });
    let mut of_project = 0;
    for (number, other) in kept.iter().enumerate() {
        let same_project = other.key.starts_with(&project.0);
        of_project += usize::from(same_project);
        if number >= MOST || (same_project && of_project > MOST_OF_ONE) {
            records.remove(TRACE, &other.key)?;
        }
    }
    Ok(())
}

/// The earlier build that has most in common with these steps: of the same project if there is
/// one, and of several the latest.
pub(crate) fn nearest(
    records: Records<'_>,
    project: Project,
    steps: &[Step],
) -> Result<Option<Trace>, StoreError> {
    let recency = Recency::now();
    let mut best: Option<((bool, usize, i64), Trace)> = None;
    for record in records.list(TRACE)? {
        let Ok(kept) = serde_json::from_slice::<Vec<Step>>(&record.value) else {
            continue;
        };
        let same_project = record.key.starts_with(&project.0);
        let common = steps.iter().filter(|step| has(&kept, step)).count();
        if common == 0 && !same_project {
            continue;
        }
        let rank = (same_project, common, recency.of(record.last_used));
        if best.as_ref().is_none_or(|(least, _)| rank > *least) {
            let trace = Trace {
                when: record.last_used,
                steps: kept,
            };
            best = Some((rank, trace));
        }
    }
    Ok(best.map(|(_, trace)| trace))
}

fn has(kept: &[Step], step: &Step) -> bool {
    let same = |other: &Step| {
        other.text == step.text && other.key == step.key && other.result == step.result
    };
    kept.iter().any(same)
}

#[cfg(test)]
mod tests {
    use gantry_store::Store;

    use super::*;

    fn build(results: &[&str]) -> Vec<Step> {
        let step = |result: &&str| Step {
            key: Some(format!("key {result}")),
            result: (*result).to_owned(),
            ..Step::named("", "RUN make")
        };
        results.iter().map(step).collect()
    }

    #[test]
    fn the_nearest_is_that_with_most_in_common() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("root")).unwrap();
        let (one, other) = (Project([1; 16]), Project([2; 16]));
        let near = |project, results: &[&str]| {
            let found = nearest(store.records(), project, &build(results)).unwrap();
            found.map(|trace| trace.steps)
        };
        assert_eq!(near(one, &["a"]), None);
        keep(store.records(), one, &build(&["a", "b", "c"])).unwrap();
        keep(store.records(), one, &build(&["a", "x", "y"])).unwrap();
        assert_eq!(near(one, &["a", "b", "d"]), Some(build(&["a", "b", "c"])));
        assert_eq!(near(one, &["a", "x", "d"]), Some(build(&["a", "x", "y"])));
        assert!(near(one, &["q"]).is_some(), "of the same project");
        // A project that was never built is compared with another that has something in common.
        assert_eq!(near(other, &["z", "b"]), Some(build(&["a", "b", "c"])));
        assert_eq!(near(other, &["q"]), None);
    }

    #[test]
    fn old_ones_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("root")).unwrap();
        let project = Project([1; 16]);
        for number in 0..20 {
            let steps = build(&[&number.to_string()]);
            keep(store.records(), project, &steps).unwrap();
        }
        assert_eq!(store.records().list(TRACE).unwrap().len(), MOST_OF_ONE);
    }

    #[test]
    fn instructions_are_known() {
        for (name, stage, text) in [
            ("[ 2/16] RUN make", "", "RUN make"),
            ("[2/4] RUN make", "", "RUN make"),
            (
                "[linux/arm64 build  2/14] COPY . .",
                "linux/arm64 build",
                "COPY . .",
            ),
            ("[internal] bind . of it", "internal", "bind . of it"),
            ("FROM x", "", "FROM x"),
        ] {
            assert_eq!(Step::of_name(name), Step::named(stage, text), "{name}");
        }
        for (text, instruction) in [("RUN make", "RUN"), ("ONBUILD COPY . .", "COPY"), ("", "")] {
            assert_eq!(Step::named("", text).instruction(), instruction);
        }
    }
}
