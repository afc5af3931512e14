//! Operations by BuildKit's names: the digest of `<digest of a text>@<number of the output>`, where
//! the text says what the operation does.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_dockerfile::owner::{self, Identity};
use gantry_model::Digest;
use sha2::{Digest as _, Sha256};

use super::text::{
    CacheOptions, CopyAction, Exec, ExecText, FileText, ImageText, MakeDirectoryAction, Meta,
    MountText, Ownership, SecretOptions, SecretVariable, TmpfsOptions, Who, json,
};
use crate::graph::{
    CacheMount, CacheSharing, FileOperation, FileSource, ImageSource, MakeDirectory, Mount,
    Network, RunOperation,
};
use crate::tree::clean;

/// A step by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vertex {
    /// What it does.
    pub(crate) digest: Digest,
    pub(crate) inputs: Vec<Input>,
}

/// An input of a [`Vertex`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) origin: Origin,
    /// The part that is looked at, where the input is known by who made it.
    pub(crate) selector: Option<Digest>,
    /// What it is known by as well.
    pub(crate) contents: Contents,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An input of the node, by its number.
    Node(usize),
    /// A context, which is known by its files alone.
    Context,
    /// A step that is a part of this one.
    Vertex(Box<Vertex>),
}

/// Files that an input is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Contents {
    /// None.
    No,
    /// What the sources of a copy mean.
    Copied,
    /// What is mounted: inputs of the node, with their paths there.
    Mounted(Vec<(usize, String)>),
}

/// What an input of a `RUN` shows through its mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Files of a context, by the number of its node.
    Context(usize),
    /// A root file system, by the number of its node.
    RootFs(usize),
}

/// A fact of BuildKit's protocol: what an index is where there is none.
const NOTHING: i32 = -1;

/// An image by the manifest or index that stands under its name, and by its layers, whatever it is
/// called. A step on top may be known by either.
pub(crate) fn of_image(image: &ImageSource) -> Vec<Vertex> {
    let chain = image.layers.split_first().map(|(first, others)| {
        others.iter().fold(*first, |chain, layer| {
            digest(format!("{chain} {layer}").as_bytes())
        })
    });
    let text = image.manifest().and_then(|manifest| {
        json(&ImageText {
            digest: manifest.to_string(),
            os: &image.platform.os,
            arch: &image.platform.architecture,
            variant: image.platform.variant.as_deref().unwrap_or_default(),
        })
    });
    let keys = text.map(|text| digest(&text)).into_iter().chain(chain);
    keys.map(|key| Vertex {
        digest: output(&digest(format!("buildkit.source.v0:{key}").as_bytes()), 0),
        inputs: Vec::new(),
    })
    .collect()
}

/// The name of content.
pub(crate) fn of_content(content: &Digest) -> Digest {
    output(content, NOTHING)
}

/// A `WORKDIR`.
pub(crate) fn of_directory(operation: &MakeDirectory, on_scratch: bool) -> Option<Vertex> {
    let owner = match operation.user.as_str() {
        "" => None,
        // There is nobody whom a name could mean.
        user => Some(ownership(user, on_scratch)?),
    };
    let action = MakeDirectoryAction {
        path: clean(&operation.path),
        mode: 0o755,
        make_parents: true,
        owner,
        timestamp: -1,
    };
    let below = if on_scratch { NOTHING } else { 0 };
    Some(Vertex {
        digest: file_digest(&[json(&action)?], &[[below, NOTHING, 0]])?,
        inputs: if on_scratch {
            Vec::new()
        } else {
            vec![Input::below()]
        },
    })
}

/// A `COPY`, or an `ADD` of files of the context. Node input 1 is what is copied from.
pub(crate) fn of_file(
    operation: &FileOperation,
    on_scratch: bool,
    from_context: bool,
) -> Option<Vertex> {
    if operation.parents || operation.sources.is_empty() {
        return None;
    }
    // With a mode BuildKit makes an ordinary copy of a linked one.
    let is_linked = operation.link && operation.mode.is_none();
    let alone = on_scratch || is_linked;
    let owner = match operation.owner.as_deref() {
        None => None,
        Some(text) => Some(ownership(text, alone)?),
    };
    let mode = operation.mode.as_deref();
    let absolute = mode.map(|mode| i64::from_str_radix(mode, 8).ok());
    let mut actions = Vec::new();
    let mut paths = Vec::new();
    let mut names = BTreeSet::new();
    for source in &operation.sources {
        let FileSource::Path(source) = source else {
            return None;
        };
        let path = clean(source);
        let name = path.rsplit('/').next().filter(|name| !name.is_empty());
        // BuildKit tells those of one name apart by nothing, whichever is laid over the other.
        if !names.insert(name.map(str::to_owned)) {
            return None;
        }
        let action = CopyAction {
            src: name.unwrap_or("/").to_owned(),
            dest: operation.destination.clone(),
            owner: owner.clone(),
            mode: absolute.map_or(-1, Option::unwrap_or_default),
            follow_symlink: true,
            dir_copy_contents: true,
            attempt_unpack: operation.unpack,
            create_dest_path: true,
            allow_wildcard: true,
            allow_empty_wildcard: true,
            timestamp: -1,
            exclude_patterns: operation.exclude.clone(),
            mode_str: mode.filter(|_| absolute == Some(None)).map(str::to_owned),
        };
        actions.push(json(&action)?);
        paths.push(path);
    }
    let inputs = if alone { 1 } else { 2 };
    let count = i32::try_from(actions.len()).ok()?;
    let indexes: Vec<[i32; 3]> = (0..count)
        .map(|number| {
            let below = match number {
                0 if alone => NOTHING,
                0 => 0,
                number => inputs + number - 1,
            };
            let made = if number + 1 == count { 0 } else { NOTHING };
            [below, inputs - 1, made]
        })
        .collect();
    // In BuildKit's order, which is not that of the alphabet.
    paths.sort_by(|a, b| b.cmp(a));
    let copied = Input {
        origin: if from_context {
            Origin::Context
        } else {
            Origin::Node(1)
        },
        selector: Some(selector(&paths)),
        contents: Contents::Copied,
    };
    let below = (!alone).then(Input::below);
    let copy = Vertex {
        digest: file_digest(&actions, &indexes)?,
        inputs: below.into_iter().chain([copied]).collect(),
    };
    if !is_linked || on_scratch {
        return Some(copy);
    }
    let merge = br#"{"Type":"buildkit.merge.v0","Merge":{"inputs":[{},{"input":1}]}}"#;
    let linked = Input {
        origin: Origin::Vertex(Box::new(copy)),
        ..Input::below()
    };
    Some(Vertex {
        digest: output(&digest(merge), 0),
        inputs: vec![Input::below(), linked],
    })
}

/// A `RUN`; `bound` says what its bind mounts show of the inputs of the node.
pub(crate) fn of_run(
    operation: &RunOperation,
    on_scratch: bool,
    bound: &dyn Fn(usize) -> Option<Bound>,
) -> Option<Vertex> {
    let is_plain = operation.confinement.is_empty()
        && !operation.insecure
        && operation.shm_size.is_none()
        && operation.ulimits.is_empty()
        && operation.devices.is_empty()
        && operation.script.is_none()
        && operation.extra_hosts.is_empty();
    if !is_plain || on_scratch {
        return None;
    }
    let mut inputs = vec![Shown::below()];
    let (mounts, secrets) = mounts(operation, &mut inputs, bound)?;
    let value = |name: &String| {
        let found = operation
            .environment
            .iter()
            .find(|(known, _)| known == name);
        found.map(|(name, value)| format!("{name}={value}"))
    };
    let platform = &operation.platform;
    let text = json(&ExecText {
        kind: "buildkit.exec.v0",
        exec: Exec {
            meta: Meta {
                args: &operation.arguments,
                env: operation.by_age.iter().filter_map(value).collect(),
                cwd: &operation.directory,
                user: &operation.user,
                remove_mount_stubs_recursive: true,
            },
            mounts,
            network: match operation.network {
                Network::Bridge => 0,
                Network::Host => 1,
                Network::None => 2,
            },
            secretenv: secrets,
        },
        os: &platform.os,
        arch: &platform.architecture,
        variant: platform.variant.as_deref().unwrap_or_default(),
    })?;
    Some(Vertex {
        digest: output(&digest(&text), 0),
        inputs: inputs.into_iter().map(Shown::into_input).collect(),
    })
}

/// An input of a `RUN` while its mounts are gone through.
struct Shown {
    what: What,
    /// Inputs of the node, with the paths that are mounted.
    parts: Vec<(usize, String)>,
}

#[derive(PartialEq)]
enum What {
    Below,
    Bound(Bound),
    /// The folder that a cache begins with.
    Folder(Vertex),
}

impl Shown {
    fn below() -> Self {
        Self {
            what: What::Below,
            parts: vec![(0, "/".to_owned())],
        }
    }

    /// The number of an input, which is added where it is none yet; `part` of it is mounted.
    fn number(all: &mut Vec<Self>, what: What, part: (usize, String)) -> Option<i32> {
        let known = all.iter().position(|shown| shown.what == what);
        let number = known.unwrap_or_else(|| {
            let parts = Vec::new();
            all.push(Self { what, parts });
            all.len() - 1
        });
        all[number].parts.push(part);
        i32::try_from(number).ok()
    }

    /// Whether it is clear what is shown where: BuildKit digests what is mounted of an input in the
    /// order of the paths there, wherever each is mounted. So of several each must keep its name.
    fn is_clear(&self, operation: &RunOperation) -> bool {
        let name = |path: &str| path.rsplit('/').next().map(str::to_owned);
        let mut names = BTreeSet::new();
        let mut keeps_name = |mount: &Mount| match mount {
            Mount::Bind(bind) if self.parts.contains(&(bind.input, bind.source.clone())) => {
                name(&bind.source) == name(&bind.target) && names.insert(name(&bind.source))
            }
            _ => true,
        };
        self.what == What::Below
            || self.parts.len() == 1
            || operation.mounts.iter().all(&mut keeps_name)
    }

    fn into_input(self) -> Input {
        let paths: Vec<String> = self.parts.iter().map(|(_, path)| path.clone()).collect();
        let contents = match self.what {
            What::Bound(_) => Contents::Mounted(self.parts.clone()),
            What::Below | What::Folder(_) => Contents::No,
        };
        Input {
            selector: Some(selector(&paths)),
            origin: match self.what {
                What::Below => Origin::Node(0),
                What::Bound(Bound::Context(_)) => Origin::Context,
                What::Bound(Bound::RootFs(_)) => Origin::Node(self.parts[0].0),
                What::Folder(vertex) => Origin::Vertex(Box::new(vertex)),
            },
            contents,
        }
    }
}

/// The mounts of a `RUN` in BuildKit's order, and the secrets that are variables.
fn mounts<'o>(
    operation: &'o RunOperation,
    inputs: &mut Vec<Shown>,
    bound: &dyn Fn(usize) -> Option<Bound>,
) -> Option<(Vec<MountText<'o>>, Vec<SecretVariable<'o>>)> {
    let mut ordered: Vec<(&str, &Mount)> = Vec::new();
    let (mut files, mut variables) = (Vec::new(), Vec::new());
    for mount in &operation.mounts {
        match mount {
            Mount::Tmpfs { target, .. } => ordered.push((target, mount)),
            Mount::Cache(cache) => ordered.push((&cache.target, mount)),
            Mount::Bind(bind) => ordered.push((&bind.target, mount)),
            Mount::Secret(secret) => {
                let optional = !secret.required;
                if let Some(name) = &secret.env {
                    variables.push(SecretVariable {
                        id: &secret.id,
                        name,
                        optional,
                    });
                }
                if let Some(target) = &secret.target {
                    files.push(MountText {
                        input: NOTHING,
                        dest: target,
                        mount_type: 1,
                        secret: Some(SecretOptions {
                            id: &secret.id,
                            uid: secret.uid,
                            gid: secret.gid,
                            mode: secret.mode,
                            optional,
                        }),
                        ..MountText::default()
                    });
                }
            }
            // BuildKit's variable for the socket has a place of its own in the environment.
            Mount::Ssh(_) => return None,
        }
    }
    let targets: BTreeSet<&str> = ordered.iter().map(|(target, _)| *target).collect();
    if targets.len() < ordered.len() {
        return None;
    }
    ordered.sort_by_key(|(target, _)| *target);
    let mut texts = vec![MountText {
        dest: "/",
        ..MountText::default()
    }];
    for (target, mount) in ordered {
        texts.push(mount_text(target, mount, inputs, bound)?);
    }
    if !inputs.iter().all(|shown| shown.is_clear(operation)) {
        return None;
    }
    texts.extend(files);
    if texts.len() == 1 {
        texts.clear();
    }
    Some((texts, variables))
}

fn mount_text<'o>(
    target: &'o str,
    mount: &'o Mount,
    inputs: &mut Vec<Shown>,
    bound: &dyn Fn(usize) -> Option<Bound>,
) -> Option<MountText<'o>> {
    let text = MountText {
        input: NOTHING,
        dest: target,
        output: NOTHING,
        ..MountText::default()
    };
    Some(match mount {
        Mount::Tmpfs {
            size, read_only, ..
        } => MountText {
            readonly: *read_only,
            mount_type: 4,
            tmpfs: Some(TmpfsOptions {
                size: size.unwrap_or_default(),
            }),
            ..text
        },
        Mount::Cache(cache) => {
            if cache.start.is_some() {
                return None;
            }
            // With an owner or a mode the folder that it begins with is a step of its own.
            let is_plain = (cache.mode, cache.uid, cache.gid) == (0o755, 0, 0);
            let input = if is_plain {
                NOTHING
            } else {
                let part = (0, "/cache".to_owned());
                Shown::number(inputs, What::Folder(folder(cache)?), part)?
            };
            let is_usual = cache.id == target && cache.sharing == CacheSharing::Shared;
            MountText {
                input,
                readonly: cache.read_only,
                mount_type: 3,
                cache: Some(CacheOptions {
                    id: if is_usual {
                        format!("/{target}")
                    } else {
                        String::new()
                    },
                }),
                ..text
            }
        }
        Mount::Bind(bind) => {
            let what = What::Bound(bound(bind.input)?);
            let part = (bind.input, bind.source.clone());
            MountText {
                input: Shown::number(inputs, what, part)?,
                readonly: !bind.read_write,
                ..text
            }
        }
        Mount::Secret(_) | Mount::Ssh(_) => return None,
    })
}

/// The folder that a cache with an owner or a mode begins with.
fn folder(cache: &CacheMount) -> Option<Vertex> {
    let action = MakeDirectoryAction {
        path: "/cache".to_owned(),
        mode: cache.mode,
        make_parents: false,
        owner: Some(Ownership {
            user: Who::id(cache.uid),
            group: Some(Who::id(cache.gid)),
        }),
        timestamp: -1,
    };
    Some(Vertex {
        digest: file_digest(&[json(&action)?], &[[NOTHING, NOTHING, 0]])?,
        inputs: Vec::new(),
    })
}

impl Input {
    /// The root file system that a step stands on.
    fn below() -> Self {
        Self {
            origin: Origin::Node(0),
            selector: None,
            contents: Contents::No,
        }
    }
}

/// The digest of paths.
fn selector(paths: &[String]) -> Digest {
    digest(paths.join("\0").as_bytes())
}

pub(super) fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn output(of: &Digest, number: i32) -> Digest {
    digest(format!("{of}@{number}").as_bytes())
}

/// An operation on files. Where its actions stand on each other as usual their places are left out.
fn file_digest(actions: &[Vec<u8>], indexes: &[[i32; 3]]) -> Option<Digest> {
    let is_usual = indexes[0][0] == 0;
    let text = json(&FileText {
        kind: "buildkit.file.v0",
        actions: actions
            .iter()
            .map(|action| STANDARD.encode(action))
            .collect(),
        indexes: if is_usual { &[] } else { indexes },
    })?;
    Some(output(&digest(&text), 0))
}

/// Who `--chown` and `USER` mean; `None` for names where no root file system knows any, and for
/// what BuildKit reads otherwise.
fn ownership(text: &str, alone: bool) -> Option<Ownership> {
    let identity = |identity: Identity| match identity {
        Identity::Id(number) => Some(Who::id(number)),
        Identity::Name(name) => (!alone).then(|| Who::name(name)),
    };
    let owner = owner::parse(text).ok()?;
    let has_group = owner.group.is_some();
    if text.contains(':') != has_group {
        return None;
    }
    Some(Ownership {
        user: identity(owner.user?)?,
        group: match owner.group {
            None => None,
            Some(group) => Some(identity(group)?),
        },
    })
}

#[cfg(test)]
mod tests {
    use gantry_model::Platform;

    use super::*;

    /// As BuildKit 0.25 recorded it.
    fn is(vertex: &Vertex, recorded: &str) {
        assert_eq!(vertex.digest.to_string(), format!("sha256:{recorded}"));
    }

    #[test]
    fn an_image_is_known_by_its_manifest_and_by_its_layers() {
        let layers = [
            "4487e977ac8de484a84ca5924fbe1d7563b72b24be0a196edd1474ff1d7c6ea0",
            "acde68403ed52a7c261d615496c1b48daf3d97562885fd888113db2dfda6720c",
            "4b0c0c735ec04c3768e3d11f46167149cbea55312e3b945709fa67592748158c",
            "8a3b5c1563a8a0e3b19b0fd42537dd384fdd0beaf4c9dc5aee7771eda76786d7",
        ];
        let manifest = "394e0ed7b274b98315607b215396686a01113c298a1fc8c626f62b5254a4144f";
        let image = |reference: String| ImageSource {
            reference,
            layers: layers.map(|hex| Digest::from_hex(hex).unwrap()).into(),
            platform: Platform::normalized("linux", "amd64", None),
        };
        let chain = "43966d4ceb2a6ae836686312e6d66d568e1b501767601f884a5a7d7012122813";
        let names = of_image(&image(format!(
            "docker.io/library/base:1@sha256:{manifest}"
        )));
        is(
            &names[0],
            "5e454ee213098ab500761f7e77670715a823bb9eb3d3feb0c5ca71c0d5e2df4d",
        );
        is(&names[1], chain);
        let names = of_image(&image("docker.io/library/base:1".to_owned()));
        assert_eq!(names.len(), 1);
        is(&names[0], chain);
    }

    #[test]
    fn folders_and_copies() {
        let directory = |path: &str, user: &str| MakeDirectory {
            path: path.to_owned(),
            user: user.to_owned(),
        };
        is(
            &of_directory(&directory("/src", ""), false).unwrap(),
            "57a5ab45ee83a930675514d2528c657cf1d5e669475f33931afc0e7c848c0e34",
        );
        is(
            &of_directory(&directory("/user", "app"), false).unwrap(),
            "0799c71b7f3a1521ad3623171e3ffbb2df80f6258f5d11da542dde4d45b6d6f3",
        );
        is(
            &of_directory(&directory("/src", ""), true).unwrap(),
            "53558b9969877939dfe727638926221b431612a2d6fa19fae5b0aca9fe0b50e5",
        );
        assert_eq!(of_directory(&directory("/user", "app"), true), None);
        let copy = |source: &str, to: &str| FileOperation {
            sources: vec![FileSource::Path(source.to_owned())],
            destination: to.to_owned(),
            owner: None,
            mode: None,
            unpack: false,
            exclude: Vec::new(),
            parents: false,
            link: false,
        };
        let owned = FileOperation {
            owner: Some("app:0".to_owned()),
            mode: Some("640".to_owned()),
            ..copy("a", "/o")
        };
        is(
            &of_file(&owned, false, true).unwrap(),
            "053297f0a8dff16bbb557c6d4ba7c1cebd8f54f2ed78487a088d010076fd0930",
        );
        let linked = FileOperation {
            link: true,
            ..copy("/one", "/link/")
        };
        let merged = of_file(&linked, false, true).unwrap();
        is(
            &merged,
            "5dbfbafede47210a7bd7363461bc885ec7310febe761daffdf666bfdae5970ff",
        );
        assert!(matches!(&merged.inputs[1].origin, Origin::Vertex(_)));
        is(
            &of_file(&copy("e", "/y"), true, true).unwrap(),
            "fedaae69d34ceb284fc91b8e2bc63886a1febacba109263827d55853d8525e89",
        );
        // What BuildKit does in another way has no name.
        let parents = FileOperation {
            parents: true,
            ..copy("a", "/b")
        };
        assert_eq!(of_file(&parents, false, true), None);
        let of_group = FileOperation {
            owner: Some(":1".to_owned()),
            ..copy("a", "/b")
        };
        assert_eq!(of_file(&of_group, false, true), None);
    }
}
