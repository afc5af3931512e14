//! What a builder makes of the cases.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use gantry_testkit::conformance::{self, Case};

use super::listed::List;
use super::peer::Peer;
use super::{Found, conformance as home};

/// The cases of one group, one case (`group/name`), or all.
pub(super) fn all(folder: &Path, asked: Option<&str>) -> Vec<Case> {
    let folder = folder.join("cases");
    let groups = conformance::groups(&folder).into_iter();
    let all = groups.flat_map(|name| conformance::cases(&folder, &name));
    all.filter(|case| asked.is_none_or(|asked| asked == case.group || asked == case.key()))
        .collect()
}

pub(super) fn ask(asked: Option<&str>, peer: &Peer, list: &List) -> Result<Vec<Found>> {
    let context = peer.work().join("context");
    conformance::lay_out_context(&context);
    let cases = all(&home(), asked);
    if cases.is_empty() {
        bail!("there is no case {}", asked.unwrap_or_default());
    }
    let found = cases.into_iter().map(|case| {
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
pub(super) fn record(folder: &Path, asked: Option<&str>, found: &[Found]) -> Result<()> {
    for (case, found) in all(folder, asked).iter().zip(found) {
        let path = conformance::expected_path(&folder.join("expected"), case);
        fs::create_dir_all(path.parent().context("a result has a folder")?)?;
        fs::write(path, &found.result)?;
    }
    Ok(())
}
