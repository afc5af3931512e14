//! What a command leaves out because it is damaged: told once, at its end, and no reason to
//! fail for everything else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Something that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What, and why, in a sentence.
    pub sentence: String,
    /// What to do about it.
    pub hints: Vec<String>,
}

/// What was left out so far, each thing once.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<BTreeMap<String, Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, found: LeftOut) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        notes.insert(found.sentence, found.hints);
    }

    pub(crate) fn take(&self) -> Vec<LeftOut> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *notes)
            .into_iter()
            .map(|(sentence, hints)| LeftOut { sentence, hints })
            .collect()
    }
}
