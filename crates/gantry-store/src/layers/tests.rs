mod hostile;
mod overlay;
mod squash;
mod tars;

use super::*;
use crate::UnpackError;
use crate::blobs::sha256;
use crate::limits::{Limit, Limits};
use crate::pack;
use crate::sample::{self, Scratch};
use crate::tar::{Entry, EntryKind, Writer};
use crate::tree::open_directory;
use std::io::Read;
use std::path::Path;
use std::process::Command;

fn store(scratch: &Scratch) -> Store {
    Store::open(&scratch.path().join("root")).unwrap()
}

/// Unpacks a tar as a layer, and demands the same bytes back and that it verifies.
fn faithful(store: &Store, tar: &[u8]) -> Digest {
    let options = UnpackOptions {
        diff_id: Some(sha256(tar)),
        ..UnpackOptions::default()
    };
    let info = store.layers().unpack(tar, &options).unwrap();
    assert_eq!(info.tar_size, tar.len() as u64);
    same_tar(store, &info.diff_id, tar);
    info.diff_id
}

fn same_tar(store: &Store, diff_id: &Digest, tar: &[u8]) {
    let mut again = Vec::new();
    store
        .layers()
        .tar(diff_id)
        .unwrap()
        .read_to_end(&mut again)
        .unwrap();
    assert!(again == *tar, "the tar comes back byte for byte");
    assert_eq!(
        store.layers().verify(diff_id).unwrap(),
        Ok(tar.len() as u64)
    );
}

fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.append(entry, &mut &content[..]).unwrap();
    }
    writer.finish().unwrap()
}

fn file<'c>(path: &str, content: &'c str) -> (Entry, &'c [u8]) {
    let entry = Entry {
        size: content.len() as u64,
        ..Entry::new(EntryKind::Regular, path)
    };
    (entry, content.as_bytes())
}

fn directory(path: &str, mode: u32) -> (Entry, &'static [u8]) {
    (
        Entry {
            mode,
            ..Entry::new(EntryKind::Directory, path)
        },
        b"",
    )
}

fn link(kind: EntryKind, path: &str, target: &str) -> (Entry, &'static [u8]) {
    (
        Entry {
            link: target.into(),
            ..Entry::new(kind, path)
        },
        b"",
    )
}

fn entries(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = sample::listing(path)
        .into_keys()
        .map(|path| String::from_utf8_lossy(&path).into_owned())
        .filter(|path| !path.is_empty())
        .collect();
    names.sort();
    names
}
