//! The layers that copies make are what their digests say, whatever is copied and whoever changes it
//! meanwhile.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_sys::xattr;

use crate::Test;
use crate::environment::Environment;

pub(crate) const TESTS: &[Test] = &[
    ("root_layer_keeps_everything_of_a_file", everything),
    ("root_layer_under_any_umask", umasks),
    ("root_layer_over_special_directories", special_directories),
    (
        "root_layer_of_later_sources_over_earlier_ones",
        later_sources,
    ),
    ("root_layer_of_files_that_change_meanwhile", racing),
    ("root_layer_is_the_same_every_time", reproducible),
];

fn everything() {
    let environment = Environment::new();
    for name in [
        "a/z", "a-b/y", "a.b", "a/a/a", "Z", "empty", "\u{fc}", "a/b c",
    ] {
        environment.write(name, name);
    }
    environment.write("empty", "");
    let long = "n".repeat(200);
    environment.write(&format!("{long}/{long}"), "long");
    for (name, mode) in [("a.b", 0o4755), ("a/z", 0), ("a-b", 0o2770), ("Z", 0o666)] {
        fs::set_permissions(environment.path(name), Permissions::from_mode(mode)).unwrap();
    }
    symlink("nowhere", environment.path("a/link")).unwrap();
    fs::hard_link(environment.path("Z"), environment.path("a/a/hard")).unwrap();
    let attributed = File::open(environment.path("a.b")).unwrap();
    xattr::set(&attributed, OsStr::new("user.b"), b"2").unwrap();
    xattr::set(&attributed, OsStr::new("user.a"), &[0xff; 300]).unwrap();
    xattr::set(&attributed, OsStr::new("user.overlay.opaque"), b"y").unwrap();
    // Larger than what is kept in memory, once with holes, once without, and once in between.
    let large = File::create(environment.path("large")).unwrap();
    large.write_all_at(&vec![7; 3 << 20], 0).unwrap();
    let holes = File::create(environment.path("holes")).unwrap();
    holes.write_all_at(b"begin", 5 << 20).unwrap();
    holes.set_len(20 << 20).unwrap();
    File::create(environment.path("all-hole"))
        .unwrap()
        .set_len(2 << 20)
        .unwrap();
    environment.write("edge", &"e".repeat(128 << 10));
    let built = environment.build("FROM busybox\nCOPY . /x\n");
    let tree = environment
        .store
        .layers()
        .tree(&built.result.layers[1])
        .join("x");
    let status = |path: &str| fs::symlink_metadata(tree.join(path)).unwrap();
    assert_eq!(status("a.b").mode() & 0o7777, 0o4755);
    assert_eq!(status("a-b").mode() & 0o7777, 0o2770);
    assert_eq!(
        (status("Z").ino(), status("Z").nlink()),
        (status("a/a/hard").ino(), 2)
    );
    assert!(status("holes").blocks() < 2000 && status("all-hole").blocks() < 2000);
    let copied = File::open(tree.join("a.b")).unwrap();
    assert_eq!(xattr::names(&copied).unwrap(), ["user.a", "user.b"]);
    for path in ["large", "holes", "edge", "a/z", "\u{fc}"] {
        assert!(fs::read(tree.join(path)).unwrap() == fs::read(environment.path(path)).unwrap());
    }
}

/// Nobody else of this program makes files while this test runs.
fn umasks() {
    let environment = Environment::new();
    for mode in [0o600, 0o644, 0o666, 0o777, 0o1777, 0o6711] {
        environment.write(&format!("d/{mode:o}/f"), "");
        for path in [format!("d/{mode:o}/f"), format!("d/{mode:o}")] {
            fs::set_permissions(environment.path(&path), Permissions::from_mode(mode)).unwrap();
        }
    }
    let mut layers = Vec::new();
    for umask in [0, 0o022, 0o077, 0o777] {
        let request = {
            let mut request = environment.request("FROM scratch\nCOPY d /d\n");
            request.no_cache = true;
            request
        };
        let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        let (result, _) = environment.build_request(&request);
        rustix::process::umask(before);
        let result = result.unwrap();
        environment.verify(&result);
        layers.push(result.layers[0]);
    }
    layers.dedup();
    assert_eq!(layers.len(), 1, "{layers:?}");
}

fn special_directories() {
    let environment = Environment::new();
    environment.write("d/f", "F");
    environment.write("d/s/g", "G");
    // What is made below a set-group-ID directory would get its group.
    let base = "FROM busybox\nRUN mkdir -p /g/s && chown 0:77 /g /g/s && chmod 2775 /g /g/s\n";
    let built = environment.build(&format!("{base}COPY d /g\n"));
    assert_eq!(
        built.last(),
        [
            "2775 0:77 g d",
            "644 0:0 g/f f=F",
            "755 0:0 g/s d",
            "644 0:0 g/s/g f=G"
        ]
    );
    let built = environment.build(&format!("{base}COPY --chown=5:6 --chmod=700 d /g/s/\n"));
    assert_eq!(built.last().last().unwrap(), "700 5:6 g/s/s/g f=G");
    // An access list of a directory of the image stays with it: version 2, a default entry of all
    // for the owner, nothing for anybody else.
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights) in [(1_u16, 7_u16), (4, 5), (0x20, 0)] {
        list.extend(tag.to_le_bytes());
        list.extend(rights.to_le_bytes());
        list.extend(u32::MAX.to_le_bytes());
    }
    let draft = environment.store.layers().draft().unwrap();
    fs::create_dir(draft.upper().join("acl")).unwrap();
    let directory = File::open(draft.upper().join("acl")).unwrap();
    xattr::set(&directory, OsStr::new("system.posix_acl_default"), &list).unwrap();
    xattr::set(&directory, OsStr::new("user.note"), b"kept").unwrap();
    let layer = draft.commit().unwrap().diff_id;
    let mut environment = environment;
    let config = gantry_model::image::ImageConfig {
        architecture: gantry_model::Platform::host().architecture,
        os: "linux".into(),
        rootfs: gantry_model::image::RootFs {
            diff_ids: vec![layer],
            ..Default::default()
        },
        ..Default::default()
    };
    environment.add_image("acl:latest", &config);
    let built = environment.build("FROM acl\nCOPY d /acl\n");
    let tree = environment.store.layers().tree(&built.result.layers[1]);
    let directory = File::open(tree.join("acl")).unwrap();
    assert_eq!(
        xattr::names(&directory).unwrap(),
        ["system.posix_acl_default", "user.note"]
    );
    let file = File::open(tree.join("acl/f")).unwrap();
    assert_eq!(xattr::names(&file).unwrap(), [""; 0]);
}

fn later_sources() {
    let environment = Environment::new();
    environment.write("one/f", "1");
    environment.write("one/sub/g", "1");
    environment.write("two/f", "2");
    symlink("elsewhere", environment.path("two/sub-link")).unwrap();
    environment.write("three/sub-link", "3");
    environment.write("t/f", "archived");
    environment.write("t/new", "archived");
    let status = std::process::Command::new("tar")
        .current_dir(environment.path("t"))
        .args(["cf", "../t.tar", "f", "new"])
        .status();
    assert!(status.unwrap().success());
    let built = environment.build("FROM busybox\nCOPY one two three /d/\n");
    assert_eq!(
        built.last(),
        [
            "755 0:0 d d",
            "644 0:0 d/f f=2",
            "755 0:0 d/sub d",
            "644 0:0 d/sub/g f=1",
            "644 0:0 d/sub-link f=3"
        ]
    );
    // An archive in the middle is unpacked over what came before, and what comes after goes over it.
    let built = environment.build("FROM busybox\nADD one t.tar two /d/\n");
    assert_eq!(
        built.last(),
        [
            "755 0:0 d d",
            "644 0:0 d/f f=2",
            "644 0:0 d/new f=archived",
            "755 0:0 d/sub d",
            "644 0:0 d/sub/g f=1",
            "777 0:0 d/sub-link l->elsewhere"
        ]
    );
    let (error, _) =
        environment.fail("FROM busybox\nCOPY one /d/\nCOPY one/f /d/sub\nCOPY two /d/f\n");
    assert!(
        error.contains("cannot copy to non-directory: /d/f"),
        "{error}"
    );
}

/// A context whose files are truncated, grown, rewritten, and replaced by links and devices while
/// they are read.
fn racing() {
    let environment = Environment::new();
    for number in 0..300 {
        environment.write(
            &format!("c/d{}/f{number}", number % 7),
            &"x".repeat(number * 97),
        );
    }
    environment.write("c/large", &"large".repeat(200_000));
    let over = AtomicBool::new(false);
    let mut layers = std::collections::BTreeSet::new();
    let mut results = Vec::new();
    std::thread::scope(|scope| {
        let vandal = scope.spawn(|| {
            let mut round = 0_usize;
            while !over.load(Ordering::Relaxed) {
                round += 1;
                let number = round % 300;
                let path = environment.path(&format!("c/d{}/f{number}", number % 7));
                let other = environment.path("other");
                match round % 5 {
                    0 => drop(File::options().write(true).truncate(true).open(&path)),
                    1 => drop(fs::write(&path, "grown".repeat(round % 40_000))),
                    2 => {
                        fs::write(&other, "replaced").unwrap();
                        fs::rename(&other, &path).unwrap();
                    }
                    3 => drop(
                        File::options()
                            .write(true)
                            .open(environment.path("c/large"))
                            .unwrap()
                            .set_len((round as u64 * 4099) % 2_000_000),
                    ),
                    _ => {
                        symlink("/etc/passwd", &other).unwrap();
                        fs::rename(&other, &path).unwrap();
                        fs::write(&other, "file again").unwrap();
                        fs::rename(&other, &path).unwrap();
                    }
                }
            }
        });
        for _ in 0..40 {
            let mut request = environment.request("FROM scratch\nCOPY c /c\n");
            request.no_cache = true;
            results.push(environment.build_request(&request).0);
        }
        over.store(true, Ordering::Relaxed);
        vandal.join().unwrap();
    });
    for result in results {
        match result {
            Ok(result) => {
                environment.verify(&result);
                layers.insert(result.layers[0]);
            }
            // A link in place of a file is a failure that says so, and nothing else is one.
            Err(error) => {
                let text = crate::environment::explain(&error);
                let reasons = ["replaced", "symbolic links", "read the link"];
                assert!(reasons.iter().any(|reason| text.contains(reason)), "{text}");
            }
        }
    }
    assert!(!layers.is_empty());
    // The records speak of what was copied, not of what had been looked at.
    let first = environment.build("FROM scratch\nCOPY c /c\n");
    // The last one may be a patch of one before.
    let mut trees = environment
        .store
        .layers()
        .trees(&first.result.layers[0])
        .unwrap();
    trees.reverse();
    for number in 0..300 {
        let path = format!("c/d{}/f{number}", number % 7);
        let (there, here) = (
            trees
                .iter()
                .find_map(|tree| fs::read(tree.join(&path)).ok()),
            fs::read(environment.path(&path)),
        );
        assert!(there.unwrap() == here.unwrap(), "{path}");
    }
}

fn reproducible() {
    let environment = Environment::new();
    for number in 0..500 {
        environment.write(
            &format!("d{}/e{}/f{number}", number % 3, number % 11),
            &format!("{number}"),
        );
    }
    let mut layers = Vec::new();
    for _ in 0..5 {
        let mut request = environment.request("FROM scratch\nCOPY . /x\n");
        request.no_cache = true;
        request
            .build_args
            .insert("SOURCE_DATE_EPOCH".to_owned(), "1700000000".to_owned());
        let (result, _) = environment.build_request(&request);
        let result = result.unwrap();
        environment.verify(&result);
        layers.push(result.layers[0]);
    }
    layers.dedup();
    assert_eq!(layers.len(), 1);
}
