//! Named contexts (`--build-context`): they stand before stages and images of their names, as in
//! BuildKit.

use std::fmt;

use gantry_dockerfile::Instruction;
use gantry_dockerfile::resolve::{Base, ResolveError, SCRATCH, Source};
use gantry_model::layout::LayoutReference;
use gantry_model::{Platform, Reference};

use super::{ImageFailure, Lowering, StageBase};
use crate::base::BaseSource;
use crate::graph::{ContextId, FileOperation, FileSource, Label, NodeId, Operation};

/// What a name of the client stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// Files.
    Files(ContextId),
    /// An image.
    Image(ImageName),
    /// What the subject of that number makes.
    Target(usize),
}

/// How an image is named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum ImageName {
    /// By a reference, as it was written.
    Written(String),
    /// By its place in an OCI layout.
    Layout(LayoutReference),
}

impl ImageName {
    fn is_scratch(&self) -> bool {
        matches!(self, Self::Written(name) if name == SCRATCH)
    }

    /// Where the image is to be had.
    pub(crate) fn source(&self) -> Result<BaseSource, ImageFailure> {
        Ok(match self {
            Self::Written(name) => BaseSource::Named(name.parse().map_err(ImageFailure::Name)?),
            Self::Layout(layout) => BaseSource::Layout(layout.clone()),
        })
    }

    fn layout(&self) -> Option<&LayoutReference> {
        match self {
            Self::Written(_) => None,
            Self::Layout(layout) => Some(layout),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(name) => f.write_str(name),
            Self::Layout(layout) => layout.fmt(f),
        }
    }
}

/// What a `--from` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Stage(usize),
    Files(ContextId),
    Image(ImageName),
    Target(usize),
    Scratch,
}

/// The name by which a named context is known: that of an image as people write it, without the
/// usual tag.
pub(crate) fn context_name(name: &str) -> String {
    let familiar = name
        .parse::<Reference>()
        .map(|reference| reference.familiar());
    let name = familiar.unwrap_or_else(|_| name.to_ascii_lowercase());
    name.strip_suffix(":latest")
        .map_or(name.clone(), str::to_owned)
}

impl<'a> Lowering<'a> {
    fn named(&self, name: &str) -> Option<&Named> {
        if self.settings.named.is_empty() {
            return None;
        }
        let name = context_name(name);
        let named = self.settings.named.get(&name)?;
        self.used_names.borrow_mut().insert(name);
        Some(named)
    }

    /// What a stage stands on.
    pub(super) fn named_base(
        &self,
        index: usize,
        written: String,
        platform: Option<Platform>,
    ) -> StageBase {
        let stage = self.dockerfile.stages[index].name.as_ref();
        let whole = stage.and_then(|name| self.named(&name.value));
        let is_replaced = whole.is_some();
        // A stage of that name, which may itself be replaced, is known before an image is.
        let below = || match self.dockerfile.base_of(index, &written) {
            Base::Stage(_) => None,
            Base::Scratch | Base::External => self.named(&written),
        };
        let named = whole.or_else(below);
        let link = match named {
            Some(Named::Target(subject)) => Some(*subject),
            _ => None,
        };
        let name = match named {
            Some(Named::Image(image)) if !image.is_scratch() => image.to_string(),
            _ => written.clone(),
        };
        let (base, files) = match named {
            Some(Named::Target(_)) => (Base::External, None),
            Some(Named::Files(context)) => (Base::Scratch, Some(*context)),
            Some(Named::Image(image)) if image.is_scratch() => (Base::Scratch, None),
            Some(Named::Image(_)) => (Base::External, None),
            None => (self.dockerfile.base_of(index, &written), None),
        };
        let layout = match named {
            Some(Named::Image(image)) => image.layout().cloned(),
            _ => None,
        };
        StageBase {
            written,
            name,
            platform,
            base,
            files,
            link,
            layout,
            is_replaced,
        }
    }

    /// The instructions of a stage that count.
    pub(super) fn instructions(&self, stage: usize) -> &'a [Instruction] {
        if self.bases[stage].is_replaced {
            return &[];
        }
        &self.dockerfile.stages[stage].instructions
    }

    /// What a `--from` in a stage means.
    pub(super) fn origin_of(&self, stage: usize, from: &str) -> Result<Origin, ResolveError> {
        match self.dockerfile.source_of(stage, from)? {
            Source::Stage(stage) => Ok(Origin::Stage(stage)),
            Source::External => Ok(match self.named(from) {
                Some(Named::Files(context)) => Origin::Files(*context),
                Some(Named::Target(subject)) => Origin::Target(*subject),
                Some(Named::Image(image)) if !image.is_scratch() => Origin::Image(image.clone()),
                Some(Named::Image(_)) => Origin::Scratch,
                None if from == SCRATCH => Origin::Scratch,
                None => Origin::Image(ImageName::Written(from.to_owned())),
            }),
        }
    }

    /// Files of a context as a root file system: as they would be copied, root's, without what is
    /// ignored, and as they were when they were looked at. The copy is a layer like others, made once
    /// for each content.
    pub(super) fn rootfs_of(&mut self, context: ContextId, source: &str, label: Label) -> NodeId {
        let operation = FileOperation {
            sources: vec![FileSource::Exact(source.to_owned())],
            destination: "/".to_owned(),
            owner: None,
            mode: None,
            unpack: false,
            exclude: Vec::new(),
            parents: true,
            link: true,
        };
        let scratch = self
            .graph
            .add(Operation::Scratch, Vec::new(), Label::default());
        let context = self
            .graph
            .add(Operation::Context(context), Vec::new(), Label::default());
        let inputs = vec![scratch, context];
        self.graph
            .add(Operation::File(Box::new(operation)), inputs, label)
    }
}

#[cfg(test)]
mod tests {
    use super::context_name;

    #[test]
    fn names_of_images_are_brought_together() {
        for (name, want) in [
            ("alpine", "alpine"),
            ("alpine:latest", "alpine"),
            ("docker.io/library/alpine:latest", "alpine"),
            ("alpine:3.21", "alpine:3.21"),
            ("Base", "base"),
        ] {
            assert_eq!(context_name(name), want);
        }
    }
}
