//! What other builders make of the cases of `crates/gantry/tests/conformance`.
//!
//! `record` writes what the tests expect of Gantry: to be run with the newest Docker. `compare`
//! holds another builder to what Gantry makes, and `list` writes down where it differs.

mod cases;
mod dockerfiles;
mod listed;
mod peer;
mod real;
mod seen;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};
use gantry_testkit::conformance::Expected;

use crate::{cargo, say};
use listed::List;
use peer::Peer;

/// `record|compare|list GROUP[/CASE]|all PROGRAM…`: docker, podman or buildah, with flags (`docker -H …`).
/// Two groups are no part of `all`: `dockerfiles` (`build --call` of real files, which takes
/// minutes) and `real` (builds of those that can be built here).
pub(crate) fn run(args: &[String]) -> Result<()> {
    let [action, group, program, flags @ ..] = args else {
        bail!(
            "usage: cargo xtask conformance record|compare|list GROUP[/CASE]|all PROGRAM [FLAGS...]"
        );
    };
    let group = Group::named(group);
    if !["record", "compare", "list"].contains(&action.as_str()) {
        bail!("{action} is neither record nor compare nor list");
    }
    let peer = Peer::new(program, flags)?;
    if action == "record" {
        return group.record(&group.ask(&peer, &List::default())?);
    }
    let path = group.list(&peer);
    let list = List::read(&path)?;
    let found = group.ask(&peer, &list)?;
    if action == "compare" {
        listed::compare(&peer, &group.expected(), &found, &list)
    } else {
        listed::write(&peer, &group.expected(), &found, list, &path)
    }
}

/// What a builder made of one Dockerfile.
struct Found {
    /// The case's name with its group, or the file's digest.
    key: String,
    /// Where a file is from.
    origin: String,
    result: String,
}

/// What is asked of a builder at once.
enum Group {
    /// The cases of one group, a single one, or all.
    Cases(Option<String>),
    Dockerfiles,
    Real,
}

impl Group {
    fn named(name: &str) -> Self {
        match name {
            "dockerfiles" => Self::Dockerfiles,
            "real" => Self::Real,
            "all" => Self::Cases(None),
            one => Self::Cases(Some(one.to_owned())),
        }
    }

    fn ask(&self, peer: &Peer, list: &List) -> Result<Vec<Found>> {
        match self {
            Self::Cases(group) => cases::ask(group.as_deref(), peer, list),
            Self::Dockerfiles => dockerfiles::ask(peer),
            Self::Real => real::ask(peer, list),
        }
    }

    /// Where the expectations are, and for files how they are named there.
    fn place(&self) -> (PathBuf, &'static str) {
        match self {
            Self::Cases(_) => (conformance(), ""),
            Self::Dockerfiles => {
                let folder = cargo::root().join("crates/gantry-build/testdata");
                (folder, "dockerfiles")
            }
            Self::Real => (conformance(), "real"),
        }
    }

    fn record(&self, found: &[Found]) -> Result<()> {
        let (folder, name) = self.place();
        if let Self::Cases(group) = self {
            return cases::record(&folder, group.as_deref(), found);
        }
        let text = found.iter().try_fold(String::new(), |mut text, found| {
            let Found {
                key,
                origin,
                result,
            } = found;
            write!(text, "=== {key} {origin}\n{result}").map(|()| text)
        })?;
        fs::write(folder.join(name).with_extension("txt"), text)?;
        say(&format!("{} are recorded", found.len()));
        Ok(())
    }

    fn expected(&self) -> Expected {
        let (folder, name) = self.place();
        match self {
            Self::Cases(group) => {
                Expected::of_cases(&folder, &cases::all(&folder, group.as_deref()))
            }
            Self::Dockerfiles | Self::Real => Expected::of_files(&folder, name),
        }
    }

    /// The list of a builder's differences.
    fn list(&self, peer: &Peer) -> PathBuf {
        let (_, name) = self.place();
        let between = if name.is_empty() { "" } else { "-" };
        conformance().join(format!("peers/{}{between}{name}.txt", peer.name()))
    }
}

fn conformance() -> PathBuf {
    cargo::root().join("crates/gantry/tests/conformance")
}
