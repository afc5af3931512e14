//! The packages of an image, from the layers where its databases lie.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;

use gantry_sys::path::Directory;
use rustix::fs::OFlags;

use super::packages::{self, Kind, Package, System};
use super::rpm::{self, Form};

/// A database of which something is not known.
#[derive(Debug)]
pub(super) struct Gap {
    /// Its path without the first slash.
    pub(super) path: String,
    /// Why.
    pub(super) reason: String,
    /// Whose database it is, from below.
    pub(super) layer: usize,
}

/// Opens a regular file of a layer; links are not followed.
fn open(root: &Directory, path: &str) -> Option<File> {
    let file = root.open_beneath(path, OFlags::RDONLY | OFlags::NONBLOCK, 0);
    let file = File::from(file.ok()?);
    file.metadata()
        .is_ok_and(|facts| facts.is_file())
        .then_some(file)
}

fn text(root: &Directory, path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    open(root, path)?
        .take(super::LIMIT)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The packages that each layer's own database at a path has, by layer from below.
type History = Vec<(usize, Vec<Package>)>;

/// The packages of the topmost of several databases, each with the layer it came with.
fn dated(history: History) -> HashMap<Package, usize> {
    let mut known: HashMap<Package, usize> = HashMap::new();
    for (layer, now) in history {
        known = now
            .into_iter()
            .map(|package| {
                let since = known.get(&package).copied().unwrap_or(layer);
                (package, since)
            })
            .collect();
    }
    known
}

/// The databases of rpm at `path`; what is not known of them is added to `gaps`.
fn of_rpm(roots: &[Directory], path: &str, form: Form, gaps: &mut Vec<Gap>) -> History {
    let mut history = Vec::new();
    for (layer, root) in roots.iter().enumerate() {
        let mut gap = |path: String, reason: String| {
            gaps.push(Gap {
                path,
                reason,
                layer,
            });
        };
        let journal = format!("{path}-wal");
        let is_pending = open(root, &journal)
            .and_then(|file| file.metadata().ok())
            .is_some_and(|facts| facts.len() > 0);
        if form == Form::Sqlite && is_pending {
            gap(
                journal,
                "changes that are not in the database yet are not read".to_owned(),
            );
        }
        let Some(mut file) = open(root, path) else {
            continue;
        };
        let contents = rpm::read(&mut file, form);
        if let Some(reason) = contents.gap {
            gap(path.to_owned(), reason);
        }
        history.push((layer, contents.packages));
    }
    history
}

/// The packages of the topmost databases, each with the layer it came with, and what is not known.
pub(super) fn installed(roots: &[Directory]) -> (Vec<(Package, usize)>, Vec<Gap>) {
    let (mut all, mut gaps) = (Vec::new(), Vec::new());
    for (path, kind) in [
        ("var/lib/dpkg/status", Kind::Debian),
        ("lib/apk/db/installed", Kind::Alpine),
        ("usr/lib/apk/db/installed", Kind::Alpine),
    ] {
        let texts = roots.iter().enumerate();
        let history = texts.filter_map(|(layer, root)| {
            let text = text(root, path)?;
            Some((layer, packages::parse(&text, kind)))
        });
        all.extend(dated(history.collect()));
    }
    for (path, form) in rpm::PLACES {
        all.extend(dated(of_rpm(roots, path, form, &mut gaps)));
    }
    // Images without dpkg keep a file for each package.
    for (layer, root) in roots.iter().enumerate() {
        let Ok(folder) = root.directory_beneath("var/lib/dpkg/status.d") else {
            continue;
        };
        for entry in folder.entries().unwrap_or_default() {
            let name = entry.name.to_string_lossy().into_owned();
            if let Some(text) = text(&folder, &name).filter(|_| !name.ends_with(".md5sums")) {
                let found = packages::parse(&text, Kind::Debian);
                all.extend(found.into_iter().map(|package| (package, layer)));
            }
        }
    }
    let system = roots
        .iter()
        .rev()
        .find_map(|root| text(root, "etc/os-release").or_else(|| text(root, "usr/lib/os-release")));
    let system = system.as_deref().and_then(System::parse);
    for (package, _) in &mut all {
        package.system.clone_from(&system);
    }
    all.sort();
    all.dedup();
    (all, gaps)
}

#[cfg(test)]
mod tests {
    use super::super::rpm::sample;
    use super::*;

    /// Folders of three layers, `0` to `2`.
    struct Layers(tempfile::TempDir);

    impl Layers {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
            let path = self.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }

        /// Their purls, each with its layer.
        fn installed(&self) -> (Vec<(String, usize)>, Vec<Gap>) {
            let folders = ["0", "1", "2"].map(|name| self.0.path().join(name));
            let roots = folders.map(|folder| Directory::open(&folder).unwrap());
            let (found, gaps) = installed(&roots);
            let found = found
                .iter()
                .map(|(package, layer)| (package.purl(), *layer));
            (found.collect(), gaps)
        }
    }

    #[test]
    fn packages_belong_to_the_step_that_brought_them() {
        let layers = Layers::new();
        let one = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n";
        let two = "Package: b\nStatus: install ok installed\nVersion: 2+x\nArchitecture: amd64\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 3\nArchitecture: amd64\n";
        layers.write("0/var/lib/dpkg/status", one);
        layers.write("0/etc/os-release", "NAME=Debian\nID=debian\n");
        layers.write("1/x", "");
        layers.write("2/var/lib/dpkg/status", format!("{one}{two}"));
        layers.write(
            "2/var/lib/dpkg/status.d/c",
            "Package: c\nVersion: 1:4\nArchitecture: amd64\n",
        );
        let (found, gaps) = layers.installed();
        assert!(gaps.is_empty(), "{gaps:?}");
        assert_eq!(
            found,
            [
                ("pkg:deb/debian/a@1?arch=all".to_owned(), 0),
                ("pkg:deb/debian/b@2%2Bx?arch=amd64".to_owned(), 2),
                ("pkg:deb/debian/c@1:4?arch=amd64".to_owned(), 2),
            ]
        );
    }

    #[test]
    fn packages_of_rpm_belong_to_layers_as_well_and_gaps_are_named() {
        let layers = Layers::new();
        let (bash, tool) = (sample::header(&sample::BASH), sample::header(&sample::TOOL));
        let one = sample::of(Form::Sqlite, std::slice::from_ref(&bash));
        layers.write("0/var/lib/rpm/rpmdb.sqlite", &one);
        layers.write("0/usr/lib/os-release", b"ID=fedora\nVERSION_ID=40\n");
        let two = sample::of(Form::Sqlite, &[bash, tool]);
        layers.write("1/var/lib/rpm/rpmdb.sqlite", &two);
        layers.write("1/var/lib/rpm/rpmdb.sqlite-wal", b"");
        layers.write("2/var/lib/rpm/rpmdb.sqlite-wal", b"more");
        layers.write("2/usr/lib/sysimage/rpm/Packages", b"none");
        let (found, gaps) = layers.installed();
        let upstream = "&upstream=bash-5.2-1.src.rpm";
        let bash = format!("pkg:rpm/fedora/bash@5.2-1?arch=x86_64&distro=fedora-40{upstream}");
        let tool = "pkg:rpm/fedora/tool@1%2Bx-2?arch=noarch&distro=fedora-40&epoch=3";
        assert_eq!(found, [(bash, 0), (tool.to_owned(), 1)]);
        let gaps: Vec<(&str, usize)> = gaps.iter().map(|gap| (&*gap.path, gap.layer)).collect();
        let journal = "var/lib/rpm/rpmdb.sqlite-wal";
        assert_eq!(gaps, [(journal, 2), ("usr/lib/sysimage/rpm/Packages", 2)]);
        // Nothing was written beside a database.
        let beside = std::fs::read_dir(layers.0.path().join("0/var/lib/rpm")).unwrap();
        assert_eq!(beside.count(), 1);
    }
}
