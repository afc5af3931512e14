//! Names of stages: in `FROM`, in `--from` and in `--target`.

use std::collections::HashMap;

use gantry_model::quantity::counted;
use gantry_model::{Fault, FaultKind};

use crate::ast::{Dockerfile, Stage};
use crate::suggest::nearest;

/// The base that means "nothing".
pub const SCRATCH: &str = "scratch";

/// What a stage builds on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// An earlier stage, by index.
    Stage(usize),
    /// Nothing.
    Scratch,
    /// An image or a named context.
    External,
}

/// Where `--from` points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// An earlier stage, by index.
    Stage(usize),
    /// An image or a named context.
    External,
}

/// Why a name of a stage cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// A number that is no stage's.
    #[error("invalid stage index {index}: the Dockerfile has {}, the first is 0", counted(*count, "stage"))]
    Index {
        /// The number.
        index: u64,
        /// How many stages there are.
        count: usize,
    },
    /// A stage that copies of itself.
    #[error("circular dependency detected on stage: {name}")]
    Circular {
        /// The stage.
        name: String,
    },
    /// A stage that comes only later.
    #[error("cannot copy from stage \"{name}\", it needs to be defined before the current stage")]
    Later {
        /// The stage.
        name: String,
    },
    /// `--target` names no stage.
    #[error("target stage \"{name}\" could not be found{}", suggestion_text(.suggestion.as_deref()))]
    Target {
        /// The name.
        name: String,
        /// The stage that is probably meant.
        suggestion: Option<String>,
        /// All names there are.
        known: Vec<String>,
    },
}

fn suggestion_text(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |near| format!(" (did you mean {near}?)"))
}

impl Fault for ResolveError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::Target { .. } => FaultKind::NotFound,
            Self::Index { .. } | Self::Circular { .. } | Self::Later { .. } => FaultKind::Invalid,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Target { known, .. } if known.is_empty() => {
                vec!["name a stage with FROM <image> AS <name>".to_owned()]
            }
            Self::Target { known, .. } => vec![format!("the stages are {}", known.join(", "))],
            Self::Later { name } => vec![format!("move the stage {name} up")],
            Self::Index { .. } | Self::Circular { .. } => Vec::new(),
        }
    }
}

/// The stages of each name, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct StageNames {
    indices: HashMap<String, Vec<usize>>,
}

impl StageNames {
    pub(crate) fn new(stages: &[Stage]) -> Self {
        let mut indices: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, stage) in stages.iter().enumerate() {
            if let Some(name) = stage.normal_name() {
                indices.entry(name).or_default().push(index);
            }
        }
        Self { indices }
    }
}

impl Dockerfile {
    /// The index of the last stage of a name among the first `before` ones.
    pub fn stage_named(&self, name: &str, before: usize) -> Option<usize> {
        let indices = self.names.indices.get(&name.to_lowercase())?;
        let earlier = indices.partition_point(|index| *index < before);
        earlier.checked_sub(1).map(|last| indices[last])
    }

    /// The names of stages, in order.
    pub fn stage_names(&self) -> impl Iterator<Item = &str> {
        self.stages
            .iter()
            .filter_map(|stage| stage.name.as_ref())
            .map(|name| name.value.as_str())
    }

    /// What the stage at `index` builds on; `base` is its base with variables replaced.
    pub fn base_of(&self, index: usize, base: &str) -> Base {
        match self.stage_named(base, index) {
            Some(stage) => Base::Stage(stage),
            None if base == SCRATCH => Base::Scratch,
            None => Base::External,
        }
    }

    /// Where a `--from` in the stage at `current` points to: the number of a stage, the name of
    /// one, or something outside the file.
    ///
    /// # Errors
    /// A number that is no stage's, and a stage that does not come before this one.
    pub fn source_of(&self, current: usize, from: &str) -> Result<Source, ResolveError> {
        let index = match parse_index(from) {
            Some(index) => {
                let found = usize::try_from(index)
                    .ok()
                    .filter(|index| *index < self.stages.len());
                found.ok_or(ResolveError::Index {
                    index,
                    count: self.stages.len(),
                })?
            }
            None => match self.stage_named(from, self.stages.len()) {
                Some(index) => index,
                None => return Ok(Source::External),
            },
        };
        match index.cmp(&current) {
            std::cmp::Ordering::Less => Ok(Source::Stage(index)),
            std::cmp::Ordering::Equal => Err(ResolveError::Circular {
                name: from.to_owned(),
            }),
            std::cmp::Ordering::Greater => Err(ResolveError::Later {
                name: from.to_owned(),
            }),
        }
    }

    /// The stage to build: the last one, or the one of that name or number.
    ///
    /// # Errors
    /// There is none.
    pub fn target(&self, target: Option<&str>) -> Result<usize, ResolveError> {
        let Some(name) = target.filter(|name| !name.is_empty()) else {
            return Ok(self.stages.len().saturating_sub(1));
        };
        let numbered = || parse_index(name).and_then(|index| usize::try_from(index).ok());
        self.stage_named(name, self.stages.len())
            .or_else(|| numbered().filter(|index| *index < self.stages.len()))
            .ok_or_else(|| ResolveError::Target {
                name: name.to_owned(),
                suggestion: self
                    .similar_stage(name, self.stages.len())
                    .map(str::to_owned),
                known: self.stage_names().map(str::to_owned).collect(),
            })
    }

    /// A stage among the first `before` ones whose name is nearly this one: for a hint when an
    /// image of the name does not exist.
    pub fn similar_stage(&self, name: &str, before: usize) -> Option<&str> {
        nearest(
            name,
            self.stages
                .iter()
                .take(before)
                .filter_map(|stage| stage.name.as_ref())
                .map(|name| name.as_str()),
        )
    }
}

/// A number as it may stand for a stage.
fn parse_index(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::{Base, ResolveError, Source};
    use crate::ast::Dockerfile;
    use crate::source::SourceFile;

    fn dockerfile() -> Dockerfile {
        let text =
            "FROM a AS Build\nFROM b\nFROM build AS test\nFROM c AS build\nFROM scratch AS final\n";
        crate::parse(&SourceFile::new("Dockerfile", text)).expect("parses")
    }

    #[test]
    fn bases() {
        let file = dockerfile();
        assert_eq!(file.base_of(2, "BUILD"), Base::Stage(0));
        assert_eq!(file.base_of(4, "build"), Base::Stage(3));
        assert_eq!(file.base_of(0, "build"), Base::External);
        assert_eq!(file.base_of(4, "scratch"), Base::Scratch);
        assert_eq!(file.base_of(4, "alpine"), Base::External);
    }

    #[test]
    fn sources() {
        let file = dockerfile();
        assert_eq!(file.source_of(4, "Test"), Ok(Source::Stage(2)));
        assert_eq!(file.source_of(4, "build"), Ok(Source::Stage(3)));
        assert_eq!(file.source_of(4, "1"), Ok(Source::Stage(1)));
        assert_eq!(file.source_of(4, "alpine:3"), Ok(Source::External));
        assert!(matches!(
            file.source_of(2, "build"),
            Err(ResolveError::Later { .. })
        ));
        assert!(matches!(
            file.source_of(2, "2"),
            Err(ResolveError::Circular { .. })
        ));
        assert!(matches!(
            file.source_of(2, "9"),
            Err(ResolveError::Index { index: 9, count: 5 })
        ));
        assert!(matches!(
            file.source_of(0, "3"),
            Err(ResolveError::Later { .. })
        ));
    }

    #[test]
    fn targets() {
        let file = dockerfile();
        assert_eq!(file.target(None), Ok(4));
        assert_eq!(file.target(Some("")), Ok(4));
        assert_eq!(file.target(Some("TEST")), Ok(2));
        assert_eq!(file.target(Some("build")), Ok(3));
        assert_eq!(file.target(Some("1")), Ok(1));
        let error = file.target(Some("finale")).expect_err("no such stage");
        assert_eq!(
            error.to_string(),
            "target stage \"finale\" could not be found (did you mean final?)"
        );
        assert_eq!(file.similar_stage("biuld", 1), Some("Build"));
    }
}
