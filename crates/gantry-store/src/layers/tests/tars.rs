//! Tars of every kind come back byte for byte.

use super::*;

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
