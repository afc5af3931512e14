//! An installation of one's own, driven through the engine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use gantry_engine::images::{ImportOptions, progress::Silent};
use gantry_engine::{Engine, Surroundings};
use gantry_model::Digest;
use gantry_store::CheckOptions;
use gantry_store::tar::{Entry, EntryKind, Writer};

pub(crate) struct Installation {
    pub(crate) engine: Engine,
    pub(crate) folder: tempfile::TempDir,
}

impl Installation {
    pub(crate) fn new() -> Self {
        Self::configured("")
    }

    /// One with this configuration file.
    pub(crate) fn configured(toml: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        fs::create_dir_all(config.join("gantry")).unwrap();
        fs::write(config.join("gantry/config.toml"), toml).unwrap();
        Self {
            engine: open(folder.path()),
            folder,
        }
    }

    /// The same as another command sees it: what this one brought in is held no longer.
    pub(crate) fn reopened(self) -> Self {
        let Self { engine, folder } = self;
        drop(engine);
        Self {
            engine: open(folder.path()),
            folder,
        }
    }

    /// Another engine of the same installation.
    pub(crate) fn another(&self) -> Engine {
        open(self.folder.path())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes an image of one small layer that has `content` in a file.
    pub(crate) fn image(&self, name: &str, content: &str, changes: &[&str]) -> Digest {
        let tar = tar(&[("etc/", ""), ("etc/motd", content), ("bin/tool", "#!")]);
        let options = ImportOptions {
            reference: Some(name.parse().unwrap()),
            changes: changes.iter().map(|c| (*c).to_owned()).collect(),
            source: "-".to_owned(),
            ..ImportOptions::default()
        };
        self.engine
            .images()
            .import(&mut &tar[..], &options)
            .unwrap()
    }

    pub(crate) fn save(&self, name: &str, file: &str) -> PathBuf {
        let path = self.path(file);
        let mut out = File::create(&path).unwrap();
        let names = [name.to_owned()];
        self.engine
            .images()
            .save(
                &names,
                None,
                gantry_engine::images::ArchiveKind::Docker,
                &mut out,
            )
            .unwrap();
        path
    }

    pub(crate) fn load(&self, path: &Path) -> Vec<gantry_engine::images::Loaded> {
        let file = File::open(path).unwrap();
        self.engine
            .images()
            .load(file, &Default::default(), &Silent)
            .unwrap()
    }

    /// Asserts that the store is sound.
    pub(crate) fn check(&self) {
        let report = self.engine.system().check(CheckOptions::default()).unwrap();
        assert_eq!(report.store.findings, [], "the store is not sound");
        assert_eq!(report.containers, [], "a document is damaged");
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let rows = self.engine.images().list(&Default::default()).unwrap();
        let word = |part: Option<String>| part.unwrap_or_else(|| "<none>".to_owned());
        rows.into_iter()
            .map(|row| format!("{}:{}", word(row.repository), word(row.tag)))
            .collect()
    }
}

fn open(folder: &Path) -> Engine {
    let surroundings = Surroundings {
        root: true,
        home: Some(folder.join("home")),
        config_home: Some(folder.join("config")),
        network: BTreeMap::new(),
        ..Surroundings::default()
    };
    let at = |name: &str| Some(folder.join(name));
    Engine::open(at("root"), at("run"), surroundings).unwrap()
}

/// A tar of files and (with a slash at the end) folders.
pub(crate) fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, content) in files {
        let kind = if name.ends_with('/') {
            EntryKind::Directory
        } else {
            EntryKind::Regular
        };
        let mut entry = Entry::new(kind, name.trim_end_matches('/'));
        entry.size = content.len() as u64;
        writer.append(&entry, &mut content.as_bytes()).unwrap();
    }
    writer.finish().unwrap()
}

/// Writes a file and says where.
pub(crate) fn write(path: PathBuf, bytes: &[u8]) -> PathBuf {
    File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

/// Runs a peer's program; panics with what it said unless it succeeded.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

pub(crate) fn skopeo(arguments: &[&str]) -> String {
    let mut all = vec!["--insecure-policy"];
    all.extend(arguments);
    run("skopeo", &all)
}
