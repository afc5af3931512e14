use super::*;

use std::fs;
use std::path::PathBuf;

#[test]
fn root_overlay_of_many_layers_with_long_and_odd_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep = folder.path().join("d".repeat(200)).join("e".repeat(200));
    let mut lowers: Vec<PathBuf> = (0..499)
        .map(|number| folder.path().join(format!("layer{number}")))
        .collect();
    lowers[3] = deep;
    lowers[4] = folder.path().join("odd:name,with\\all");
    for (number, lower) in lowers.iter().enumerate() {
        fs::create_dir_all(lower).expect("a layer");
        fs::write(lower.join("top"), number.to_string()).expect("a file");
        fs::write(lower.join(format!("file{number}")), "").expect("a file");
    }
    let (upper, work) = (folder.path().join("up:per"), folder.path().join("work"));
    fs::create_dir_all(&upper).expect("upper");
    fs::create_dir_all(&work).expect("work");
    let overlay = Overlay {
        lowers: &lowers,
        upper: Some((&upper, &work)),
        ..Overlay::default()
    };
    let mount = overlay.mount(Attributes::NONE).expect("mounted");
    let root = PathBuf::from(format!("/proc/self/fd/{}", mount.as_fd().as_raw_fd()));
    assert_eq!(fs::read_to_string(root.join("top")).expect("read"), "0");
    for number in [3, 4, 498] {
        assert!(root.join(format!("file{number}")).exists(), "{number}");
    }
    fs::write(root.join("new"), "x").expect("written");
    assert!(upper.join("new").exists());
}

#[test]
fn root_kernel_log_comes_along() {
    let missing = [PathBuf::from("/nonexistent/layer")];
    let overlay = Overlay {
        lowers: &missing,
        ..Overlay::default()
    };
    let error = overlay.mount(Attributes::NONE).expect_err("no such layer");
    assert_eq!(error.errno(), libc::ENOENT, "{error}");
    let context = FsContext::new(OsStr::new("tmpfs")).expect("tmpfs");
    let error = context
        .string("nonsense", OsStr::new("1"))
        .expect_err("unknown");
    assert!(error.to_string().contains("nonsense"), "{error}");
}

#[test]
fn root_attributes_of_a_detached_copy() {
    let folder = tempfile::tempdir().expect("a folder");
    let mount = Mount::copy_of(folder.path(), true).expect("copied");
    let change = Change {
        set: Attributes::READ_ONLY.with(Attributes::NO_ACCESS_TIME),
        ..Change::default()
    };
    mount.change(&change, true).expect("changed");
    let root = PathBuf::from(format!("/proc/self/fd/{}", mount.as_fd().as_raw_fd()));
    assert!(fs::write(root.join("file"), "").is_err());
    fs::write(folder.path().join("file"), "").expect("the original is writable");
}
