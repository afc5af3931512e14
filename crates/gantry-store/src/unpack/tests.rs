use std::os::fd::AsFd;

use proptest::prelude::*;

use super::*;
use crate::sample::{self, Scratch};
use crate::tar::{Entry, EntryKind, Writer};

fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.append(entry, &mut &content[..]).unwrap();
    }
    writer.finish().unwrap()
}

fn unpack(into: &std::path::Path, tar: &[u8], options: &Options) -> Result<Unpacked, UnpackError> {
    let root = tree::open_directory(rustix::fs::CWD, into).unwrap();
    into_directory(root.as_fd(), tar, options)
}

#[test]
fn an_archive_goes_over_what_is_there() {
    let scratch = Scratch::new();
    let into = scratch.directory("into");
    std::fs::create_dir_all(into.join("kept/d")).unwrap();
    std::fs::write(into.join("kept/old"), "old").unwrap();
    std::fs::write(into.join("replaced"), "old").unwrap();
    std::os::unix::fs::symlink("kept", into.join("link")).unwrap();
    let text = |path: &str| {
        (
            Entry {
                size: 3,
                ..Entry::new(EntryKind::Regular, path)
            },
            &b"new"[..],
        )
    };
    let tar = archive(&[
        text("kept/new"),
        text("replaced"),
        text("link/through"),
        text(".wh.plain"),
    ]);
    let options = Options {
        owners: Owners::Caller,
        ..Options::default()
    };
    unpack(&into, &tar, &options).unwrap();
    for path in ["kept/new", "replaced", "kept/through", ".wh.plain"] {
        assert_eq!(std::fs::read(into.join(path)).unwrap(), b"new", "{path}");
    }
    assert_eq!(std::fs::read(into.join("kept/old")).unwrap(), b"old");
    let lost = (
        Entry {
            link: b"nowhere".to_vec(),
            ..Entry::new(EntryKind::HardLink, "l")
        },
        &b""[..],
    );
    assert!(matches!(
        unpack(&into, &archive(&[lost]), &options),
        Err(UnpackError::LinkTarget { .. })
    ));
}

#[test]
fn root_owners_can_be_fixed() {
    sample::require_root();
    let scratch = Scratch::new();
    let into = scratch.directory("into");
    let mut entry = Entry::new(EntryKind::Directory, "d");
    entry.uid = 5;
    let options = Options {
        owners: Owners::Fixed(1234, 99),
        ..Options::default()
    };
    unpack(&into, &archive(&[(entry, b"")]), &options).unwrap();
    assert_eq!(sample::listing(&into)[&b"d"[..]].owner, (1234, 99));
    // A setgid directory gives its group to nothing.
    rustix::fs::chmod(&into, rustix::fs::Mode::from_raw_mode(0o2777)).unwrap();
    std::os::unix::fs::chown(&into, Some(0), Some(77)).unwrap();
    let entries = archive(&[
        (Entry::new(EntryKind::Regular, "f"), b""),
        (Entry::new(EntryKind::Directory, "e"), b""),
    ]);
    unpack(&into, &entries, &Options::default()).unwrap();
    let found = sample::listing(&into);
    assert_eq!(
        (found[&b"f"[..]].owner, found[&b"e"[..]].owner),
        ((0, 0), (0, 0))
    );
    assert_eq!(
        (
            found[&b"f"[..]].mode & 0o7777,
            found[&b"e"[..]].mode & 0o7777
        ),
        (0o644, 0o755)
    );
}

/// Names that lead astray, now and then.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-c]",
        1 => Just("..".to_owned()),
        1 => Just(".".to_owned()),
        1 => Just(String::new()),
        1 => Just(".wh.a".to_owned()),
        1 => Just(".wh..wh..opq".to_owned()),
    ];
    proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
}

fn hostile() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let target = prop_oneof![
        path(),
        Just("../../../outside".to_owned()),
        Just("/proc/self/cwd".to_owned())
    ];
    (path(), target, 0..6_usize, 0_u32..0o10000).prop_map(|(path, link, kind, mode)| {
        let kind = [
            EntryKind::Regular,
            EntryKind::HardLink,
            EntryKind::Symlink,
            EntryKind::Directory,
            EntryKind::Fifo,
            EntryKind::CharacterDevice,
        ][kind];
        let content = if kind == EntryKind::Regular {
            b"hostile".to_vec()
        } else {
            Vec::new()
        };
        let linked = matches!(kind, EntryKind::HardLink | EntryKind::Symlink);
        let entry = Entry {
            mode,
            size: content.len() as u64,
            link: if linked {
                link.into_bytes()
            } else {
                Vec::new()
            },
            ..Entry::new(
                kind,
                if path.is_empty() {
                    "x".to_owned()
                } else {
                    path
                },
            )
        };
        (entry, content)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn root_nothing_escapes_and_nothing_panics(
        entries in proptest::collection::vec(hostile(), 1..12),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        whiteouts in any::<bool>(),
    ) {
        sample::require_root();
        let scratch = Scratch::new();
        let outside = scratch.directory("outside");
        std::fs::write(outside.join("file"), "untouched").unwrap();
        let into = scratch.directory("into");
        let before = sample::listing(&outside);
        let mut tar: Vec<u8> = archive(&entries.iter().map(|(e, c)| (e.clone(), &c[..])).collect::<Vec<_>>());
        for (at, byte) in changes {
            let at = at.index(tar.len());
            tar[at] = byte;
        }
        let options = Options {
            whiteouts: whiteouts.then_some(OverlayNames::Trusted),
            ..Options::default()
        };
        let _result = unpack(&into, &tar, &options);
        prop_assert_eq!(before, sample::listing(&outside));
        let mut names: Vec<_> =
            std::fs::read_dir(scratch.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        prop_assert_eq!(names, ["into", "outside"]);
    }

    #[test]
    fn root_a_hostile_layer_is_unpacked_faithfully_or_not_at_all(
        entries in proptest::collection::vec(hostile(), 1..12),
    ) {
        sample::require_root();
        let scratch = Scratch::new();
        let store = crate::Store::open(&scratch.path().join("root")).unwrap();
        let tar: Vec<u8> = archive(&entries.iter().map(|(e, c)| (e.clone(), &c[..])).collect::<Vec<_>>());
        match store.layers().unpack(&tar[..], &crate::UnpackOptions::default()) {
            Ok(info) => {
                let mut again = Vec::new();
                let mut stream = store.layers().tar(&info.diff_id).unwrap();
                Read::read_to_end(&mut stream, &mut again).unwrap();
                prop_assert!(again == tar);
            }
            Err(_) => {
                for folder in ["layers", "ingest"] {
                    prop_assert_eq!(std::fs::read_dir(store.root().join(folder)).unwrap().count(), 0);
                }
            }
        }
    }
}
