//! Bringing what was built to where it was asked for.

use std::io::Write;
use std::path::{Path, PathBuf};

use gantry_build::export;
use gantry_build::progress::VertexId;
use gantry_build::report::titled;
use gantry_build::{BuiltImage, BuiltTarget, Reporter};
use gantry_engine::Engine;
use gantry_engine::images::{
    ArchiveKind, Attestation, ExportPart, Exported, FileStatements, FilesPart, Images, Kept,
    LayerProgress, Transfer,
};
use gantry_model::image::Descriptor;
use gantry_model::{Digest, Event, EventType, Reference};

use super::attest::Witness;
use super::bounds::Bounds;
use super::outputs::{FilesOutput, ImageOutput, LayoutOutput, Output, Place};
use crate::failure::Failure;
use crate::output::sink;

/// What left.
#[derive(Debug, Clone, Default)]
pub(crate) struct Delivered {
    /// The image's id, or the index's digest where there are several images.
    pub(crate) id: Option<Digest>,
    /// The id of the only image.
    pub(crate) config: Option<Digest>,
    /// The manifest or index, where one was made.
    pub(crate) top: Option<Descriptor>,
    /// The names of the image.
    pub(crate) names: Vec<Reference>,
}

/// Delivers one target.
pub(crate) struct Delivery<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) target: &'a BuiltTarget,
    /// `SOURCE_DATE_EPOCH`, in seconds.
    pub(crate) epoch: Option<i64>,
    /// What files and folders do not leave.
    pub(crate) bounds: &'a Bounds,
    pub(crate) reporter: &'a Reporter<'a>,
    /// What is said of images that leave.
    pub(crate) witness: Witness<'a>,
}

impl Delivery<'_> {
    /// Serves every output, in their order.
    pub(crate) fn all(&self, outputs: &[Output]) -> Result<Delivered, Failure> {
        let mut delivered = Delivered::default();
        for output in outputs {
            match output {
                Output::Image(image) => self.image(image, &mut delivered)?,
                Output::Layout(layout) => self.layout(layout, &mut delivered)?,
                Output::Files(files) => self.files(files)?,
                Output::Nothing => {}
            }
        }
        Ok(delivered)
    }

    fn image(&self, output: &ImageOutput, delivered: &mut Delivered) -> Result<(), Failure> {
        let parts = self.parts(output.rewrite_timestamp)?;
        if output.store && self.target.multi_platform {
            let kept = self.keep(&parts, &output.names)?;
            delivered.kept(&kept, &output.names);
        } else if output.store {
            for image in &parts {
                let store = self.engine.store()?;
                let id = export::image(store, self.target, image, &output.names, self.reporter)?;
                for name in &output.names {
                    let event = Event::new(EventType::Image, "tag", id.to_string());
                    self.engine.tell(event.with("name", name.familiar()));
                }
            }
            delivered.stored(&parts, &output.names);
        }
        if output.push {
            let exported = self.vertex("exporting to registry", |images, transfer| {
                let (names, by_digest) = (&output.names, output.by_digest);
                let parts = self.attested(&parts)?;
                Ok(images.export_to_registry(&parts, &output.form, names, by_digest, transfer)?)
            })?;
            delivered.left(exported, &output.names);
        }
        Ok(())
    }

    /// Puts the images of several platforms into the store as one.
    fn keep(&self, parts: &[BuiltImage], names: &[Reference]) -> Result<Kept, Failure> {
        let vertex = self.begin("exporting to image");
        self.reporter.part(vertex, "exporting layers", true);
        let kept = self.engine.images().keep(&leaving(parts), names);
        if let Ok(kept) = &kept {
            let index = format!("exporting manifest list {}", kept.index.digest);
            self.reporter.part(vertex, &index, true);
            for name in names {
                self.reporter
                    .part(vertex, &format!("naming to {name}"), true);
                let event = Event::new(EventType::Image, "tag", kept.id.to_string());
                self.engine.tell(event.with("name", name.familiar()));
            }
        }
        self.end(vertex, kept.map_err(Failure::from))
    }

    fn layout(&self, output: &LayoutOutput, delivered: &mut Delivered) -> Result<(), Failure> {
        let parts = self.attested(&self.parts(output.rewrite_timestamp)?)?;
        let LayoutOutput {
            names, kind, form, ..
        } = output;
        let name = match kind {
            ArchiveKind::Docker => "exporting to docker image format",
            ArchiveKind::Oci => "exporting to oci image format",
        };
        let exported = self.vertex(name, |images, transfer| match &output.place {
            Place::Path(folder) if !output.tar => {
                let folder = self.bounds.layout(folder)?;
                Ok(images.export_to_folder(&parts, form, names, &folder, transfer)?)
            }
            place => self.to(place, |out| {
                Ok(images.export_to_archive(&parts, form, names, *kind, out, transfer)?)
            }),
        })?;
        delivered.left(exported, names);
        Ok(())
    }

    fn files(&self, output: &FilesOutput) -> Result<(), Failure> {
        let split = output.split.unwrap_or(self.target.multi_platform);
        if !split && self.target.images.len() > 1 {
            return Err(Failure::invalid(
                "platform-split=false is for one platform: the files of several would mix",
            ));
        }
        let epoch = self.epoch;
        if let (true, Place::Path(folder)) = (!output.tar, &output.place) {
            return self.vertex("exporting to client directory", |engine, _| {
                for part in &self.files_parts(output, split)? {
                    let folder = if split {
                        folder.join(&part.folder)
                    } else {
                        folder.clone()
                    };
                    let place = self.bounds.place(&folder)?;
                    engine
                        .files_to_folder(part, epoch, &place, output.mode)
                        .map_err(|error| Failure::from(error).at(folder.display()))?;
                }
                Ok(())
            });
        }
        self.vertex("exporting to client tarball", |engine, _| {
            let parts = self.files_parts(output, split)?;
            self.to(&output.place, |out| {
                Ok(engine.files_to_archive(&parts, epoch, out)?)
            })
        })
    }

    /// The files of each platform, with what is said of them.
    fn files_parts(
        &self,
        output: &FilesOutput,
        split: bool,
    ) -> Result<Vec<FilesPart<'_>>, Failure> {
        let part = |image| -> Result<_, Failure> {
            Ok(FilesPart {
                folder: if split {
                    platform_folder(image)
                } else {
                    PathBuf::new()
                },
                layers: image.layers(),
                said: FileStatements {
                    attestations: self.said(image)?,
                    prefix: output.attestation_prefix.clone(),
                },
            })
        };
        self.target.images.iter().map(part).collect()
    }

    /// The images as they leave, none of their files newer than the time of the build where that
    /// was asked for.
    fn parts(&self, rewrite_timestamp: bool) -> Result<Vec<BuiltImage>, Failure> {
        let images = &self.target.images;
        let Some(epoch) = self.epoch.filter(|_| rewrite_timestamp) else {
            if rewrite_timestamp {
                let text = "rewrite-timestamp changes nothing without SOURCE_DATE_EPOCH";
                self.reporter.warning(text, None);
            }
            return Ok(images.clone());
        };
        let vertex = self.begin("rewriting layers with source-date-epoch");
        let rewrite = |image: &BuiltImage| -> Result<BuiltImage, Failure> {
            let layers = image.layers();
            let layers = self
                .engine
                .images()
                .retimed(layers, image.base_layers, epoch, true)?;
            let mut image = image.clone();
            image.config.rootfs.diff_ids = layers;
            Ok(image)
        };
        self.end(vertex, images.iter().map(rewrite).collect())
    }

    /// What is said of an image, with warnings of what could not be found out.
    fn said(&self, image: &BuiltImage) -> Result<Vec<Attestation>, Failure> {
        let warn = |text: &str| self.reporter.warning(text, None);
        self.witness.of(self.engine, self.target, image, warn)
    }

    /// The images as they leave, with what is said of them.
    fn attested(&self, images: &[BuiltImage]) -> Result<Vec<ExportPart>, Failure> {
        let mut parts = leaving(images);
        for (part, image) in parts.iter_mut().zip(images) {
            part.attestations = self.said(image)?;
        }
        Ok(parts)
    }

    /// Does something that people can watch.
    fn vertex<T>(
        &self,
        name: &str,
        work: impl FnOnce(Images<'_>, &dyn Transfer) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let vertex = self.begin(name);
        let watched = Watched {
            reporter: self.reporter,
            vertex,
        };
        self.end(vertex, work(self.engine.images(), &watched))
    }

    /// Writes an archive to its place.
    fn to<T>(
        &self,
        place: &Place,
        write: impl FnOnce(&mut (dyn Write + Send)) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut result = None;
        let keep = |out: &mut (dyn Write + Send)| {
            result = Some(write(out)?);
            Ok(())
        };
        match place {
            Place::Stdout => sink::to_stdout(keep)?,
            Place::Path(path) => {
                let path = self.bounds.place(path)?;
                sink::to_file(&path.to_string_lossy(), keep)?;
            }
        }
        Ok(result.expect("what was written gave a result"))
    }

    fn begin(&self, name: &str) -> VertexId {
        self.reporter
            .begin(&titled(self.target.title.as_deref(), name))
    }

    fn end<T>(&self, vertex: VertexId, done: Result<T, Failure>) -> Result<T, Failure> {
        match &done {
            Ok(_) => self.reporter.done(vertex),
            Err(failure) => self.reporter.failed(vertex, failure.message()),
        }
        done
    }
}

/// `linux_amd64`, as buildx names the folder of a platform.
fn platform_folder(image: &BuiltImage) -> PathBuf {
    Path::new(&image.platform.to_string().replace('/', "_")).to_owned()
}

fn leaving(images: &[BuiltImage]) -> Vec<ExportPart> {
    let part = |image: &BuiltImage| ExportPart {
        config: image.config_bytes(),
        base: image.base_layers,
        attestations: Vec::new(),
    };
    images.iter().map(part).collect()
}

impl Delivered {
    fn stored(&mut self, images: &[BuiltImage], names: &[Reference]) {
        if let [only] = images {
            self.config = Some(only.id());
            self.id = self.config;
        }
        self.names = names.to_vec();
    }

    fn kept(&mut self, kept: &Kept, names: &[Reference]) {
        self.id = Some(kept.index.digest);
        self.top = Some(kept.index.clone());
        self.names = names.to_vec();
    }

    fn left(&mut self, exported: Exported, names: &[Reference]) {
        if self.id.is_none() {
            self.config = match exported.configs[..] {
                [only] => Some(only),
                _ => None,
            };
            self.id = self.config.or(Some(exported.top.digest));
        }
        self.top = Some(exported.top);
        self.names = names.to_vec();
    }
}

/// Shows what becomes of layers as parts of a vertex.
pub(super) struct Watched<'a> {
    pub(super) reporter: &'a Reporter<'a>,
    pub(super) vertex: VertexId,
}

impl Transfer for Watched<'_> {
    fn layer(&self, progress: LayerProgress) {
        let LayerProgress {
            id,
            phase,
            current,
            total,
        } = progress;
        if phase == gantry_engine::images::LayerPhase::Waiting {
            return;
        }
        let name = format!("layer {id}");
        self.reporter
            .bytes(self.vertex, &name, current, total, phase.is_final());
    }

    fn warning(&self, text: &str) {
        self.reporter.warning(text, None);
    }
}
