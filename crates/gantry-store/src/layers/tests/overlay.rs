//! What a layer is for overlayfs: whiteouts, drafts, what is only implied.

use super::*;

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
