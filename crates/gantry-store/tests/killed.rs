//! A process is killed at a random moment; the store must be whole, and the next command work.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use gantry_store::tar::{Entry, EntryKind, Writer};
use gantry_store::{
    CheckOptions, CollectPolicy, Finding, NewImage, Roots, Store, UnpackOptions,
    collect::ImagePolicy,
};

const ROOT: &str = "GANTRY_STORE_TEST_ROOT";
const SEED: &str = "GANTRY_STORE_TEST_SEED";

/// A few hundred files, some of them twice, other ones for other seeds.
fn layer(seed: u64) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for n in 0..300_u64 {
        let content = format!("{seed} {n} ").repeat(usize::try_from(n * 7 % 900).unwrap());
        let path = format!("d{}/f{}", n % 17, n % 250);
        let size = content.len() as u64;
        let entry = Entry {
            size,
            ..Entry::new(EntryKind::Regular, path)
        };
        writer.append(&entry, &mut content.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

/// What the child does until it is killed: all that changes a store.
fn work(root: &Path, seed: u64) {
    for round in 0.. {
        let store = Store::open(root).unwrap();
        let tar = layer(seed % 5 + round % 3);
        let info = store
            .layers()
            .unpack(&tar[..], &UnpackOptions::default())
            .unwrap();
        let draft = store.layers().draft().unwrap();
        std::fs::write(draft.upper().join("made"), format!("{seed} {round}")).unwrap();
        let made = draft.commit().unwrap();
        let ids = [info.diff_id, made.diff_id];
        let config = format!(
            r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{}","{}"]}}}}"#,
            ids[0], ids[1]
        );
        let tags = vec![format!("image-{}:latest", round % 2).parse().unwrap()];
        let image = NewImage {
            config: config.as_bytes(),
            tags,
            ..NewImage::default()
        };
        store.images().put(&image).unwrap();
        drop(store);
        let policy = CollectPolicy {
            images: ImagePolicy::Dangling,
            ..CollectPolicy::default()
        };
        Store::open(root)
            .unwrap()
            .collect(&Roots::default(), &policy)
            .unwrap();
    }
}

fn spawn(root: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "root_killed_at_any_moment_the_store_is_whole",
            "--nocapture",
        ])
        .env(ROOT, root)
        .env(SEED, seed.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn root_killed_at_any_moment_the_store_is_whole() {
    if let Some(root) = std::env::var_os(ROOT) {
        let seed = std::env::var(SEED).unwrap().parse().unwrap();
        return work(Path::new(&root), seed);
    }
    assert!(
        rustix::process::geteuid().is_root(),
        "this test must run as root"
    );
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("root");
    for round in 0..25_u64 {
        let children = [spawn(&root, round), spawn(&root, round + 1)];
        // Not waiting for anything: any moment will do, each round another one.
        std::thread::sleep(Duration::from_millis(20 + round * 37 % 400));
        for mut child in children {
            child.kill().unwrap();
            let status = child.wait().unwrap();
            let mut said = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut said)
                .unwrap();
            assert!(
                status.code().is_none(),
                "the child failed by itself: {said}"
            );
        }
        let Ok(store) = Store::open(&root) else {
            continue;
        };
        let report = store
            .check(&Roots::default(), CheckOptions::default())
            .unwrap();
        let wrong: Vec<_> = report
            .findings
            .iter()
            .filter(|found| !matches!(found, Finding::StaleIngest { .. } | Finding::Orphan { .. }))
            .collect();
        assert!(wrong.is_empty(), "round {round}: {wrong:?}");
        store
            .collect(&Roots::default(), &CollectPolicy::default())
            .unwrap();
        let report = store
            .check(&Roots::default(), CheckOptions::default())
            .unwrap();
        assert_eq!(report.findings, [], "round {round}");
        let tar = layer(99 + round);
        store
            .layers()
            .unpack(&tar[..], &UnpackOptions::default())
            .unwrap();
    }
}
