//! The bill of materials of an image: its packages and the files that the build added, each with
//! the step that brought it, as SPDX 2.3.
//!
//! Packages come from the databases of dpkg and apk, read from the layers where they lie. A package
//! belongs to the lowest layer from which on the database has it in this version.

mod packages;
mod sha1;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::sync::{Mutex, PoisonError};

use gantry_model::Digest;
use gantry_model::digest::hex_encode;
use gantry_model::image::ImageConfig;
use gantry_store::Limits;
use gantry_store::tar::{EntryKind, Reader};
use gantry_sys::path::Directory;
use rustix::fs::OFlags;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::packages::{Kind, Package};
use self::sha1::Sha1;
use super::export::Attestation;
use super::export::attestation::SPDX;
use super::{ImageError, Images, document, parallel};

/// Most bytes of a database that are read.
const LIMIT: u64 = 256 << 20;
/// Databases that are not read: what they list would be missing without a word.
const UNREAD: [&str; 6] = [
    "var/lib/rpm/rpmdb.sqlite",
    "var/lib/rpm/Packages",
    "var/lib/rpm/Packages.db",
    "usr/lib/sysimage/rpm/rpmdb.sqlite",
    "usr/lib/sysimage/rpm/Packages",
    "usr/lib/sysimage/rpm/Packages.db",
];

/// A file that a step added.
struct Added {
    path: String,
    layer: usize,
    sha1: String,
    sha256: String,
}

impl Images<'_> {
    /// What is in the image of this configuration; `base` of its layers, from below, are those of
    /// a base image, whose files are not listed.
    ///
    /// # Errors
    /// The store's; [`ImageError::Form`] for an image whose packages are in a database that is not
    /// read.
    pub fn sbom(&self, config: &ImageConfig, base: usize) -> Result<Attestation, ImageError> {
        let layers = &config.rootfs.diff_ids;
        let lowers = self.store()?.layers().lowers(layers)?;
        let mut roots = Vec::new();
        for lower in &lowers {
            let failed = ImageError::stream("open a layer");
            roots.push(Directory::open(lower).map_err(failed)?);
        }
        if let Some(path) = UNREAD
            .iter()
            .find(|path| roots.iter().any(|root| open(root, path).is_some()))
        {
            return Err(ImageError::Form {
                reason: format!(
                    "its packages are in /{path}, and databases of rpm are not read for an SBOM"
                ),
            });
        }
        let files = self.added(layers, base)?;
        let document = Spdx {
            config,
            steps: steps(config),
            packages: installed(&roots),
            files,
        };
        Ok(Attestation {
            predicate_type: SPDX.to_owned(),
            predicate: document.value(),
        })
    }

    /// The files of the layers above the base, by path.
    fn added(&self, layers: &[Digest], base: usize) -> Result<Vec<Added>, ImageError> {
        let all = Mutex::new(Vec::new());
        let jobs: Vec<usize> = (base..layers.len()).collect();
        parallel::each(jobs, 1, |layer, _stop| {
            let tar = self.store()?.layers().tar(&layers[layer])?;
            let files = hashed(tar, layer).map_err(ImageError::stream("read a layer"))?;
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(files);
            Ok::<(), ImageError>(())
        })?;
        let mut files = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        files.sort_by(|one, other| (&one.path, one.layer).cmp(&(&other.path, other.layer)));
        Ok(files)
    }
}

fn hashed(tar: impl Read, layer: usize) -> std::io::Result<Vec<Added>> {
    let mut files = Vec::new();
    let limits = Limits::default().of_any_size();
    let mut reader = Reader::new(BufReader::with_capacity(256 << 10, tar), &limits);
    while let Some(entry) = reader.next_entry().map_err(std::io::Error::other)? {
        let name = entry.path.rsplit(|byte| *byte == b'/').next();
        let whiteout = name.is_some_and(|name| name.starts_with(b".wh."));
        if entry.kind != EntryKind::Regular || whiteout || entry.sparse.is_some() {
            continue;
        }
        let (mut sha256, mut sha1) = (Sha256::new(), Sha1::new());
        loop {
            let piece = reader.fill().map_err(std::io::Error::other)?;
            if piece.is_empty() {
                break;
            }
            sha256.update(piece);
            sha1.update(piece);
            let count = piece.len();
            reader.consume(count);
        }
        let path = String::from_utf8_lossy(&entry.path);
        files.push(Added {
            path: format!("/{}", path.trim_start_matches("./")),
            layer,
            sha1: hex_encode(&sha1.finish()),
            sha256: hex_encode(&sha256.finalize()),
        });
    }
    Ok(files)
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
    open(root, path)?.take(LIMIT).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The packages of the topmost databases, each with the layer it came with.
fn installed(roots: &[Directory]) -> Vec<(Package, usize)> {
    let mut all = Vec::new();
    for (path, kind) in [
        ("var/lib/dpkg/status", Kind::Debian),
        ("lib/apk/db/installed", Kind::Alpine),
        ("usr/lib/apk/db/installed", Kind::Alpine),
    ] {
        let mut known: HashMap<Package, usize> = HashMap::new();
        for (layer, root) in roots.iter().enumerate() {
            let Some(text) = text(root, path) else {
                continue;
            };
            let now = packages::parse(&text, kind);
            known = now
                .into_iter()
                .map(|package| {
                    let since = known.get(&package).copied().unwrap_or(layer);
                    (package, since)
                })
                .collect();
        }
        all.extend(known);
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
    let id = system.as_deref().and_then(packages::system_id);
    for (package, _) in &mut all {
        package.system.clone_from(&id);
    }
    all.sort();
    all.dedup();
    all
}

/// The instruction of each layer.
fn steps(config: &ImageConfig) -> Vec<String> {
    let made = config.history.iter().filter(|entry| !entry.empty_layer);
    made.map(|entry| entry.created_by.clone()).collect()
}

/// A document on its way.
struct Spdx<'a> {
    config: &'a ImageConfig,
    steps: Vec<String>,
    packages: Vec<(Package, usize)>,
    files: Vec<Added>,
}

impl Spdx<'_> {
    fn came(&self, layer: usize) -> String {
        let diff_id = self.config.rootfs.diff_ids.get(layer);
        let diff_id = diff_id.map(Digest::to_string).unwrap_or_default();
        match self.steps.get(layer).filter(|step| !step.is_empty()) {
            Some(step) => format!("layer {diff_id}, made by {step}"),
            None => format!("layer {diff_id}"),
        }
    }

    fn value(&self) -> Value {
        const ROOT: &str = "SPDXRef-Image";
        let id = document::digest(&document::json(self.config));
        let mut packages = vec![json!({
            "SPDXID": ROOT,
            "name": "image",
            "versionInfo": id,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "primaryPackagePurpose": "CONTAINER",
        })];
        let mut related = vec![json!({
            "spdxElementId": "SPDXRef-DOCUMENT",
            "relationshipType": "DESCRIBES",
            "relatedSpdxElement": ROOT,
        })];
        let mut contains = |id: &str| {
            related.push(json!({
                "spdxElementId": ROOT,
                "relationshipType": "CONTAINS",
                "relatedSpdxElement": id,
            }));
        };
        for (number, (package, layer)) in self.packages.iter().enumerate() {
            let id = format!("SPDXRef-Package-{number}");
            contains(&id);
            packages.push(json!({
                "SPDXID": id,
                "name": package.name,
                "versionInfo": package.version,
                "downloadLocation": "NOASSERTION",
                "filesAnalyzed": false,
                "licenseConcluded": "NOASSERTION",
                "licenseDeclared": "NOASSERTION",
                "copyrightText": "NOASSERTION",
                "sourceInfo": self.came(*layer),
                "externalRefs": [{
                    "referenceCategory": "PACKAGE-MANAGER",
                    "referenceType": "purl",
                    "referenceLocator": package.purl(),
                }],
            }));
        }
        let mut files = Vec::new();
        for (number, file) in self.files.iter().enumerate() {
            let id = format!("SPDXRef-File-{number}");
            contains(&id);
            files.push(json!({
                "SPDXID": id,
                "fileName": file.path,
                "checksums": [
                    {"algorithm": "SHA1", "checksumValue": file.sha1},
                    {"algorithm": "SHA256", "checksumValue": file.sha256},
                ],
                "licenseConcluded": "NOASSERTION",
                "copyrightText": "NOASSERTION",
                "comment": self.came(file.layer),
            }));
        }
        json!({
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": "image",
            "documentNamespace": format!("urn:gantry:image:{}", id.hex()),
            "creationInfo": {
                "created": self.created(),
                "creators": [format!("Tool: gantry-{}", env!("CARGO_PKG_VERSION"))],
            },
            "packages": packages,
            "files": files,
            "relationships": related,
        })
    }

    /// The time of the image, which is the same each time it is described: SPDX wants seconds.
    fn created(&self) -> String {
        let written = self.config.created.as_deref().unwrap_or_default();
        let time = written.parse().unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let second = jiff::Timestamp::from_second(time.as_second());
        second.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_belong_to_the_step_that_brought_them() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let one = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n";
        let two = "Package: b\nStatus: install ok installed\nVersion: 2+x\nArchitecture: amd64\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 3\nArchitecture: amd64\n";
        write("0/var/lib/dpkg/status", one);
        write("0/etc/os-release", "NAME=Debian\nID=debian\n");
        write("1/x", "");
        write("2/var/lib/dpkg/status", &format!("{one}{two}"));
        write(
            "2/var/lib/dpkg/status.d/c",
            "Package: c\nVersion: 1:4\nArchitecture: amd64\n",
        );
        let roots: Vec<Directory> = ["0", "1", "2"]
            .map(|name| Directory::open(&folder.path().join(name)).unwrap())
            .into();
        let found = installed(&roots);
        let found: Vec<(String, usize)> = found
            .iter()
            .map(|(package, layer)| (package.purl(), *layer))
            .collect();
        assert_eq!(
            found,
            [
                ("pkg:deb/debian/a@1?arch=all".to_owned(), 0),
                ("pkg:deb/debian/b@2%2Bx?arch=amd64".to_owned(), 2),
                ("pkg:deb/debian/c@1:4?arch=amd64".to_owned(), 2),
            ]
        );
    }
}
