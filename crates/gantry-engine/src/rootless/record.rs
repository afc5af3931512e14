//! With which IDs a store was written.

use std::fs;
use std::io;
use std::path::Path;

use gantry_sys::process::IdMapping;

use super::RootlessError;
use super::mapping::{Mapping, lines};

const FILE: &str = "id-mapping";

/// Whether what the store was written with can be written with this mapping as well: a longer one
/// can, another one would make the store's files somebody else's.
pub(super) fn check(root: &Path, mapping: &Mapping) -> Result<(), RootlessError> {
    let Some(written) = read(root)? else {
        return Ok(());
    };
    match lost(&written, mapping) {
        None => Ok(()),
        Some(line) => Err(RootlessError::LostIds {
            root: root.to_owned(),
            written: line,
        }),
    }
}

/// Notes the mapping; the store's folder must be there, or comes with its first use.
pub(super) fn write(root: &Path, mapping: &Mapping) -> Result<(), RootlessError> {
    let path = root.join(FILE);
    let text = lines('u', &mapping.uids) + &lines('g', &mapping.gids);
    let failed = |source| RootlessError::Folder {
        path: path.clone(),
        source,
    };
    if read(root)?.as_deref() == Some(&text) || !root.exists() {
        return Ok(());
    }
    fs::write(&path, text).map_err(failed)
}

fn read(root: &Path) -> Result<Option<String>, RootlessError> {
    let path = root.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RootlessError::Folder { path, source }),
    }
}

/// The first line of a record that the mapping does not have.
fn lost(written: &str, mapping: &Mapping) -> Option<String> {
    let holds = |line: &&str| {
        let (kind, numbers) = line.split_once(' ')?;
        let mut numbers = numbers.split(' ').map(str::parse::<u32>);
        let written = IdMapping {
            inside: numbers.next()?.ok()?,
            outside: numbers.next()?.ok()?,
            size: numbers.next()?.ok()?,
        };
        let now = if kind == "u" {
            &mapping.uids
        } else {
            &mapping.gids
        };
        let same = |ids: &IdMapping| {
            (ids.inside, ids.outside) == (written.inside, written.outside)
                && ids.size >= written.size
        };
        now.iter().any(same).then_some(())
    };
    written
        .lines()
        .find(|line| holds(line).is_none())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(count: u32) -> Mapping {
        let mut mapping = Mapping::single(1000, 1000);
        let ids = IdMapping {
            inside: 1,
            outside: 100_000,
            size: count,
        };
        mapping.uids.push(ids);
        mapping.gids.push(ids);
        mapping
    }

    #[test]
    fn a_store_keeps_its_ids() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let single = Mapping::single(1000, 1000);
        assert!(check(root, &single).is_ok(), "nothing is written yet");
        write(root, &single).unwrap();
        check(root, &mapping(10)).expect("more is fine");
        write(root, &mapping(10)).unwrap();
        check(root, &mapping(10)).expect("the same is fine");
        check(root, &mapping(11)).expect("more is fine");
        for other in [single, mapping(9), Mapping::single(7, 7)] {
            let refused = check(root, &other).expect_err("IDs are lost");
            assert!(matches!(refused, RootlessError::LostIds { .. }));
        }
    }

    #[test]
    fn a_damaged_record_is_noticed() {
        assert!(lost("u 0 x 1\n", &mapping(1)).is_some());
        assert!(lost("\n", &mapping(1)).is_some());
    }
}
