use std::os::fd::AsFd;

use super::*;
use crate::sample::{self, Scratch};
use crate::tree::open_directory;
use crate::unpack;

pub(crate) fn pack(tree: &std::path::Path, options: Options<'_>) -> Vec<u8> {
    let root = open_directory(rustix::fs::CWD, tree).unwrap();
    directory(root.as_fd(), Vec::new(), options).unwrap().1
}

fn unpack_all(tar: &[u8], into: &std::path::Path) {
    let root = open_directory(rustix::fs::CWD, into).unwrap();
    unpack::into_directory(root.as_fd(), tar, &unpack::Options::default()).unwrap();
}

const WITH_ROOT: Options<'_> = Options {
    overlay: None,
    root: true,
    normalise: false,
    owners: None,
};

#[test]
fn root_unpacking_a_packed_tree_gives_the_tree() {
    sample::require_root();
    let scratch = Scratch::new();
    let (tree, copy) = (scratch.directory("tree"), scratch.directory("copy"));
    sample::everything(&tree);
    let tar = pack(&tree, WITH_ROOT);
    unpack_all(&tar, &copy);
    sample::assert_same(&sample::listing(&tree), &sample::listing(&copy));
    assert!(tar == pack(&copy, WITH_ROOT), "packing is deterministic");
    for name in ["sparse", "hole", "scattered"] {
        let blocks = std::os::unix::fs::MetadataExt::blocks(&copy.join(name).metadata().unwrap());
        assert!(
            blocks * 512 < 2 << 20,
            "{name} is sparse, not {blocks} blocks"
        );
    }
    assert!(tar.len() < 6 << 20, "{} bytes", tar.len());
}

#[test]
fn root_other_archivers_read_what_is_packed() {
    sample::require_root();
    let scratch = Scratch::new();
    let tree = scratch.directory("tree");
    sample::everything(&tree);
    let tar = scratch.path().join("tree.tar");
    std::fs::write(&tar, pack(&tree, WITH_ROOT)).unwrap();
    let copy = scratch.directory("gnu");
    let status = std::process::Command::new("tar")
        .args(["--xattrs", "--xattrs-include=*", "-xpf"])
        .arg(&tar)
        .arg("-C")
        .arg(&copy)
        .status()
        .unwrap();
    assert!(status.success());
    let (mut expected, mut found) = (sample::listing(&tree), sample::listing(&copy));
    for listing in [&mut expected, &mut found] {
        // GNU tar does not set attributes of links and devices.
        for name in ["dangling", "null"] {
            listing.get_mut(name.as_bytes()).unwrap().xattrs.clear();
        }
    }
    sample::assert_same(&expected, &found);
    let script = "import sys, tarfile\nt = tarfile.open(sys.argv[1], errors='surrogateescape')\n\
                  print(len(t.getmembers()))";
    let output = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&tar)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        expected.len().to_string()
    );
}

#[test]
fn what_fuse_overlayfs_marked_opaque_is_so_for_the_kernel() {
    let scratch = Scratch::new();
    let tree = scratch.directory("tree");
    std::fs::create_dir(tree.join("d")).unwrap();
    for name in ["d/.wh..opq", "d/.wh..wh..opq", "d/kept"] {
        std::fs::write(tree.join(name), "").unwrap();
    }
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::lsetxattr(tree.join("d"), PROGRAMS_OPAQUE, b"y", flags).unwrap();
    let pack = |overlay| {
        let options = Options {
            overlay: Some(overlay),
            normalise: true,
            ..Options::default()
        };
        pack(&tree, options)
    };
    let tar = pack(OverlayNames::User);
    assert!(!tree.join("d/.wh..opq").exists() && !tree.join("d/.wh..wh..opq").exists());
    let text = String::from_utf8_lossy(&tar);
    assert!(text.contains("d/.wh..wh..opq") && text.contains("d/kept"));
    assert!(!text.contains("fuseoverlayfs"), "its attributes stay here");
    assert_eq!(pack(OverlayNames::User), tar, "now by the kernel's mark");
    // Without the mark such a name is as bad as any other of its kind.
    std::fs::write(tree.join("d/.wh..opq"), "").unwrap();
    let root = open_directory(rustix::fs::CWD, &tree).unwrap();
    let options = Options {
        overlay: Some(OverlayNames::User),
        ..Options::default()
    };
    let refused = directory(root.as_fd(), Vec::new(), options).unwrap_err();
    assert!(matches!(refused, PackError::ReservedName { .. }));
}

#[test]
fn root_what_only_overlayfs_knows_is_refused_by_name() {
    sample::require_root();
    let scratch = Scratch::new();
    let tree = scratch.directory("tree");
    let options = Options {
        overlay: Some(OverlayNames::Trusted),
        ..Options::default()
    };
    let root = open_directory(rustix::fs::CWD, &tree).unwrap();
    let run = || {
        directory(root.as_fd(), Vec::new(), options)
            .map(|_| ())
            .unwrap_err()
    };
    let mark = |name: &str| {
        std::fs::create_dir(tree.join("d")).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(tree.join("d"), name, b"x", flags).unwrap();
    };
    let clear = || std::fs::remove_dir(tree.join("d")).unwrap();
    mark("trusted.overlay.redirect");
    assert!(matches!(run(), PackError::Redirect { .. }));
    clear();
    mark("trusted.overlay.metacopy");
    assert!(matches!(run(), PackError::Metacopy { .. }));
    clear();
    std::fs::write(tree.join(".wh.x"), "").unwrap();
    assert!(matches!(run(), PackError::ReservedName { .. }));
}
