//! A commit of a git repository as a layer.
//!
//! A reference is asked once for a build what commit it is; from there on only that commit counts.
//! A commit that was fetched before is not fetched again.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::sync::PoisonError;

use gantry_model::{Digest, FaultKind};
use gantry_sys::path::Directory;
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use super::address::{fingerprint, is_commit};
use super::git_program::{Git, Place};
use super::{Behalf, Remote};
use crate::cache::Key;
use crate::error::StepError;
use crate::graph::{Fields, GitSource};
use crate::permissions::{Time, timespec};

/// What git says of a server of files that knows nothing of git.
const NO_SHALLOW: &str = "does not support shallow";

/// What is remembered of a commit.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    layer: Digest,
}

/// What a reference means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resolved {
    /// The whole name of the commit.
    pub(super) commit: String,
    /// `refs/heads/main`; `None` where the commit was named itself.
    full: Option<String>,
}

impl Remote {
    /// The layer with the files of the commit that `source` means.
    pub(crate) fn repository(
        &self,
        source: &GitSource,
        on: &Behalf<'_>,
    ) -> Result<Digest, StepError> {
        let git = Git::new(self, &source.remote, on)?;
        let resolved = self.resolved(&git, source)?;
        let mut fields = Fields::new("git");
        fields
            .text(&fingerprint(&source.remote))
            .text(&resolved.commit)
            .flag(source.keep_git_dir)
            .flag(source.submodules);
        if source.keep_git_dir {
            // What it is called stands in the repository.
            fields.optional(resolved.full.as_deref());
        }
        let key = Key(fields.finish());
        let _lock = self.lock(&key)?;
        if let Some(known) = self.known::<Known>(&key, on)? {
            self.touch(&key)?;
            return Ok(known.layer);
        }
        let layer = self.checkout(&git, source, &resolved)?;
        self.remember(&key, layer, &Known { layer })?;
        Ok(layer)
    }

    fn resolved(&self, git: &Git<'_>, source: &GitSource) -> Result<Resolved, StepError> {
        let key = (source.remote.clone(), source.reference.clone());
        // Held while it is asked, so that equal ones ask once.
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        let resolved = match commits.get(&key) {
            Some(known) => known.clone(),
            None => {
                let resolved = resolve(git, source.reference.as_deref())?;
                commits.insert(key, resolved.clone());
                resolved
            }
        };
        drop(commits);
        match &source.commit {
            Some(wanted) if !resolved.commit.starts_with(&wanted.to_ascii_lowercase()) => {
                let reason = format!(
                    "expected checksum to match {wanted}, got {}",
                    resolved.commit
                );
                Err(git.failed(reason, FaultKind::Corrupt))
            }
            _ => Ok(resolved),
        }
    }

    /// The commit that a reference of a repository turned out to be, if it was asked for.
    pub(crate) fn commit_of(&self, remote: &str, reference: Option<&str>) -> Option<String> {
        let key = (remote.to_owned(), reference.map(str::to_owned));
        let commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.get(&key).map(|resolved| resolved.commit.clone())
    }

    fn checkout(
        &self,
        git: &Git<'_>,
        source: &GitSource,
        resolved: &Resolved,
    ) -> Result<Digest, StepError> {
        let draft = self.store.layers().draft()?;
        let aside = draft.work().join("repository");
        let place = Place {
            tree: draft.upper(),
            repository: (!source.keep_git_dir).then_some(&aside),
        };
        fetch(git, place, source, resolved)?;
        self.measure(git, place, &resolved.commit)?;
        let commit = resolved.commit.as_str();
        match resolved
            .full
            .as_deref()
            .and_then(|full| full.strip_prefix("refs/heads/"))
        {
            Some(branch) if source.keep_git_dir => {
                git.run(
                    Some(place),
                    &["checkout", "--quiet", "--force", "-B", branch, commit],
                )?;
            }
            _ => {
                git.run(
                    Some(place),
                    &["checkout", "--quiet", "--force", "--detach", commit],
                )?;
            }
        }
        let has_modules = std::fs::symlink_metadata(draft.upper().join(".gitmodules"));
        if source.submodules && has_modules.is_ok_and(|modules| modules.is_file()) {
            let update = ["submodule", "--quiet", "update", "--init", "--recursive"];
            shallowly(git, place, &update, &[])?;
        }
        let time = git.run(Some(place), &["show", "--no-patch", "--format=%ct", commit])?;
        let time = String::from_utf8_lossy(&time).trim().parse().unwrap_or(0);
        let failed = |source| StepError::io("prepare", draft.upper(), source);
        let top = Directory::open(draft.upper()).map_err(failed)?;
        even(&top, true, source.keep_git_dir, (time, 0)).map_err(failed)?;
        Ok(draft.commit_while(&|| self.stop.goes_on())?.diff_id)
    }

    /// Refuses a tree that is more than is accepted, before anything of it is written.
    fn measure(&self, git: &Git<'_>, place: Place<'_>, commit: &str) -> Result<(), StepError> {
        let limits = self.store.limits();
        let list = ["ls-tree", "-r", "-l", "-z", "--full-tree", commit];
        git.read(Some(place), &list, |out| {
            let (mut entries, mut bytes) = (0, 0_u64);
            for entry in BufReader::new(out).split(0) {
                let entry = entry?;
                // mode, kind, object, size, tab, path
                let size = entry
                    .split(u8::is_ascii_whitespace)
                    .filter(|part| !part.is_empty());
                let size = size
                    .skip(3)
                    .map(String::from_utf8_lossy)
                    .next()
                    .unwrap_or_default();
                bytes = bytes.saturating_add(size.parse().unwrap_or(0));
                entries += 1;
                if entries > limits.entries || bytes > limits.tar_bytes {
                    let text = "the repository has more files or bytes than are accepted; if you \
                                trust it, raise `layer-entries` or `layer-bytes` below [limits] \
                                in config.toml";
                    return Err(io::Error::other(text));
                }
            }
            Ok(())
        })
    }
}

/// Asks the other side what a reference is.
fn resolve(git: &Git<'_>, reference: Option<&str>) -> Result<Resolved, StepError> {
    let wanted = reference.unwrap_or("HEAD");
    if is_commit(wanted) {
        return Ok(Resolved {
            commit: wanted.to_ascii_lowercase(),
            full: None,
        });
    }
    let names = candidates(wanted);
    let mut arguments = vec!["ls-remote", "--symref", "--", git.address.as_str()];
    let peeled: Vec<String> = names.iter().map(|name| format!("{name}^{{}}")).collect();
    arguments.extend(names.iter().chain(&peeled).map(String::as_str));
    let listed = git.run(None, &arguments)?;
    let listed = String::from_utf8_lossy(&listed);
    find(&listed, &names).ok_or_else(|| {
        let reason = format!("the repository has no branch, tag or reference {wanted}");
        git.failed(reason, FaultKind::NotFound)
    })
}

/// The full names that may be meant, the likeliest first.
fn candidates(wanted: &str) -> Vec<String> {
    if wanted == "HEAD" || wanted.starts_with("refs/") {
        return vec![wanted.to_owned()];
    }
    ["refs/heads/", "refs/tags/", "refs/"]
        .iter()
        .map(|prefix| format!("{prefix}{wanted}"))
        .collect()
}

/// The first of `names` in what `ls-remote` listed; an annotated tag is the commit it stands for.
fn find(listed: &str, names: &[String]) -> Option<Resolved> {
    let of = |name: &str| {
        let lines = listed.lines().filter_map(|line| line.split_once('\t'));
        let mut commits = lines.filter(|(commit, full)| *full == name && is_commit(commit));
        commits
            .next()
            .map(|(commit, _)| commit.to_ascii_lowercase())
    };
    names.iter().find_map(|name| {
        let commit = of(&format!("{name}^{{}}")).or_else(|| of(name))?;
        // `ref: refs/heads/main<tab>HEAD`
        let target = listed.lines().find_map(|line| {
            let (target, full) = line.strip_prefix("ref: ")?.split_once('\t')?;
            (full == name).then(|| target.to_owned())
        });
        let full = target.or_else(|| name.starts_with("refs/").then(|| name.clone()));
        Some(Resolved { commit, full })
    })
}

/// Runs a command of git that fetches: without what came before, where the server can do that.
fn shallowly(
    git: &Git<'_>,
    place: Place<'_>,
    command: &[&str],
    operands: &[&str],
) -> Result<Vec<u8>, StepError> {
    let shallow = [command, &["--depth=1"], operands].concat();
    match git.run(Some(place), &shallow) {
        Err(StepError::Fetch { reason, .. }) if reason.contains(NO_SHALLOW) => {
            git.run(Some(place), &[command, operands].concat())
        }
        done => done,
    }
}

/// Brings the commit here, with as little as can be had of what came before it.
fn fetch(
    git: &Git<'_>,
    place: Place<'_>,
    source: &GitSource,
    resolved: &Resolved,
) -> Result<(), StepError> {
    let commit = resolved.commit.as_str();
    let format = if commit.len() == 64 {
        "--object-format=sha256"
    } else {
        "--object-format=sha1"
    };
    git.run(Some(place), &["init", "--quiet", "--template=", format])?;
    git.run(
        Some(place),
        &["remote", "add", "--", "origin", &git.address],
    )?;
    let shallow = |what: &str| {
        let fetch = ["fetch", "--no-tags", "--no-recurse-submodules"];
        shallowly(git, place, &fetch, &["--", "origin", what])
    };
    let is_here = || {
        let object = format!("{commit}^{{commit}}");
        git.run(Some(place), &["rev-parse", "--quiet", "--verify", &object])
            .is_ok()
    };
    // A tag that is kept is an object of its own.
    let tag = resolved
        .full
        .as_deref()
        .filter(|full| full.starts_with("refs/tags/"));
    if let Some(tag) = tag.filter(|_| source.keep_git_dir) {
        shallow(&format!("+{tag}:{tag}"))?;
        if is_here() {
            return Ok(());
        }
    }
    // Not every server gives any commit; then what is named, then all.
    let asked = shallow(commit);
    if asked.is_ok() && is_here() {
        return Ok(());
    }
    if matches!(asked, Err(StepError::Canceled)) {
        return Err(StepError::Canceled);
    }
    if let Some(full) = &resolved.full {
        shallow(full)?;
        if is_here() {
            return Ok(());
        }
    }
    let all = [
        "fetch",
        "--tags",
        "--no-recurse-submodules",
        "--",
        "origin",
        "+refs/heads/*:refs/remotes/origin/*",
    ];
    git.run(Some(place), &all)?;
    if is_here() {
        return Ok(());
    }
    Err(git.failed(
        format!("the repository has no commit {commit}"),
        FaultKind::NotFound,
    ))
}

/// Gives files the modes and times that follow from the commit, whatever this machine gave them,
/// and takes away what submodules need to find their repositories.
fn even(directory: &Directory, is_top: bool, keep: bool, time: Time) -> io::Result<()> {
    let time = timespec(time);
    for entry in directory.entries()? {
        let name = entry.name.as_os_str();
        if name == OsStr::new(".git") {
            if !keep {
                directory.remove_all(name)?;
                continue;
            }
            if is_top {
                continue;
            }
        }
        let status = directory.status_of(name)?;
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => {
                even(
                    &directory.directory_beneath(name)?,
                    false,
                    keep,
                    (time.tv_sec, 0),
                )?;
                directory.set_mode(name, 0o755)?;
            }
            FileType::RegularFile if status.st_mode & 0o111 != 0 => {
                directory.set_mode(name, 0o755)?
            }
            FileType::RegularFile => directory.set_mode(name, 0o644)?,
            _ => {}
        }
        directory.set_times(name, time, time)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";

    fn found(listed: &str, wanted: &str) -> Option<(String, Option<String>)> {
        find(listed, &candidates(wanted)).map(|found| (found.commit, found.full))
    }

    #[test]
    fn a_branch_is_meant_before_a_tag() {
        let listed = format!(
            "{ONE}\trefs/tags/v1\n{TWO}\trefs/tags/v1^{{}}\n{ONE}\trefs/heads/both\n\
             {TWO}\trefs/tags/both\n{TWO}\trefs/pull/1/head\n{ONE}\tother/refs/heads/x\n"
        );
        let full = |name: &str| Some(name.to_owned());
        assert_eq!(
            found(&listed, "v1"),
            Some((TWO.to_owned(), full("refs/tags/v1")))
        );
        assert_eq!(
            found(&listed, "both"),
            Some((ONE.to_owned(), full("refs/heads/both")))
        );
        assert_eq!(
            found(&listed, "refs/tags/both"),
            Some((TWO.to_owned(), full("refs/tags/both")))
        );
        assert_eq!(
            found(&listed, "pull/1/head"),
            Some((TWO.to_owned(), full("refs/pull/1/head")))
        );
        assert_eq!(found(&listed, "x"), None);
        let listed = format!("ref: refs/heads/main\tHEAD\n{ONE}\tHEAD\n");
        assert_eq!(
            found(&listed, "HEAD"),
            Some((ONE.to_owned(), full("refs/heads/main")))
        );
        assert_eq!(found("nonsense\tHEAD\n", "HEAD"), None);
    }
}
