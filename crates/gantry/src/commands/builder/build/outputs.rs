//! `--output`, `--push` and `--load`: where it goes what was built.

pub(crate) mod annotations;
mod attributes;

use std::path::PathBuf;

use gantry_engine::images::{ArchiveKind, ExportForm, FolderMode};
use gantry_model::Reference;
use gantry_model::mount::split_csv;

use self::attributes::Attributes;
use crate::failure::Failure;
use crate::output::sink;

/// What is said of an annotation that no document would carry.
const NO_MANIFEST: &str = "annotations are written on manifests, which an image gets when it leaves \
    the store: add --push, or choose type=oci or type=docker with dest";

/// One thing that becomes of a build.
#[derive(Debug, Clone)]
pub(crate) enum Output {
    /// An image: in the store, in a registry.
    Image(ImageOutput),
    /// An image in an archive or a folder.
    Layout(LayoutOutput),
    /// The files.
    Files(FilesOutput),
    /// Nothing but the cache.
    Nothing,
}

/// An image in the store, in a registry, or both.
#[derive(Debug, Clone)]
pub(crate) struct ImageOutput {
    /// Its names.
    pub(crate) names: Vec<Reference>,
    /// Whether it is put into the store.
    pub(crate) store: bool,
    /// Whether it is uploaded.
    pub(crate) push: bool,
    /// Whether it is uploaded without tags.
    pub(crate) by_digest: bool,
    /// How it leaves.
    pub(crate) form: ExportForm,
    /// Whether no file is newer than `SOURCE_DATE_EPOCH`.
    pub(crate) rewrite_timestamp: bool,
}

/// An image in an archive or a folder.
#[derive(Debug, Clone)]
pub(crate) struct LayoutOutput {
    /// Its names.
    pub(crate) names: Vec<Reference>,
    /// What kind of layout it is.
    pub(crate) kind: ArchiveKind,
    /// Whether it is an archive, not a folder.
    pub(crate) tar: bool,
    /// Where it is written.
    pub(crate) place: Place,
    /// How it leaves.
    pub(crate) form: ExportForm,
    /// Whether no file is newer than `SOURCE_DATE_EPOCH`.
    pub(crate) rewrite_timestamp: bool,
}

/// The files of a build.
#[derive(Debug, Clone)]
pub(crate) struct FilesOutput {
    /// Whether they are in an archive, not in a folder.
    pub(crate) tar: bool,
    /// Where they are written.
    pub(crate) place: Place,
    /// What becomes of files that are there.
    pub(crate) mode: FolderMode,
    /// Whether each platform has a folder of its own; if there are several without.
    pub(crate) split: Option<bool>,
    /// What the names of files with attestations begin with.
    pub(crate) attestation_prefix: String,
}

impl Output {
    /// The file or folder that it is written to, if it is.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let place = match self {
            Self::Layout(layout) => &layout.place,
            Self::Files(files) => &files.place,
            _ => return None,
        };
        match place {
            Place::Path(path) => Some(path.clone()),
            Place::Stdout => None,
        }
    }
}

/// Where something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// To standard output.
    Stdout,
    /// To a file or folder.
    Path(PathBuf),
}

/// What the flags beside `--output` ask for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shorthands<'a> {
    /// `--push`
    pub(crate) push: bool,
    /// `--load`
    pub(crate) load: bool,
    /// `--annotation`
    pub(crate) annotations: &'a [String],
    /// `--tag`, which names every image.
    pub(crate) tags: &'a [Reference],
}

/// What becomes of a build with these `--output` texts.
pub(crate) fn parse(texts: &[String], shorthands: Shorthands<'_>) -> Result<Vec<Output>, Failure> {
    let mut outputs = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        outputs.push(output(text, shorthands.tags)?);
    }
    let image = |push| {
        let mut attributes = Attributes::default();
        attributes.set("push", push);
        attributes.image(shorthands.tags)
    };
    if shorthands.push {
        let mut used = false;
        for output in &mut outputs {
            if let Output::Image(image) = output {
                image.push = true;
                used = true;
            }
        }
        if !used {
            outputs.push(image("true")?);
        }
    }
    let stored = |output: &Output| matches!(output, Output::Image(image) if image.store);
    if outputs.is_empty() || (shorthands.load && !outputs.iter().any(stored)) {
        outputs.push(image("false")?);
    }
    annotate(&mut outputs, shorthands.annotations)?;
    check(&outputs)?;
    Ok(outputs)
}

fn output(text: &str, tags: &[Reference]) -> Result<Output, Failure> {
    let fields = split_csv(text);
    if let [only] = &fields[..]
        && only == text
        && !text.starts_with("type=")
    {
        let mut attributes = Attributes::default();
        attributes.set("dest", text);
        return attributes.files(text == "-");
    }
    let mut kind = None;
    let mut attributes = Attributes::default();
    for field in &fields {
        let Some((key, value)) = field.split_once('=') else {
            return Err(Failure::invalid(format!("invalid value {field}")));
        };
        let key = key.trim().to_lowercase();
        if key == "type" {
            kind = Some(value.to_owned());
        } else {
            attributes.set(&key, value);
        }
    }
    match kind.as_deref() {
        None | Some("") => Err(Failure::invalid("type is required for output")),
        Some("image") => attributes.image(tags),
        Some("registry") => {
            attributes.set("push", "true");
            attributes.image(tags)
        }
        Some("docker") if !attributes.has("dest") => attributes.loaded(tags),
        Some("docker") => attributes.layout(ArchiveKind::Docker, tags),
        Some("oci") => attributes.layout(ArchiveKind::Oci, tags),
        Some("local") => attributes.files(false),
        Some("tar") => attributes.files(true),
        Some("cacheonly") => attributes.nothing(),
        Some(other) => Err(Failure::invalid(format!(
            "output type {other:?} is not known: cacheonly, docker, image, local, oci, registry and tar are"
        ))),
    }
}

/// Writes the annotations of `--annotation` on all that has manifests.
fn annotate(outputs: &mut [Output], texts: &[String]) -> Result<(), Failure> {
    let mut all = Vec::new();
    for text in texts {
        all.extend(annotations::of_flag(text)?);
    }
    for output in outputs {
        let form = match output {
            Output::Image(image) => &mut image.form,
            Output::Layout(layout) => &mut layout.form,
            Output::Files(_) | Output::Nothing => continue,
        };
        form.annotations.extend(all.iter().cloned());
    }
    Ok(())
}

/// What cannot be done together.
fn check(outputs: &[Output]) -> Result<(), Failure> {
    let mut to_stdout = 0;
    for output in outputs {
        let place = match output {
            Output::Image(image) => {
                if !image.push && !image.form.annotations.is_empty() {
                    return Err(Failure::unsupported(NO_MANIFEST));
                }
                if image.push && image.names.is_empty() {
                    return Err(Failure::invalid("tag is needed when pushing to registry"));
                }
                continue;
            }
            Output::Layout(layout) => &layout.place,
            Output::Files(files) => &files.place,
            Output::Nothing => continue,
        };
        to_stdout += usize::from(*place == Place::Stdout);
    }
    match to_stdout {
        0 => Ok(()),
        1 if sink::stdout_is_terminal() => Err(Failure::invalid(
            "an archive is not written to a terminal: give dest=FILE or redirect",
        )),
        1 => Ok(()),
        _ => Err(Failure::invalid(
            "several outputs go to standard output: give all but one a dest=FILE",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_engine::images::{AnnotationPlace, LayerCompression};

    fn one(text: &str) -> Output {
        let mut all = parse(&[text.to_owned()], Shorthands::default()).unwrap();
        assert_eq!(all.len(), 1, "{text}");
        all.swap_remove(0)
    }

    #[test]
    fn the_short_forms() {
        let Output::Files(files) = one("out") else {
            panic!()
        };
        assert_eq!((files.tar, files.place), (false, Place::Path("out".into())));
        let Output::Image(image) = one("type=docker") else {
            panic!()
        };
        assert!(image.store && !image.push);
        let tags = ["r.example/a:1".parse().unwrap()];
        let shorthands = Shorthands {
            push: true,
            tags: &tags,
            ..Shorthands::default()
        };
        let all = parse(&["type=local,dest=x".to_owned()], shorthands).unwrap();
        let [Output::Files(_), Output::Image(image)] = &all[..] else {
            panic!("{all:?}")
        };
        assert!(image.push && image.names == tags);
        assert!(matches!(one("type=cacheonly"), Output::Nothing));
    }

    #[test]
    fn attributes_are_heeded() {
        let text = "type=oci,dest=x.tar,\"name=a,b:2\",compression=zstd,compression-level=19,\
            force-compression=true,rewrite-timestamp=1,annotation.k=v,annotation-index.i=w";
        let Output::Layout(layout) = one(text) else {
            panic!()
        };
        assert_eq!(layout.names.len(), 2);
        assert_eq!(layout.form.compression, LayerCompression::Zstd);
        assert_eq!(layout.form.level, Some(19));
        assert!(layout.form.force && layout.form.oci && layout.rewrite_timestamp && layout.tar);
        let places: Vec<_> = layout.form.annotations.iter().map(|a| a.place).collect();
        assert_eq!(places, [AnnotationPlace::Index, AnnotationPlace::Manifest]);
        let Output::Layout(docker) = one("type=docker,dest=x") else {
            panic!()
        };
        assert!(!docker.form.oci);
        let text = "type=local,dest=x,mode=delete,platform-split=false,attestation-prefix=a-";
        let Output::Files(files) = one(text) else {
            panic!()
        };
        assert_eq!(files.attestation_prefix, "a-");
        assert_eq!((files.mode, files.split), (FolderMode::Delete, Some(false)));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (text, want) in [
            ("dest=x,tar=false", "type is required"),
            ("type=oci", "dest is required"),
            ("type=tape,dest=x", "tape"),
            ("type=oci,dest=x,colour=red", "colour"),
            ("type=oci,dest=x,compression=lzma", "lzma"),
            (
                "type=oci,dest=x,compression=gzip,compression-level=12",
                "0 to 9",
            ),
            (
                "type=oci,dest=x,compression=zstd,oci-mediatypes=false",
                "zstd",
            ),
            ("type=oci,dest=x,tar=perhaps", "perhaps"),
            ("type=local,dest=x,mode=move", "move"),
            ("type=local,dest=-", "folder"),
            ("type=tar,dest=x,attestation-prefix=a/", "without a slash"),
            ("type=registry", "tag is needed"),
            (
                "type=registry,name=a,registry.insecure=true",
                "registry.insecure",
            ),
            ("type=image,name=A", "A"),
            ("type=image,annotation.a=b", "--push"),
            ("type=image,push", "invalid value push"),
        ] {
            let error = parse(&[text.to_owned()], Shorthands::default()).unwrap_err();
            let said = format!("{error:?}");
            assert!(said.contains(want), "{text}: {said}");
        }
    }
}
