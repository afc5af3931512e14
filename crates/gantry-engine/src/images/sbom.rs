//! The bill of materials of an image: its packages and the files that the build added, each with
//! the step that brought it, as SPDX 2.3.
//!
//! Packages come from the databases of dpkg, apk and rpm, read from the layers where they lie. A
//! package belongs to the lowest layer from which on the database has it in this version.

mod installed;
mod packages;
mod rpm;
mod sha1;

use std::io::{BufReader, Read};
use std::sync::{Mutex, PoisonError};

use gantry_model::Digest;
use gantry_model::digest::hex_encode;
use gantry_model::image::ImageConfig;
use gantry_store::Limits;
use gantry_store::tar::{EntryKind, Reader};
use gantry_sys::path::Directory;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use self::installed::{Gap, installed};
use self::packages::Package;
use self::sha1::Sha1;
use super::export::Attestation;
use super::export::attestation::SPDX;
use super::{ImageError, Images, document, parallel};

/// Most bytes of a database that are read.
const LIMIT: u64 = 256 << 20;

/// What is in an image.
#[derive(Debug)]
pub struct Sbom {
    /// The document, to be attached.
    pub attestation: Attestation,
    /// Databases whose packages are not in it, or not all of them, one sentence for each.
    pub gaps: Vec<String>,
}

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
    /// The store's.
    pub fn sbom(&self, config: &ImageConfig, base: usize) -> Result<Sbom, ImageError> {
        let layers = &config.rootfs.diff_ids;
        let lowers = self.store()?.layers().lowers(layers)?;
        let mut roots = Vec::new();
        for lower in &lowers {
            let failed = ImageError::stream("open a layer");
            roots.push(Directory::open(lower).map_err(failed)?);
        }
        let (packages, gaps) = installed(&roots);
        let gaps = gaps.iter().map(|gap| {
            let Gap {
                path,
                reason,
                layer,
            } = gap;
            let id = layers
                .get(*layer)
                .map(Digest::to_string)
                .unwrap_or_default();
            format!(
                "packages may be missing from the SBOM: /{path} of layer {id} could not be read: \
                 {reason}"
            )
        });
        let document = Spdx {
            config,
            steps: steps(config),
            packages,
            files: self.added(layers, base)?,
            gaps: gaps.collect(),
        };
        Ok(Sbom {
            attestation: Attestation {
                predicate_type: SPDX.to_owned(),
                predicate: document.value(),
            },
            gaps: document.gaps,
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
    gaps: Vec<String>,
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
            let mut written = json!({
                "SPDXID": id,
                "name": package.name,
                "versionInfo": package.full_version(),
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
            });
            if let Some(vendor) = package.rpm.as_ref().and_then(|rpm| rpm.vendor.as_ref()) {
                written["supplier"] = json!(format!("Organization: {vendor}"));
            }
            // Not as declared: few of them are expressions of SPDX.
            if let Some(license) = package.rpm.as_ref().and_then(|rpm| rpm.license.as_ref()) {
                written["licenseComments"] = json!(format!("the package says {license}"));
            }
            packages.push(written);
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
        let mut whole = json!({
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
        });
        if !self.gaps.is_empty() {
            whole["comment"] = json!(self.gaps.join("\n"));
        }
        whole
    }

    /// The time of the image, which is the same each time it is described: SPDX wants seconds.
    fn created(&self) -> String {
        let written = self.config.created.as_deref().unwrap_or_default();
        let time = written.parse().unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let second = jiff::Timestamp::from_second(time.as_second());
        second.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
    }
}
