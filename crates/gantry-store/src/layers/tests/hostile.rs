//! Layers that mean harm, and layers that came to harm.

use super::*;

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
