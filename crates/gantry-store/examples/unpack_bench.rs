//! How long unpacking takes, against `tar -xzf`: `unpack_bench <folder> <layer.tar.gz>…`
//!
//! The layers are unpacked at once into a fresh store below the folder, synced as an image
//! would be, and read back; then `tar` extracts the same archives, at once as well.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gantry_store::{Store, UnpackOptions};

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = arguments.next().expect("a folder to work in");
    let layers: Vec<PathBuf> = arguments.collect();
    assert!(!layers.is_empty(), "archives to unpack");
    for round in 0..2 {
        let cpu = cpu_seconds();
        let ours = folder.join(format!("store-{round}"));
        let (unpacked, synced, read) = gantry(&ours, &layers);
        let cpu_ours = cpu_seconds().0 - cpu.0;
        let theirs = folder.join(format!("tar-{round}"));
        let tar = gnu_tar(&theirs, &layers);
        let line = format!(
            "round {round}: gantry {unpacked:?} (+ sync {synced:?}), tar -xzf {tar:?}, ratio {:.2}; tar again {read:?}; \
             CPU of all that {cpu_ours:.2} s, of tar {:.2} s",
            tar.as_secs_f64() / unpacked.as_secs_f64(),
            cpu_seconds().1 - cpu.1,
        );
        writeln!(std::io::stdout(), "{line}").expect("somebody reads");
        for path in [ours, theirs] {
            std::fs::remove_dir_all(path).expect("the folder is ours");
        }
    }
}

/// User and system time of this process and of its children.
fn cpu_seconds() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("proc");
    let fields: Vec<f64> = stat
        .split_whitespace()
        .skip(13)
        .take(4)
        .map(|field| field.parse().expect("a number"))
        .collect();
    (
        (fields[0] + fields[1]) / 100.0,
        (fields[2] + fields[3]) / 100.0,
    )
}

fn gantry(root: &Path, layers: &[PathBuf]) -> (Duration, Duration, Duration) {
    let store = Store::open(root).expect("a store");
    let start = Instant::now();
    let diff_ids: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = layers
            .iter()
            .map(|layer| {
                let store = store.clone();
                scope.spawn(move || {
                    let bytes = File::open(layer).expect("an archive");
                    let unpacked = store.layers().unpack(bytes, &UnpackOptions::default());
                    unpacked.expect("a sound archive").diff_id
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    let unpacked = start.elapsed();
    store.layers().sync(&diff_ids).expect("a sync");
    let synced = start.elapsed() - unpacked;
    let start = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    for diff_id in &diff_ids {
        let mut tar = store.layers().tar(diff_id).expect("its tar");
        while tar.read(&mut buffer).expect("the same bytes") > 0 {}
    }
    (unpacked, synced, start.elapsed())
}

fn gnu_tar(target: &Path, layers: &[PathBuf]) -> Duration {
    let start = Instant::now();
    let children: Vec<_> = layers
        .iter()
        .enumerate()
        .map(|(index, layer)| {
            let target = target.join(index.to_string());
            std::fs::create_dir_all(&target).expect("a folder");
            Command::new("tar")
                .arg("-xzf")
                .arg(layer)
                .arg("-C")
                .arg(target)
                .spawn()
                .expect("tar")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("tar").success());
    }
    start.elapsed()
}
