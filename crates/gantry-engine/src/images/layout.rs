//! OCI layouts: in an archive and in a folder.
//!
//! `blobs/` holds everything by digest, `index.json` says what to begin with. An archive that has
//! `manifest.json` (and `repositories`) as well is Docker's, too.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gantry_model::image::{Descriptor, Index};
use gantry_model::{Digest, Reference, media_type};
use gantry_store::LayerBlob;
use gantry_store::tar::{Entry, EntryKind, WriteError, Writer};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::archive::ArchiveError;
use super::bundle::Bundle;
use super::destination::Destination;
use super::document::{self, DOCUMENT_LIMIT, Document};
use super::folder::LayoutFolder;
use super::progress::LayerPhase;
use super::{ImageError, spool};

/// The name by which containerd imports an entry of an index.
const IMAGE_NAME: &str = "io.containerd.image.name";
/// The name that an entry of an index has within its layout.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
const MARK: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// Where a blob is in a layout.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The entries of an index for an image of these names: one each, or one without a name.
pub(crate) fn entries(manifest: &Descriptor, names: &[Reference]) -> Vec<Descriptor> {
    if names.is_empty() {
        return vec![manifest.clone()];
    }
    let named = names.iter().map(|name| {
        let mut entry = manifest.clone();
        let tag = name.tag().unwrap_or("latest").to_owned();
        entry
            .annotations
            .insert(IMAGE_NAME.to_owned(), name.to_string());
        entry.annotations.insert(REF_NAME.to_owned(), tag);
        entry
    });
    named.collect()
}

/// An index of these manifests.
pub(crate) fn index(manifests: Vec<Descriptor>) -> Index {
    Index {
        schema_version: 2,
        media_type: media_type::OCI_INDEX.to_owned(),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: BTreeMap::new(),
    }
}

/// One image in Docker's `manifest.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
    layer_sources: BTreeMap<Digest, Descriptor>,
}

/// What makes an archive Docker's.
#[derive(Debug, Default)]
pub(crate) struct DockerParts {
    items: Vec<Item>,
    repositories: BTreeMap<String, BTreeMap<String, String>>,
}

impl DockerParts {
    /// Adds an image; `top` is the diff ID of its last layer, or its id.
    pub(crate) fn add(
        &mut self,
        config: &Digest,
        top: &Digest,
        names: &[Reference],
        layers: Vec<Descriptor>,
    ) {
        for name in names {
            let tag = name.tag().unwrap_or("latest").to_owned();
            self.repositories
                .entry(name.familiar_name())
                .or_default()
                .insert(tag, top.hex());
        }
        let names: Vec<String> = names.iter().map(Reference::familiar).collect();
        self.items.push(Item {
            config: blob_name(config),
            repo_tags: (!names.is_empty()).then_some(names),
            layers: layers
                .iter()
                .map(|layer| blob_name(&layer.digest))
                .collect(),
            layer_sources: layers
                .into_iter()
                .map(|layer| (layer.digest, layer))
                .collect(),
        });
    }
}

fn failed(error: WriteError) -> ArchiveError {
    ArchiveError::Write {
        source: io::Error::other(error),
    }
}

/// Writes an archive, each blob once.
pub(crate) struct Archiver<'a> {
    tar: Writer<&'a mut (dyn Write + Send)>,
    written: HashSet<Digest>,
}

impl<'a> Archiver<'a> {
    /// Begins an archive.
    pub(crate) fn new(out: &'a mut (dyn Write + Send)) -> Result<Self, ArchiveError> {
        let mut archiver = Self {
            tar: Writer::new(out),
            written: HashSet::new(),
        };
        archiver.folder("blobs")?;
        archiver.folder("blobs/sha256")?;
        Ok(archiver)
    }

    fn folder(&mut self, name: &str) -> Result<(), ArchiveError> {
        let entry = Entry::new(EntryKind::Directory, name);
        self.tar.append(&entry, &mut io::empty()).map_err(failed)
    }

    fn file(&mut self, name: &str, mut content: &[u8]) -> Result<(), ArchiveError> {
        let mut entry = Entry::new(EntryKind::Regular, name);
        entry.size = content.len() as u64;
        self.tar.append(&entry, &mut content).map_err(failed)
    }

    /// Whether a blob was written.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.written.contains(digest)
    }

    /// Writes a small blob.
    pub(crate) fn blob(&mut self, digest: &Digest, content: &[u8]) -> Result<(), ArchiveError> {
        if self.written.insert(*digest) {
            self.file(&blob_name(digest), content)
        } else {
            Ok(())
        }
    }

    /// Writes a blob of known digest and size.
    pub(crate) fn stream(
        &mut self,
        digest: &Digest,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), ArchiveError> {
        let mut entry = Entry::new(EntryKind::Regular, blob_name(digest));
        entry.size = size;
        self.tar.append(&entry, content).map_err(failed)?;
        self.written.insert(*digest);
        Ok(())
    }

    /// Writes what is to begin with, and the end.
    pub(crate) fn finish(
        mut self,
        manifests: Vec<Descriptor>,
        docker: Option<&DockerParts>,
    ) -> Result<(), ArchiveError> {
        self.file("index.json", &document::json(&index(manifests)))?;
        if let Some(docker) = docker {
            self.file("manifest.json", &document::json(&docker.items))?;
        }
        self.file("oci-layout", MARK)?;
        if let Some(docker) = docker.filter(|docker| !docker.repositories.is_empty()) {
            self.file("repositories", &document::json(&docker.repositories))?;
        }
        self.tar.finish().map_err(failed)?;
        Ok(())
    }
}

/// A layout in an archive, as a destination.
pub(crate) struct ArchiveLayout<'a> {
    archiver: Mutex<Archiver<'a>>,
    /// Where blobs wait until their size is known.
    aside: PathBuf,
}

impl<'a> ArchiveLayout<'a> {
    /// Begins an archive; blobs wait in nameless files of the folder `aside`.
    pub(crate) fn new(
        out: &'a mut (dyn Write + Send),
        aside: PathBuf,
    ) -> Result<Self, ArchiveError> {
        Ok(Self {
            archiver: Mutex::new(Archiver::new(out)?),
            aside,
        })
    }

    /// Writes what is to begin with, and the end.
    pub(crate) fn finish(
        self,
        manifests: Vec<Descriptor>,
        docker: Option<&DockerParts>,
    ) -> Result<(), ArchiveError> {
        let archiver = self.archiver.into_inner();
        archiver
            .unwrap_or_else(PoisonError::into_inner)
            .finish(manifests, docker)
    }

    fn archiver(&self) -> std::sync::MutexGuard<'_, Archiver<'a>> {
        self.archiver.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destination for ArchiveLayout<'_> {
    fn held(&self, forms: &[&LayerBlob]) -> Result<Option<(usize, LayerPhase)>, ImageError> {
        let archiver = self.archiver();
        let held = forms.iter().position(|form| archiver.has(&form.digest));
        Ok(held.map(|number| (number, LayerPhase::AlreadyExists)))
    }

    fn take(
        &self,
        media_type: &str,
        body: &mut dyn Read,
        digest: &mut dyn FnMut() -> Digest,
    ) -> Result<Descriptor, ImageError> {
        let mut aside = spool::nameless(&self.aside)?;
        let set_aside = ImageError::stream("put a layer aside");
        let size = io::copy(body, &mut aside).map_err(set_aside)?;
        let digest = digest();
        aside.rewind().map_err(ImageError::stream("read a layer"))?;
        let mut archiver = self.archiver();
        if !archiver.has(&digest) {
            archiver.stream(&digest, size, &mut aside)?;
        }
        Ok(Descriptor::new(media_type, digest, size))
    }

    fn small(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), ImageError> {
        Ok(self.archiver().blob(&descriptor.digest, bytes)?)
    }

    fn document(&self, document: &Document) -> Result<(), ImageError> {
        self.small(&document.descriptor, &document.bytes)
    }
}

/// A layout in a folder, which other images may be in.
#[derive(Debug)]
pub(crate) struct FolderLayout {
    folder: PathBuf,
}

impl FolderLayout {
    /// The layout in `folder`, which is made.
    pub(crate) fn new(folder: &Path) -> Result<Self, ImageError> {
        let layout = Self {
            folder: folder.to_owned(),
        };
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(layout.failed("make", "blobs/sha256"))?;
        layout.write("oci-layout", MARK)?;
        Ok(layout)
    }

    /// Enters these manifests into the index, in place of those of the same names.
    pub(crate) fn finish(&self, manifests: Vec<Descriptor>) -> Result<(), ImageError> {
        let name = |entry: &Descriptor| {
            let names = [IMAGE_NAME, REF_NAME];
            names.map(|name| entry.annotations.get(name).cloned())
        };
        let mut all = self.read()?.entries_if_any()?;
        all.retain(|known| {
            !manifests
                .iter()
                .any(|entry| name(entry) == name(known) && entry.platform == known.platform)
        });
        all.extend(manifests);
        self.write("index.json", &document::json(&index(all)))
    }

    /// Takes away all that is not one of these manifests or mentioned in them.
    pub(crate) fn keep_only(&self, manifests: &[Digest]) -> Result<(), ImageError> {
        let layout = self.read()?;
        let mut entries = layout.entries_if_any()?;
        entries.retain(|entry| manifests.contains(&entry.digest));
        let mut kept: HashSet<String> = manifests.iter().map(Digest::hex).collect();
        for digest in manifests {
            let bytes = layout.blob(digest, "index", DOCUMENT_LIMIT)?;
            // A manifest or an index, which mention digests under the same name.
            let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let lists = [&document["layers"], &document["manifests"]];
            let listed = lists
                .into_iter()
                .filter_map(|list| list.as_array())
                .flatten();
            let mentioned = listed.chain([&document["config"]]);
            let digests = mentioned.filter_map(|one| one["digest"].as_str());
            kept.extend(digests.filter_map(|text| text.strip_prefix("sha256:").map(str::to_owned)));
        }
        self.write("index.json", &document::json(&index(entries)))?;
        let blobs = self.folder.join("blobs/sha256");
        let sweep = || -> io::Result<()> {
            for entry in fs::read_dir(&blobs)? {
                let entry = entry?;
                if !kept.contains(&*entry.file_name().to_string_lossy()) {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        sweep().map_err(self.failed("clear", "blobs/sha256"))
    }

    fn read(&self) -> Result<LayoutFolder, ImageError> {
        LayoutFolder::open(&self.folder).map_err(self.failed("open", ""))
    }

    /// Writes a file beside its place, then puts it there.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ImageError> {
        let aside = self.aside();
        let place = self.folder.join(name);
        create(&aside)
            .and_then(|mut file| file.write_all(bytes))
            .and_then(|()| fs::rename(&aside, &place))
            .map_err(self.failed("write", name))
    }

    /// A name for something that is not complete.
    fn aside(&self) -> PathBuf {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("blobs/.{}-{number}", std::process::id());
        self.folder.join(name)
    }

    fn failed(
        &self,
        action: &'static str,
        name: &str,
    ) -> impl FnOnce(io::Error) -> ImageError + use<> {
        let path = self.folder.join(name);
        move |source| ImageError::File {
            action,
            path,
            source,
        }
    }

    /// Whether a sound blob is there; one that is damaged will be written again.
    fn has(&self, digest: &Digest, size: u64) -> bool {
        let Ok(mut file) = File::open(self.folder.join(blob_name(digest))) else {
            return false;
        };
        if !file.metadata().is_ok_and(|known| known.len() == size) {
            return false;
        }
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(_) => return false,
            }
        }
        Digest::from_bytes(hasher.finalize().into()) == *digest
    }
}

/// A file of its own: what is there under its name, as somebody's link, is not written through.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::create_new(path),
    }
}

impl Destination for FolderLayout {
    fn held(&self, forms: &[&LayerBlob]) -> Result<Option<(usize, LayerPhase)>, ImageError> {
        let held = forms
            .iter()
            .position(|form| self.has(&form.digest, form.size));
        Ok(held.map(|number| (number, LayerPhase::AlreadyExists)))
    }

    fn take(
        &self,
        media_type: &str,
        body: &mut dyn Read,
        digest: &mut dyn FnMut() -> Digest,
    ) -> Result<Descriptor, ImageError> {
        let aside = self.aside();
        let copied = create(&aside).and_then(|mut file| io::copy(body, &mut file));
        let placed = copied.and_then(|size| {
            let digest = digest();
            fs::rename(&aside, self.folder.join(blob_name(&digest)))?;
            Ok(Descriptor::new(media_type, digest, size))
        });
        if placed.is_err() {
            // The failure that led here is the one to be told of.
            drop(fs::remove_file(&aside));
        }
        placed.map_err(self.failed("write a blob into", "blobs"))
    }

    fn small(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), ImageError> {
        if self.has(&descriptor.digest, descriptor.size) {
            return Ok(());
        }
        self.write(&blob_name(&descriptor.digest), bytes)
    }

    fn document(&self, document: &Document) -> Result<(), ImageError> {
        self.small(&document.descriptor, &document.bytes)
    }
}
