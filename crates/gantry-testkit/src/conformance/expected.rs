//! What builds are expected to make.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Case, expected_path};
use crate::dockerfiles::expectations;

/// What BuildKit makes of some Dockerfiles, by their keys, and what Gantry means to make where
/// that is something else. The latter has a line that begins with `intended` and says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    buildkit: BTreeMap<String, String>,
    intended: BTreeMap<String, String>,
}

impl Expected {
    /// Of cases, from the folders `expected` and `intended` of the folder.
    ///
    /// # Panics
    /// When nothing is expected of a case.
    #[must_use]
    pub fn of_cases(folder: &Path, cases: &[Case]) -> Self {
        let mut expected = Self {
            buildkit: BTreeMap::new(),
            intended: BTreeMap::new(),
        };
        for case in cases {
            let path = expected_path(&folder.join("expected"), case);
            let text = fs::read_to_string(&path);
            let text = text.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            expected.buildkit.insert(case.key(), text);
            let intended = expected_path(&folder.join("intended"), case);
            if let Ok(text) = fs::read_to_string(intended) {
                expected.intended.insert(case.key(), text);
            }
        }
        expected
    }

    /// Of files by their digests, from `NAME.txt` and `NAME-intended.txt` of the folder.
    ///
    /// # Panics
    /// When one of them cannot be read.
    #[must_use]
    pub fn of_files(folder: &Path, name: &str) -> Self {
        let read = |ending: &str| {
            let path = folder.join(format!("{name}{ending}.txt"));
            let text = fs::read_to_string(&path);
            expectations(&text.unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        };
        Self {
            buildkit: read(""),
            intended: read("-intended"),
        }
    }

    /// How many Dockerfiles something is expected of.
    #[must_use]
    pub fn count(&self) -> usize {
        self.buildkit.len()
    }

    /// What BuildKit makes of one.
    #[must_use]
    pub fn of_buildkit(&self, key: &str) -> Option<&str> {
        self.buildkit.get(key).map(String::as_str)
    }

    /// What Gantry has to make of one.
    #[must_use]
    pub fn of_gantry(&self, key: &str) -> Option<String> {
        let text = self.intended.get(key).or_else(|| self.buildkit.get(key))?;
        let is_result = |line: &&str| !line.starts_with("intended ");
        Some(text.split_inclusive('\n').filter(is_result).collect())
    }
}

/// Whether two results are one: both failed, or both made the same image.
///
/// Docker cannot save an image without layers, which it writes as `empty`: there is no more to
/// compare.
#[must_use]
pub fn alike(expected: &str, got: &str) -> bool {
    let is_empty = || got.starts_with("platform") && !got.contains("\nlayer");
    expected == got
        || expected.starts_with("failed") && got.starts_with("failed")
        || expected == "empty\n" && is_empty()
}
