//! What a builder makes of the cases.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use gantry_testkit::conformance::{self, Case};

use super::listed::List;
use super::peer::Peer;
use super::{Found, conformance as home};

/// The cases of one group or of all.
pub(super) fn all(folder: &Path, group: Option<&str>) -> Vec<Case> {
    let folder = folder.join("cases");
    let groups = conformance::groups(&folder);
    let asked = groups
        .iter()
        .filter(|name| group.is_none_or(|group| group == *name));
    asked
        .flat_map(|name| conformance::cases(&folder, name))
        .collect()
}

pub(super) fn ask(group: Option<&str>, peer: &Peer, list: &List) -> Result<Vec<Found>> {
    let context = peer.work().join("context");
    conformance::lay_out_context(&context);
    let found = all(&home(), group).into_iter().map(|case| {
        let key = case.key();
        let text = case.dockerfile.as_bytes();
        let result = list.ask(&key, || peer.built(text, &case.flags, &context))?;
        Ok(Found {
            key,
            origin: String::new(),
            result,
        })
    });
    found.collect()
}

/// Writes a file for each case.
pub(super) fn record(folder: &Path, group: Option<&str>, found: &[Found]) -> Result<()> {
    for (case, found) in all(folder, group).iter().zip(found) {
        let path = conformance::expected_path(&folder.join("expected"), case);
        fs::create_dir_all(path.parent().context("a result has a folder")?)?;
        fs::write(path, &found.result)?;
    }
    Ok(())
}
