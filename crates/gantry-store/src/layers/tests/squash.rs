//! Layers made one.

use super::*;
use crate::tar::Reader;

/// What is in a layer's archive: kind, path and, of files, content or target.
fn listed(store: &Store, diff_id: &Digest) -> Vec<String> {
    let tar = store.layers().tar(diff_id).unwrap();
    let mut reader = Reader::new(std::io::BufReader::new(tar), &Limits::default());
    let mut listed = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let path = String::from_utf8(entry.path).unwrap();
        let link = String::from_utf8(entry.link).unwrap();
        listed.push(match entry.kind {
            EntryKind::Directory => format!("{path}/ {:o}", entry.mode),
            EntryKind::HardLink => format!("{path} = {link}"),
            EntryKind::Symlink => format!("{path} -> {link}"),
            _ => {
                let mut content = String::new();
                reader.read_to_string(&mut content).unwrap();
                let owner = (entry.uid, entry.gid, entry.xattrs.len());
                format!("{path} {owner:?} {content}")
            }
        });
    }
    listed.sort();
    listed
}

/// Squashes these archives as what lies over others, or over nothing.
fn squashed(above: bool, archives: &[Vec<u8>]) -> Vec<String> {
    let scratch = Scratch::new();
    let store = store(&scratch);
    let unpack = |tar: &Vec<u8>| {
        let options = UnpackOptions::default();
        store.layers().unpack(&tar[..], &options).unwrap().diff_id
    };
    let layers: Vec<Digest> = archives.iter().map(unpack).collect();
    let made = store.layers().squash(&layers, above).unwrap();
    assert_eq!(store.layers().squash(&layers, above).unwrap(), made);
    assert!(store.layers().verify(&made.diff_id).unwrap().is_ok());
    listed(&store, &made.diff_id)
}

#[test]
fn what_is_hidden_is_gone_and_what_hides_stays_where_it_must() {
    let mut owned = file("./etc/owned", "o");
    (owned.0.uid, owned.0.gid) = (7, 8);
    owned.0.xattrs = vec![(b"user.a".to_vec(), b"b".to_vec())];
    let archives = [
        archive(&[
            directory("etc", 0o700),
            owned,
            file("etc/gone", "secret"),
            file("etc/changed", "1"),
            directory("old", 0o755),
            file("old/a", "a"),
            file("old-b", "b"),
            file("was-file", "f"),
            link(EntryKind::Symlink, "was-link", "etc"),
        ]),
        archive(&[
            directory("etc", 0o750),
            file("etc/.wh.gone", ""),
            file("etc/.wh.never", ""),
            file("etc/changed", "2"),
            directory("old", 0o711),
            file("old/new", "n"),
            file("old/.wh..wh..opq", ""),
            directory("was-file", 0o755),
            file("was-link/in", "i"),
        ]),
    ];
    let seen = [
        "etc/ 750",
        "etc/changed (0, 0, 0) 2",
        "etc/owned (7, 8, 1) o",
        "old-b (0, 0, 0) b",
        "old/ 711",
        "old/new (0, 0, 0) n",
        "was-file/ 755",
        "was-link/in (0, 0, 0) i",
    ];
    assert_eq!(squashed(false, &archives), seen);
    let mut hides: Vec<&str> = seen.to_vec();
    hides.extend([
        "etc/.wh.gone (0, 0, 0) ",
        "etc/.wh.never (0, 0, 0) ",
        "old/.wh..wh..opq (0, 0, 0) ",
        "was-file/.wh..wh..opq (0, 0, 0) ",
        "was-link/.wh..wh..opq (0, 0, 0) ",
    ]);
    hides.sort_unstable();
    assert_eq!(squashed(true, &archives), hides);
}

#[test]
fn hard_links_keep_their_content_when_the_first_name_goes() {
    let archives = [
        archive(&[
            file("first", "content"),
            link(EntryKind::HardLink, "second", "first"),
            link(EntryKind::HardLink, "third", "/first"),
        ]),
        archive(&[
            file("first", "other"),
            link(EntryKind::HardLink, "fourth", "second"),
        ]),
    ];
    let seen = [
        "first (0, 0, 0) other",
        "fourth (0, 0, 0) content",
        "second = fourth",
        "third = fourth",
    ];
    assert_eq!(squashed(false, &archives), seen);
    let below = [
        archive(&[link(EntryKind::HardLink, "here", "below")]),
        archive(&[]),
    ];
    assert_eq!(squashed(true, &below), ["here = below"]);
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    for (above, bad) in [
        (
            false,
            archive(&[link(EntryKind::HardLink, "here", "nowhere")]),
        ),
        (
            true,
            archive(&[
                directory("usr", 0o755),
                link(EntryKind::Symlink, "lib", "usr"),
                file("lib/a", "a"),
            ]),
        ),
    ] {
        let layer = store.layers().unpack(&bad[..], &UnpackOptions::default());
        let layers = [layer.unwrap().diff_id];
        let error = store.layers().squash(&layers, above).unwrap_err();
        assert!(matches!(error, UnpackError::Source { .. }), "{error}");
    }
}
