use std::io::Read;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::UnpackError;
use crate::blobs::sha256;
use crate::limits::{Limit, Limits};
use crate::pack;
use crate::sample::{self, Scratch};
use crate::tar::{Entry, EntryKind, Writer};
use crate::tree::open_directory;

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

fn gnu_tar(tree: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("tar")
        .args(arguments)
        .arg("-C")
        .arg(tree)
        .args(["-cf", "-", "."])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[test]
fn root_tars_of_every_format_come_back_byte_for_byte() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let tree = scratch.directory("tree");
    sample::everything(&tree);
    let expected = sample::listing(&tree);
    let everything = faithful(
        &store,
        &gnu_tar(&tree, &["--format=posix", "--xattrs", "--xattrs-include=*"]),
    );
    sample::assert_same(
        &expected,
        &sample::listing(&store.layers().tree(&everything)),
    );
    for version in ["0.0", "0.1", "1.0"] {
        let sparse = format!("--sparse-version={version}");
        let tar = gnu_tar(
            &tree,
            &[
                "--format=posix",
                "-S",
                &sparse,
                "--xattrs",
                "--xattrs-include=*",
                "--sort=name",
            ],
        );
        let diff_id = faithful(&store, &tar);
        sample::assert_same(&expected, &sample::listing(&store.layers().tree(&diff_id)));
        let blocks = |name: &str| {
            let path = store.layers().tree(&diff_id).join(name);
            std::os::unix::fs::MetadataExt::blocks(&path.metadata().unwrap())
        };
        assert!(
            blocks("scattered") < 4096 && blocks("hole") < 64,
            "sparse files stay sparse"
        );
    }
    for arguments in [
        &["--format=gnu", "-S"][..],
        &["--format=gnu"],
        &["--format=oldgnu", "-S"],
    ] {
        let diff_id = faithful(&store, &gnu_tar(&tree, arguments));
        // These formats have whole seconds and no attributes.
        let coarse = |listing: &sample::Listing| {
            let mut listing = listing.clone();
            for one in listing.values_mut() {
                one.mtime.1 = 0;
                one.xattrs.clear();
            }
            listing
        };
        let found = sample::listing(&store.layers().tree(&diff_id));
        sample::assert_same(&coarse(&expected), &coarse(&found));
    }
}

#[test]
fn root_old_formats_blocking_and_trailing_bytes_come_back() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let tree = scratch.directory("tree");
    std::fs::create_dir(tree.join("d")).unwrap();
    std::fs::write(tree.join("d/file"), "content").unwrap();
    std::fs::hard_link(tree.join("d/file"), tree.join("d/link")).unwrap();
    std::os::unix::fs::symlink("file", tree.join("d/soft")).unwrap();
    for format in ["v7", "ustar", "oldgnu", "gnu", "posix"] {
        let tar = gnu_tar(&tree, &[&format!("--format={format}"), "-b", "7"]);
        let diff_id = faithful(&store, &tar);
        let found = sample::listing(&store.layers().tree(&diff_id));
        assert_eq!(found[&b"d/file"[..]].content, b"content");
        assert_eq!(found[&b"d/link"[..]].linked, Some(b"d/file".to_vec()));
    }
    let tar = gnu_tar(&tree, &["--format=ustar", "-b", "1"]);
    let end = tar.len() - 1024;
    for tail in [
        &b""[..],
        b"\0",
        &[0; 511],
        &[0; 512],
        &[0; 1025],
        b"garbage after nothing",
    ] {
        // Without the end marker, only whole blocks can follow.
        let marked = [&tar[..], tail].concat();
        faithful(&store, &marked);
    }
    faithful(&store, &tar[..end]);
    faithful(&store, &tar[..end + 512]);
    faithful(&store, &[]);
    faithful(&store, &[0; 1024]);
    faithful(&store, &[0; 10_240]);
}

#[test]
fn root_tars_of_python_come_back() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let tree = scratch.directory("tree");
    sample::everything(&tree);
    for format in ["GNU_FORMAT", "PAX_FORMAT"] {
        let tar = scratch.path().join(format);
        let script = format!(
            "import sys, tarfile\nt = tarfile.open(sys.argv[2], 'w', format=tarfile.{format}, \
             errors='surrogateescape')\nt.add(sys.argv[1], arcname='.')\nt.close()"
        );
        let status = Command::new("python3")
            .args(["-c", &script])
            .arg(&tree)
            .arg(&tar)
            .status()
            .unwrap();
        assert!(status.success());
        faithful(&store, &std::fs::read(&tar).unwrap());
    }
}

#[test]
fn root_replaced_entries_leave_the_last_one_and_the_same_bytes() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let tar = archive(&[
        file("a", "one"),
        file("a", "two"),
        link(EntryKind::HardLink, "b", "a"),
        file("a", "three"),
        file("dir/x", "below"),
        file("dir/sub/y", "deeper"),
        file("dir", "a file now"),
        link(EntryKind::Symlink, "s", "nowhere"),
        file("s", "no link"),
        directory("a", 0o700),
        file("a/inside", "in"),
        link(EntryKind::HardLink, "b", "b"),
        file("e", ""),
        link(EntryKind::HardLink, "e", "b"),
        link(EntryKind::HardLink, "e", "b"),
        file("e", "own"),
    ]);
    let diff_id = faithful(&store, &tar);
    let found = sample::listing(&store.layers().tree(&diff_id));
    assert_eq!(
        entries(&store.layers().tree(&diff_id)),
        ["a", "a/inside", "b", "dir", "e", "s"]
    );
    assert_eq!(found[&b"b"[..]].content, b"two");
    assert_eq!(found[&b"dir"[..]].content, b"a file now");
    assert_eq!(found[&b"e"[..]].content, b"own");
    assert_eq!(found[&b"a"[..]].mode & 0o7777, 0o700);
}

#[test]
fn root_whiteouts_become_overlayfss() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let mut own = file("etc/attributes", "x");
    own.0
        .xattrs
        .push((b"trusted.overlay.opaque".to_vec(), b"y".to_vec()));
    let tar = archive(&[
        directory("etc", 0o755),
        file("etc/.wh.gone", ""),
        own,
        file("var/.wh..wh..opq", ""),
        file("var/new", "new"),
        file("both/.wh.x", ""),
        file("both/x", "wins"),
        file("late/y", "wins"),
        file("late/.wh.y", ""),
        file("tree/.wh.d", ""),
        file("tree/d/f", "in a new directory"),
        directory("was", 0o750),
        file(".wh.was", ""),
        file(".wh..wh.plnk/1.2", "aufs"),
        file(".wh..wh.aufs", ""),
    ]);
    let diff_id = faithful(&store, &tar);
    let found = sample::listing(&store.layers().tree(&diff_id));
    let opaque = (b"trusted.overlay.opaque".to_vec(), b"y".to_vec());
    assert_eq!(found[&b"etc/gone"[..]].mode & 0o170_000, 0o020_000);
    assert_eq!(found[&b"etc/gone"[..]].device, 0);
    assert_eq!(
        found[&b"etc/attributes"[..]].xattrs,
        [(b"trusted.overlay.overlay.opaque".to_vec(), b"y".to_vec())]
    );
    for path in ["var", "tree/d", "was"] {
        assert_eq!(
            found[path.as_bytes()].xattrs,
            std::slice::from_ref(&opaque),
            "{path}"
        );
    }
    assert_eq!(found[&b"both/x"[..]].content, b"wins");
    assert_eq!(found[&b"late/y"[..]].content, b"wins");
    assert!(!found.keys().any(|path| path.starts_with(b".wh.")));
    // What was unpacked packs to a layer that says the same.
    let draft = store.layers().draft().unwrap();
    let status = Command::new("cp")
        .arg("-a")
        .arg(store.layers().tree(&diff_id).join("."))
        .arg(draft.upper())
        .status()
        .unwrap();
    assert!(status.success());
    let packed = draft.commit().unwrap();
    let again = sample::listing(&store.layers().tree(&packed.diff_id));
    let mut tar = Vec::new();
    store
        .layers()
        .tar(&packed.diff_id)
        .unwrap()
        .read_to_end(&mut tar)
        .unwrap();
    same_tar(&store, &packed.diff_id, &tar);
    let other = Scratch::new();
    let store = Store::open(&other.path().join("root")).unwrap();
    let diff_id = faithful(&store, &tar);
    let mut third = sample::listing(&store.layers().tree(&diff_id));
    third.insert(Vec::new(), again[&Vec::new()].clone());
    sample::assert_same(&normal(again), &normal(third));
}

/// Whiteouts' times and modes mean nothing.
fn normal(mut listing: sample::Listing) -> sample::Listing {
    for one in listing.values_mut() {
        if one.mode & 0o170_000 == 0o020_000 && one.device == 0 {
            one.mtime = (0, 0);
            one.mode = 0o020_000;
        }
    }
    listing
}

#[test]
fn root_a_draft_of_everything_is_a_faithful_layer() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let draft = store.layers().draft().unwrap();
    sample::everything(draft.upper());
    std::fs::remove_dir(draft.upper().join("empty")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(draft.upper().join("socket")).unwrap();
    let set = |path: &str, name: &str| {
        let flags = fs::XattrFlags::empty();
        fs::lsetxattr(draft.upper().join(path), name, b"y", flags).unwrap();
    };
    set("dir", "trusted.overlay.origin");
    set("dir/sub", "trusted.overlay.impure");
    set("dir/sub", "trusted.overlay.opaque");
    let info = draft.commit().unwrap();
    let mut tar = Vec::new();
    store
        .layers()
        .tar(&info.diff_id)
        .unwrap()
        .read_to_end(&mut tar)
        .unwrap();
    assert_eq!(sha256(&tar), info.diff_id);
    same_tar(&store, &info.diff_id, &tar);
    let found = sample::listing(&store.layers().tree(&info.diff_id));
    assert!(!found.contains_key(&b"socket"[..]));
    assert!(
        !found[&b"dir"[..]]
            .xattrs
            .iter()
            .any(|(name, _)| name.starts_with(b"trusted.overlay"))
    );
    // Somewhere else it unpacks to the same.
    let other = Scratch::new();
    let elsewhere = Store::open(&other.path().join("root")).unwrap();
    let diff_id = faithful(&elsewhere, &tar);
    let mut unpacked = sample::listing(&elsewhere.layers().tree(&diff_id));
    unpacked.insert(Vec::new(), found[&Vec::new()].clone());
    sample::assert_same(&found, &unpacked);
    // The same content again is the same layer.
    assert_eq!(store.layers().list().unwrap().len(), 1);
    assert_eq!(
        std::fs::read_dir(store.root().join("ingest"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn root_the_root_directory_is_listed_only_when_it_was_changed() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let commit = |mode: Option<u32>| {
        let draft = store.layers().draft().unwrap();
        std::fs::write(draft.upper().join("f"), "x").unwrap();
        let time = crate::unpack::timestamps(crate::tar::Timestamp::default());
        fs::utimensat(fs::CWD, draft.upper().join("f"), &time, AtFlags::empty()).unwrap();
        if let Some(mode) = mode {
            fs::chmod(draft.upper(), fs::Mode::from_raw_mode(mode)).unwrap();
        }
        draft.commit().unwrap().diff_id
    };
    let plain = commit(None);
    assert_eq!(plain, commit(None));
    let special = commit(Some(0o711));
    assert_ne!(plain, special);
    let lowers = store.layers().lowers(&[special, plain]).unwrap();
    assert_eq!(
        lowers.len(),
        3,
        "the merged root keeps its mode: {lowers:?}"
    );
    let mode = std::os::unix::fs::MetadataExt::mode(&lowers[2].metadata().unwrap());
    assert_eq!(mode & 0o7777, 0o711);
    assert_eq!(store.layers().lowers(&[plain, special]).unwrap().len(), 2);
}

#[test]
fn root_implied_directories_and_foreign_links_are_made_good_per_chain() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let mut secret = directory("secret", 0o700);
    secret.0.uid = 7;
    secret
        .0
        .xattrs
        .push((b"user.label".to_vec(), b"mine".to_vec()));
    let base = faithful(
        &store,
        &archive(&[
            secret,
            directory("secret/inner", 0o1777),
            file("secret/file", "low"),
            file("plain/f", ""),
        ]),
    );
    let top_tar = archive(&[
        file("secret/inner/new", "high"),
        file("plain/g", ""),
        link(EntryKind::HardLink, "secret/linked", "secret/file"),
        link(EntryKind::HardLink, "elsewhere/linked", "/secret/file"),
    ]);
    let top = faithful(&store, &top_tar);
    let lowers = store.layers().lowers(&[base, top]).unwrap();
    assert_eq!(lowers.len(), 3);
    assert_eq!(
        lowers,
        store.layers().lowers(&[base, top]).unwrap(),
        "made once"
    );
    let fixup = sample::listing(&lowers[2]);
    assert_eq!(
        entries(&lowers[2]),
        [
            "elsewhere",
            "elsewhere/linked",
            "secret",
            "secret/inner",
            "secret/linked"
        ]
    );
    let one = &fixup[&b"secret"[..]];
    assert_eq!((one.mode & 0o7777, one.owner.0), (0o700, 7));
    assert_eq!(one.xattrs, [(b"user.label".to_vec(), b"mine".to_vec())]);
    assert_eq!(fixup[&b"secret/inner"[..]].mode & 0o7777, 0o1777);
    assert_eq!(fixup[&b"secret/linked"[..]].content, b"low");
    store
        .collect(&crate::Roots::default(), &crate::CollectPolicy::default())
        .unwrap();
    assert!(lowers[2].exists(), "held with its layers");
    // Alone or over something without the target it does not fit.
    for chain in [&[top][..], &[top, base]] {
        let error = store.layers().lowers(chain).unwrap_err();
        assert!(
            matches!(error, StoreError::DanglingHardLink { .. }),
            "{error}"
        );
    }
    // A whiteout or an opaque directory in between hides the model.
    let hiding = faithful(&store, &archive(&[file(".wh.secret", "")]));
    assert!(store.layers().lowers(&[base, hiding, top]).is_err());
    same_tar(&store, &top, &top_tar);
    // Merged by the kernel, too.
    let merged = scratch.directory("merged");
    let lowerdir: Vec<_> = lowers
        .iter()
        .rev()
        .map(|path| path.display().to_string())
        .collect();
    let options = format!("lowerdir={}", lowerdir.join(":"));
    let mount = |arguments: &[&str]| {
        Command::new("mount")
            .args(arguments)
            .arg(&merged)
            .status()
            .unwrap()
    };
    assert!(mount(&["-t", "overlay", "overlay", "-o", &options]).success());
    let seen = sample::listing(&merged);
    assert!(
        Command::new("umount")
            .arg(&merged)
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(seen[&b"secret"[..]].mode & 0o7777, 0o700);
    assert_eq!(seen[&b"secret/inner/new"[..]].content, b"high");
    assert_eq!(
        seen[&b"secret/linked"[..]].linked,
        Some(b"elsewhere/linked".to_vec())
    );
    let root = store.root().to_owned();
    drop(store);
    let store = Store::open(&root).unwrap();
    store
        .collect(&crate::Roots::default(), &crate::CollectPolicy::default())
        .unwrap();
    for folder in ["fixups", "layers", "ingest"] {
        assert_eq!(
            std::fs::read_dir(root.join(folder)).unwrap().count(),
            0,
            "{folder}"
        );
    }
}

#[test]
fn root_hostile_layers_leave_nothing_and_say_why() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let outside = scratch.path().join("outside");
    std::fs::write(&outside, "untouched").unwrap();
    let before = sample::listing(scratch.path());
    let try_unpack = |tar: &[u8], limits: Limits| {
        let store = store.clone().with_limits(limits);
        store
            .layers()
            .unpack(tar, &UnpackOptions::default())
            .unwrap_err()
    };
    let refuse = |entries: &[(Entry, &[u8])]| try_unpack(&archive(entries), Limits::default());
    for path in [
        "../outside",
        "a/../../outside",
        "..",
        "/../outside",
        "./../outside",
        "a/..",
    ] {
        assert!(
            matches!(refuse(&[file(path, "x")]), UnpackError::Escape { .. }),
            "{path}"
        );
        assert!(matches!(
            refuse(&[link(EntryKind::HardLink, "l", path)]),
            UnpackError::LinkEscape { .. }
        ));
    }
    for path in [".wh...", ".wh..", "a/.wh.", ".wh.x/y"] {
        assert!(
            matches!(refuse(&[file(path, "")]), UnpackError::Whiteout { .. }),
            "{path}"
        );
    }
    assert!(matches!(
        refuse(&[directory("d", 0o755), link(EntryKind::HardLink, "l", "d")]),
        UnpackError::LinkEscape { .. }
    ));
    assert!(matches!(
        refuse(&[file("a", "x"), file("a/b", "y")]),
        UnpackError::NotDirectory { .. }
    ));
    assert!(matches!(refuse(&[file(".", "x")]), UnpackError::Root));
    assert!(matches!(
        refuse(&[
            link(EntryKind::Symlink, "a", "b"),
            link(EntryKind::Symlink, "b", "a"),
            file("a/x", "y")
        ]),
        UnpackError::LinkLoop { .. }
    ));
    let devices: Vec<_> = (0..40)
        .map(|n| {
            let device = Entry {
                device: (1, 3),
                ..Entry::new(EntryKind::CharacterDevice, format!("d{n}"))
            };
            (device, &b""[..])
        })
        .collect();
    let many: Vec<_> = (0..300)
        .map(|n| file(["a", "b", "c"][n % 3], "x"))
        .collect();
    let deep = "d/".repeat(300) + "f";
    let long = "l".repeat(300);
    let limit = |tar: &[u8], limits: Limits| match try_unpack(tar, limits) {
        UnpackError::Limit { what, .. } => what,
        other => panic!("{other:?}"),
    };
    let small = Limits {
        devices: 20,
        entries: 200,
        path_depth: 100,
        path_bytes: 1000,
        ..Limits::default()
    };
    assert_eq!(limit(&archive(&devices), small.clone()), Limit::Devices);
    assert_eq!(limit(&archive(&many), small.clone()), Limit::Entries);
    assert_eq!(
        limit(&archive(&[file(&deep, "")]), small.clone()),
        Limit::PathDepth
    );
    assert_eq!(
        limit(&archive(&[file(&"p/".repeat(600), "")]), small),
        Limit::PathBytes
    );
    assert!(matches!(
        refuse(&[file(&long, "")]),
        UnpackError::Entry { .. }
    ));
    let good = archive(&[file("f", &"content".repeat(1000))]);
    for cut in [100, 512, 1000, 5000] {
        let error = try_unpack(&good[..cut], Limits::default());
        assert!(
            matches!(error, UnpackError::Archive { .. }),
            "{cut}: {error:?}"
        );
    }
    let options = UnpackOptions {
        diff_id: Some(sha256(b"other")),
        ..UnpackOptions::default()
    };
    let error = store.layers().unpack(&good[..], &options).unwrap_err();
    assert!(matches!(error, UnpackError::DiffId { .. }));
    let options = UnpackOptions {
        blob: Some((sha256(b"other"), good.len() as u64)),
        ..UnpackOptions::default()
    };
    let error = store.layers().unpack(&good[..], &options).unwrap_err();
    assert!(matches!(error, UnpackError::BlobDigest { .. }));
    assert_eq!(
        std::fs::read_dir(store.root().join("ingest"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(
        std::fs::read_dir(store.root().join("layers"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(std::fs::read(&outside).unwrap(), b"untouched");
    assert_eq!(
        before.len(),
        before
            .keys()
            .filter(|path| scratch.path().join(show(path)).exists())
            .count()
    );
}

fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[test]
fn root_links_of_a_layer_lead_nowhere_but_into_it() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let outside = scratch.directory("outside");
    let target = outside.display().to_string();
    let dots = format!("{}{target}", "../".repeat(30));
    let tar = archive(&[
        link(EntryKind::Symlink, "absolute", &target),
        file("absolute/a", "inside"),
        link(EntryKind::Symlink, "dots", &dots),
        file("dots/b", "inside"),
        directory("dir", 0o755),
        link(EntryKind::Symlink, "dir", &target),
        directory("dir/c", 0o700),
        link(EntryKind::HardLink, "hard", "absolute/a"),
        link(EntryKind::Symlink, "up", ".."),
        file("up/d", "at the root"),
        file("/absolute-name", "inside"),
        link(EntryKind::Symlink, "magic", "/proc/self/cwd"),
        file("magic/e", "inside"),
    ]);
    let diff_id = faithful(&store, &tar);
    let root = store.layers().tree(&diff_id);
    let inside = root.join(target.trim_start_matches('/'));
    assert_eq!(entries(&inside), ["a", "b", "c"]);
    assert!(root.join("d").exists() && root.join("absolute-name").exists());
    assert!(root.join("proc/self/cwd/e").exists());
    assert_eq!(entries(&outside), [""; 0]);
    assert!(!scratch.path().join("root/e").exists());
}

#[test]
fn root_compressed_layers_are_verified_and_remembered() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let tar = archive(&[file("f", "content")]);
    let compressed = zstd::encode_all(&tar[..], 3).unwrap();
    let blob = (sha256(&compressed), compressed.len() as u64);
    let seen = std::sync::atomic::AtomicU64::new(0);
    let progress = |count: u64| seen.store(count, std::sync::atomic::Ordering::Relaxed);
    let options = UnpackOptions {
        blob: Some(blob),
        diff_id: Some(sha256(&tar)),
        progress: Some(&progress),
        ..UnpackOptions::default()
    };
    assert_eq!(store.layers().by_blob(&blob.0).unwrap(), None);
    let info = store.layers().unpack(&compressed[..], &options).unwrap();
    assert_eq!(seen.load(std::sync::atomic::Ordering::Relaxed), blob.1);
    assert_eq!((info.diff_id, info.content_size), (sha256(&tar), 7));
    assert_eq!(store.layers().by_blob(&blob.0).unwrap(), Some(info.diff_id));
    let more = LayerBlob {
        digest: blob.0,
        size: blob.1,
        media_type: "application/x".to_owned(),
        repositories: vec!["docker.io/library/x".to_owned()],
    };
    store.layers().add_blob(&info.diff_id, &more).unwrap();
    assert_eq!(store.layers().blobs(&info.diff_id).unwrap(), [more]);
    // It is there: nothing is read any more.
    struct Unread;
    impl Read for Unread {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("read although the layer is there")
        }
    }
    assert_eq!(
        store
            .layers()
            .unpack(
                Unread,
                &UnpackOptions {
                    progress: None,
                    ..options
                }
            )
            .unwrap(),
        info
    );
}

#[test]
fn root_one_layer_from_many_threads_is_unpacked_once() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let tar = archive(
        &(0..50)
            .map(|n| file(["x", "y/a", "y/b", "z/c/d"][n % 4], "content"))
            .collect::<Vec<_>>(),
    );
    let diff_id = sha256(&tar);
    std::thread::scope(|scope| {
        for index in 0..8 {
            let (store, tar) = (store.clone(), &tar);
            scope.spawn(move || {
                let known = if index % 2 == 0 { Some(diff_id) } else { None };
                let options = UnpackOptions {
                    diff_id: known,
                    ..UnpackOptions::default()
                };
                assert_eq!(
                    store.layers().unpack(&tar[..], &options).unwrap().diff_id,
                    diff_id
                );
            });
        }
    });
    same_tar(&store, &diff_id, &tar);
    assert_eq!(
        std::fs::read_dir(store.root().join("ingest"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn root_a_layer_of_another_boot_that_was_never_synced_does_not_count() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let tar = archive(&[file("f", "content")]);
    let diff_id = faithful(&store, &tar);
    let boot = "UPDATE layers SET boot = 'another'";
    store
        .database()
        .read("test", |db| db.execute(boot, []))
        .unwrap();
    assert!(!store.layers().contains(&diff_id).unwrap());
    // Unpacked again it takes the suspect's place.
    std::fs::write(store.layers().tree(&diff_id).join("f"), "dAmaged").unwrap();
    faithful(&store, &tar);
    store.layers().sync(&[diff_id]).unwrap();
    let count = "SELECT count(*) FROM layers WHERE boot IS NULL";
    assert_eq!(
        store
            .database()
            .read("test", |db| db.query_row(count, [], |r| r.get::<_, i64>(0)))
            .unwrap(),
        1
    );
}

#[test]
fn root_changes_to_a_layers_files_are_found() {
    sample::require_root();
    let scratch = Scratch::new();
    let store = store(&scratch);
    let tree = scratch.directory("tree");
    sample::everything(&tree);
    let root = open_directory(fs::CWD, &tree).unwrap();
    let options = pack::Options {
        root: true,
        ..pack::Options::default()
    };
    let tar = pack::directory(std::os::fd::AsFd::as_fd(&root), Vec::new(), options)
        .unwrap()
        .1;
    let diff_id = faithful(&store, &tar);
    let at = |name: &str| store.layers().tree(&diff_id).join(name);
    let found = || store.layers().verify(&diff_id).unwrap().unwrap_err();
    let keep = |path: &Path, change: &dyn Fn()| {
        let before = std::fs::symlink_metadata(path).unwrap();
        change();
        let time = crate::unpack::timestamps(crate::tar::Timestamp {
            seconds: std::os::unix::fs::MetadataExt::mtime(&before),
            nanoseconds: u32::try_from(std::os::unix::fs::MetadataExt::mtime_nsec(&before))
                .unwrap(),
        });
        fs::utimensat(fs::CWD, path, &time, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    };
    keep(&at("dir/512"), &|| {
        fs::chmod(at("dir/512"), fs::Mode::RUSR).unwrap()
    });
    assert!(found().contains("mode"), "{}", found());
    keep(&at("dir/512"), &|| {
        fs::chmod(at("dir/512"), fs::Mode::from_raw_mode(0o6711)).unwrap();
    });
    assert!(store.layers().verify(&diff_id).unwrap().is_ok());
    keep(&store.layers().tree(&diff_id), &|| {
        std::fs::write(at("stranger"), "x").unwrap()
    });
    assert!(found().contains("stranger"), "{}", found());
    keep(&store.layers().tree(&diff_id), &|| {
        std::fs::remove_file(at("stranger")).unwrap()
    });
    assert!(store.layers().verify(&diff_id).unwrap().is_ok());
    keep(&at("dir/file"), &|| {
        fs::lremovexattr(at("dir/file"), "user.note").unwrap()
    });
    assert!(found().contains("attributes"), "{}", found());
}
