//! A copy whose sources changed little gives a patch of what it gave before: the same layer, of
//! which only what differs is written.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use gantry_build::{BuildCache, Keep};
use gantry_model::Digest;
use gantry_store::collect::ImagePolicy;
use gantry_store::{CollectPolicy, Roots};

use crate::Test;
use crate::environment::{Built, Environment, list};

pub(crate) const TESTS: &[Test] = &[
    ("root_patch_gives_the_layer_that_a_whole_copy_gives", same),
    ("root_patch_is_not_made_where_it_cannot_be", whole),
    ("root_patch_takes_nothing_from_a_damaged_layer", damaged),
    ("root_patch_keeps_what_it_patches", kept),
    ("root_patch_is_seen_by_what_stands_on_it", seen),
];

const TEXT: &str = "FROM busybox\nCOPY d /d\n";

/// Enough files for a patch to be worth it.
fn environment() -> Environment {
    let environment = Environment::new();
    for number in 0..300 {
        environment.write(
            &format!("d/{}/{number}", number % 7),
            &format!("file {number}"),
        );
    }
    environment.write("d/large", &"0123456789".repeat(40_000));
    symlink("0/7", environment.path("d/link")).unwrap();
    environment
}

fn environment_of_links() -> Environment {
    let environment = environment();
    fs::hard_link(environment.path("d/3/3"), environment.path("d/z")).unwrap();
    environment
}

fn trees(environment: &Environment, built: &Built<'_>) -> Vec<PathBuf> {
    let layers = environment.store.layers();
    layers.trees(built.result.layers.last().unwrap()).unwrap()
}

/// The layer that the same context gives where nothing was built before.
fn elsewhere(environment: &Environment, text: &str) -> Digest {
    let other = Environment::new();
    let copied = Command::new("cp")
        .arg("-a")
        .args([environment.path("."), other.path(".")])
        .status();
    assert!(copied.unwrap().success());
    *other.build(text).result.layers.last().unwrap()
}

fn same() {
    let environment = environment();
    let first = environment.build(TEXT);
    let before = trees(&environment, &first);
    assert_eq!(before.len(), 1, "there is nothing it could be a patch of");
    let path = |path: &str| environment.path(path);
    let modified = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    // What is changed, and what is in the patch then.
    let changes: [(&dyn Fn(), &[&str]); 8] = [
        (&|| environment.write("d/3/3", "changed"), &["d/3/3"]),
        (&|| environment.write("d/3/new", "new"), &["d/3/new"]),
        (&|| environment.write("d/a/b/c", "below"), &["d/a/b/c"]),
        (
            &|| fs::set_permissions(path("d/4/4"), Permissions::from_mode(0o755)).unwrap(),
            &["d/4/4"],
        ),
        (
            &|| {
                // Another content of the same size, and the old time put back.
                let time = modified(path("d/5/5"));
                environment.write("d/5/5", "FILE 5");
                File::options()
                    .write(true)
                    .open(path("d/5/5"))
                    .unwrap()
                    .set_modified(time)
                    .unwrap();
            },
            &["d/5/5"],
        ),
        (
            &|| {
                fs::remove_file(path("d/link")).unwrap();
                symlink("0/14", path("d/link")).unwrap();
            },
            &["d/link"],
        ),
        (
            &|| {
                fs::set_permissions(path("d/6"), Permissions::from_mode(0o700)).unwrap();
                File::open(path("d/6"))
                    .unwrap()
                    .set_modified(long_ago)
                    .unwrap();
            },
            &["d/6"],
        ),
        (
            &|| environment.write("d/large", &"9876543210".repeat(40_000)),
            &["d/large"],
        ),
    ];
    let mut expected: Vec<&str> = Vec::new();
    for (change, paths) in changes {
        change();
        expected.extend(paths);
        let built = environment.build(TEXT);
        assert_eq!(built.result.executed, 1);
        let now = trees(&environment, &built);
        assert_eq!(now.len(), 2, "{paths:?}");
        assert_eq!(now[0], before[0], "patches are of what is whole");
        let patch = &now[1];
        for path in &expected {
            assert!(fs::symlink_metadata(patch.join(path)).is_ok(), "{path}");
        }
        let mut entries = Vec::new();
        list(patch, patch, &mut entries);
        assert!(
            !entries.iter().any(|entry| entry.contains(" d/0/")),
            "{entries:?}"
        );
        let layer = built.result.layers.last().unwrap();
        if [4, 8].contains(&expected.len()) {
            assert_eq!(*layer, elsewhere(&environment, TEXT), "{paths:?}");
        }
        let info = environment.store.layers().info(layer).unwrap();
        assert!(info.files > 300, "{info:?}");
        assert!(info.disk_usage < 600_000, "{info:?}");
        assert!(info.content_size > 400_000, "{info:?}");
    }
    // Nothing of the directories on the way is lost, and a tar can be had of all.
    let built = environment.build(TEXT);
    assert_eq!(built.result.executed, 0);
    let layer = built.result.layers.last().unwrap();
    let merged = environment.store.layers().open(layer).unwrap();
    let merged = merged.directory_beneath("d/6").unwrap().status().unwrap();
    assert_eq!(
        (merged.st_mode & 0o7777, merged.st_mtime),
        (0o700, 1_000_000)
    );
}

fn whole() {
    let changes: [&dyn Fn(&Environment); 4] = [
        &|environment| fs::remove_file(environment.path("d/3/3")).unwrap(),
        &|environment| {
            fs::remove_file(environment.path("d/3/3")).unwrap();
            environment.write("d/3/3/below", "a directory now");
        },
        &|environment| {
            fs::remove_dir_all(environment.path("d/3")).unwrap();
            environment.write("d/3", "a file now");
        },
        &|environment| {
            for number in 0..200 {
                environment.write(&format!("d/{}/{number}", number % 7), "most is different");
            }
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        let environment = environment();
        environment.build(TEXT);
        change(&environment);
        let built = environment.build(TEXT);
        assert_eq!(trees(&environment, &built).len(), 1, "{number}");
        environment.verify(&built.result);
    }
    // A file that had two names is not taken from there: it would still have them.
    let environment = environment_of_links();
    environment.build(TEXT);
    fs::remove_file(environment.path("d/z")).unwrap();
    fs::copy(environment.path("d/3/3"), environment.path("d/z")).unwrap();
    let built = environment.build(TEXT);
    let layer = built.result.layers.last().unwrap();
    let open = environment.store.layers().open(layer).unwrap();
    assert_eq!(
        open.directory_beneath("d")
            .unwrap()
            .status_of("z".as_ref())
            .unwrap()
            .st_nlink,
        1
    );
    let below = open.directory_beneath("d/3").unwrap();
    assert_eq!(below.status_of("3".as_ref()).unwrap().st_nlink, 1);
    // What has two names has to be one file.
    let environment = environment_of_links();
    environment.build(TEXT);
    environment.write("d/4/4", "changed");
    let built = environment.build(TEXT);
    assert_eq!(trees(&environment, &built).len(), 1);
}

fn damaged() {
    let environment = environment();
    let first = environment.build(TEXT);
    let tree = trees(&environment, &first).remove(0);
    // The status says that nothing changed.
    let file = tree.join("d/1/1");
    let time = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "FILE 1").unwrap();
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(time)
        .unwrap();
    environment.write("d/3/3", "changed");
    let built = environment.build(TEXT);
    let now = trees(&environment, &built);
    assert_eq!(now.len(), 2);
    assert_eq!(fs::read_to_string(now[1].join("d/1/1")).unwrap(), "file 1");
    let layer = *built.result.layers.last().unwrap();
    assert_eq!(layer, elsewhere(&environment, TEXT));
    // A file that the patch has from there is noticed as one of its own would be.
    fs::write(tree.join("d/2/2"), "FILE 2").unwrap();
    let again = environment.build(TEXT);
    assert_eq!(again.result.executed, 1, "{}", again.said.text());
    let warnings = again.said.warnings();
    assert!(
        warnings.iter().any(|w| w.contains("damaged")),
        "{warnings:?}"
    );
    assert_eq!(*again.result.layers.last().unwrap(), layer);
}

fn kept() {
    let mut environment = environment();
    let first = environment.build(TEXT);
    let whole = *first.result.layers.last().unwrap();
    let first = first.result.image_id;
    environment.write("d/3/3", "changed");
    let second = environment.build(TEXT).result;
    let patch = *second.layers.last().unwrap();
    environment.store.layers().sync(&[patch]).unwrap();
    let cache = BuildCache::new(
        environment.store.clone(),
        &environment.folder.path().join("root"),
    );
    let rows = cache.survey(&Roots::default()).unwrap();
    drop(cache);
    let large = rows.rows.iter().filter(|row| row.size > 1_000_000).count();
    assert_eq!(large, 1, "{rows:?}");
    environment.store.images().remove(&first).unwrap();
    let prune = |environment: &mut Environment| {
        environment.reopen();
        let root = environment.folder.path().join("root");
        let cache = BuildCache::new(environment.store.clone(), &root);
        cache
            .prune(&Roots::default(), &|_| true, Keep::default())
            .unwrap()
    };
    prune(&mut environment);
    let layers = environment.store.layers();
    assert!(layers.contains(&whole).unwrap(), "the patch needs it");
    assert_eq!(layers.verify(&patch).unwrap().err(), None);
    let usage = environment.store.usage(&Roots::default()).unwrap();
    assert_eq!(usage.garbage_bytes, 0);
    assert!(usage.images_bytes > 1_000_000, "{usage:?}");
    let policy = CollectPolicy {
        images: ImagePolicy::Unused,
        ..CollectPolicy::default()
    };
    environment.reopen();
    let gone = environment
        .store
        .collect(&Roots::default(), &policy)
        .unwrap();
    assert!(gone.layers.contains(&whole) && gone.layers.contains(&patch));
    assert!(gone.bytes > 1_000_000, "{gone:?}");
}

fn seen() {
    let text = "FROM busybox\nCOPY --chown=7:8 d /d\n\
                RUN cat /d/3/3 /d/4/4 && find /d -type f | wc -l && rm -r /d/5\n\
                FROM busybox\nCOPY --from=0 /d /e\nRUN cat /e/3/3 && ls /e\n";
    let environment = environment();
    environment.build(text);
    environment.write("d/3/3", "changed\n");
    let built = environment.build(text);
    let copied = environment.store.layers();
    let said = built.said.text();
    for line in ["changed", "file 4", "301"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    // Directories and files of the patch and those of what it patches look alike.
    let last = built.result.layers[built.result.layers.len() - 2];
    let open = copied.open(&last).unwrap();
    let below = open.directory_beneath("e/3").unwrap();
    let owner = |name: &str| {
        let status = below.status_of(name.as_ref()).unwrap();
        (status.st_uid, status.st_gid)
    };
    assert_eq!((owner("3"), owner("10")), ((7, 8), (7, 8)));
    assert!(open.directory_beneath("e/5").is_err());
    let metadata = fs::metadata(environment.path("d/3")).unwrap();
    assert_eq!(below.status().unwrap().st_mtime, metadata.mtime());
}
