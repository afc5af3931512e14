//! Provenance: how an image came to be, as a predicate of SLSA v1
//! (<https://slsa.dev/spec/v1.0/provenance>), in the terms that BuildKit has for builds.

mod recipe;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_dockerfile::mask::masked;
use gantry_model::digest::hex_encode;
use gantry_model::layout::LayoutReference;
use gantry_model::{Platform, Reference};
use serde_json::{Map, Value, json};

use crate::borrowed::CachedStep;
use crate::graph::{Graph, NodeId, Operation};
use crate::outcome::{BuiltImage, BuiltTarget, Material};
use crate::remote::Remote;
use crate::remote::address::{Address, shown};
use crate::request::{BuildRequest, ContextSource, DockerfileSource, NamedContext, RunNetwork};
pub use recipe::Recipe;

/// What kind of predicate it is.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// What the external parameters mean.
const BUILD_TYPE: &str =
    "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";

/// The argument that fixes times.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// How much is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProvenanceOptions {
    /// Whether the Dockerfile, the values of arguments and the steps are part of it.
    pub max: bool,
    /// Who built.
    pub builder: String,
    /// Whether the build is claimed to be reproducible.
    pub reproducible: bool,
    /// When the build began and ended, RFC 3339; left out where the result is to be the same each
    /// time.
    pub times: Option<(String, String)>,
}

/// What the target of a graph was made of, in the order of their names.
pub(crate) fn materials(graph: &Graph, target: NodeId, remote: &Remote) -> Vec<Material> {
    let needed = graph.needed(&[target]);
    let mut all: Vec<Material> = needed
        .iter()
        .filter_map(|id| match &graph.node(*id).operation {
            Operation::Image(image) => Some(of_image(&image.reference)),
            Operation::Http(http) => Some(Material {
                uri: shown(&http.url),
                digest: http.checksum.map(|sum| ("sha256".to_owned(), sum.hex())),
            }),
            Operation::Git(git) => Some(Material {
                uri: match &git.reference {
                    Some(reference) => format!("{}#{reference}", shown(&git.remote)),
                    None => shown(&git.remote),
                },
                digest: remote
                    .commit_of(&git.remote, git.reference.as_deref())
                    .or_else(|| git.commit.clone())
                    .map(|commit| ("sha1".to_owned(), commit)),
            }),
            _ => None,
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// A context that is not on this machine, with the commit that it turned out to be.
pub(crate) fn of_context(context: Option<&ContextSource>, remote: &Remote) -> Option<Material> {
    let Some(ContextSource::Remote(text)) = context else {
        return None;
    };
    let commit = match Address::of_context(text) {
        Ok(Some(Address::Git(git))) => remote.commit_of(&git.remote, git.reference.as_deref()),
        _ => None,
    };
    Some(Material {
        uri: shown(text),
        digest: commit.map(|commit| ("sha1".to_owned(), commit)),
    })
}

/// An image as a purl (purl-spec, types `docker` and `oci`).
fn of_image(name: &str) -> Material {
    let (plain, digest) = match name.split_once("@sha256:") {
        Some((plain, hex)) => (plain, Some(("sha256".to_owned(), hex.to_owned()))),
        None => (name, None),
    };
    let uri = match plain.parse::<Reference>() {
        // Where the folder lies is nobody's business.
        _ if plain.parse::<LayoutReference>().is_ok() => {
            let folder = plain.rsplit('/').next().unwrap_or_default();
            format!("pkg:oci/{}", folder.split(':').next().unwrap_or(folder))
        }
        Ok(reference) => {
            let tag = reference.tag().map(|tag| format!("@{tag}"));
            let name = reference.familiar_name();
            format!("pkg:docker/{name}{}", tag.unwrap_or_default())
        }
        Err(_) => plain.to_owned(),
    };
    Material { uri, digest }
}

/// The predicate about one image.
#[must_use]
pub fn predicate(
    request: &BuildRequest,
    target: &BuiltTarget,
    image: &BuiltImage,
    steps: &[CachedStep],
    options: &ProvenanceOptions,
) -> Value {
    let mut internal = Map::new();
    internal.insert(
        "builderPlatform".into(),
        json!(Platform::host().to_string()),
    );
    let mut metadata = json!({
        "buildkit_completeness": {"request": options.max, "resolvedDependencies": false},
        "buildkit_reproducible": options.reproducible,
        "buildkit_hermetic": false,
    });
    if let Some((began, ended)) = &options.times {
        metadata["startedOn"] = json!(began);
        metadata["finishedOn"] = json!(ended);
    }
    if options.max {
        internal.insert("buildConfig".into(), json!({"steps": told(steps, image)}));
        metadata["buildkit_metadata"] = json!({"source": {"infos": [{
            "filename": target.dockerfile_name,
            "language": "Dockerfile",
            "data": STANDARD.encode(masked(&target.dockerfile).as_bytes()),
        }]}});
    }
    let mut source = target
        .context
        .as_ref()
        .map_or_else(|| json!({}), of_material);
    source["path"] = json!(path(request).unwrap_or_else(|| target.dockerfile_name.clone()));
    let materials = target.context.iter().chain(&image.materials);
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "configSource": source,
                "request": asked(request, image, options.max),
            },
            "internalParameters": internal,
            "resolvedDependencies": materials.map(of_material).collect::<Vec<_>>(),
        },
        "runDetails": {
            "builder": {"id": options.builder},
            "metadata": metadata,
        },
    })
}

fn of_material(material: &Material) -> Value {
    let mut told = json!({"uri": material.uri});
    if let Some((algorithm, digest)) = &material.digest {
        told["digest"] = json!({algorithm: digest});
    }
    told
}

/// Where the Dockerfile is in the context, as far as it is there.
fn path(request: &BuildRequest) -> Option<String> {
    let Some(DockerfileSource::File(file)) = &request.dockerfile else {
        return None;
    };
    let inside = match &request.context {
        Some(ContextSource::Folder(folder)) => {
            let plain = |path: &Path| std::path::absolute(path).ok();
            let (file, folder) = (plain(file)?, plain(folder)?);
            file.strip_prefix(folder).ok()?.to_owned()
        }
        Some(_) => file.clone(),
        None => return None,
    };
    Some(inside.to_string_lossy().into_owned())
}

/// What was asked for. Values that may be confidential are part of the long form alone; secrets
/// are named there and never shown.
fn asked(request: &BuildRequest, image: &BuiltImage, max: bool) -> Value {
    let mut arguments = Map::new();
    let platform = image.platform.to_string();
    arguments.insert("platform".into(), json!(platform));
    if let Some(target) = &request.target {
        arguments.insert("target".into(), json!(target));
    }
    if request.no_cache {
        arguments.insert("no-cache".into(), json!(""));
    }
    let mut asked = json!({"frontend": "dockerfile.v0"});
    if let Some(epoch) = request.build_args.get(EPOCH) {
        arguments.insert(format!("build-arg:{EPOCH}"), json!(epoch));
    }
    let network = match request.network {
        RunNetwork::Default => None,
        RunNetwork::None => Some("none"),
        RunNetwork::Host => Some("host"),
    };
    if let Some(network) = network {
        arguments.insert("force-network-mode".into(), json!(network));
    }
    if max {
        let hosts = request.extra_hosts.iter();
        let hosts: Vec<String> = hosts.map(|(name, at)| format!("{name}={at}")).collect();
        if !hosts.is_empty() {
            arguments.insert("add-hosts".into(), json!(hosts.join(",")));
        }
        for (name, context) in &request.named_contexts {
            let told = match context {
                NamedContext::Image(reference) => format!("docker-image://{reference}"),
                NamedContext::Files(ContextSource::Remote(text)) => shown(text),
                NamedContext::Files(_) => format!("local:{name}"),
                NamedContext::Layout(_) => format!("oci-layout:{name}"),
                NamedContext::Target(_) => format!("target:{name}"),
            };
            arguments.insert(format!("context:{name}"), json!(told));
        }
        for (name, value) in &request.build_args {
            arguments.insert(format!("build-arg:{name}"), json!(value));
        }
        for (name, value) in &request.labels {
            arguments.insert(format!("label:{name}"), json!(value));
        }
        let ids =
            |ids: Vec<&String>| -> Vec<Value> { ids.iter().map(|id| json!({"id": id})).collect() };
        asked["secrets"] = json!(ids(request.secrets.keys().collect()));
        asked["ssh"] = json!(ids(request.ssh.keys().collect()));
    }
    let local = request.context.is_some();
    asked["locals"] = match local {
        true => json!([{"name": "context"}, {"name": "dockerfile"}]),
        false => json!([{"name": "dockerfile"}]),
    };
    asked["args"] = Value::Object(arguments);
    asked
}

/// The steps whose layers the image has.
fn told(steps: &[CachedStep], image: &BuiltImage) -> Vec<Value> {
    steps
        .iter()
        .filter(|step| image.layers().starts_with(&step.layers))
        .map(|step| {
            json!({
                "name": step.name,
                "key": hex_encode(&step.key),
                "layer": step.layers.last(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_purls() {
        for (name, uri, digest) in [
            (
                "docker.io/library/busybox:1@sha256:ab",
                "pkg:docker/busybox@1",
                Some("ab"),
            ),
            (
                "r.example:5000/a/b:2",
                "pkg:docker/r.example:5000/a/b@2",
                None,
            ),
            (
                "oci-layout:///a/dist:v1@sha256:ab",
                "pkg:oci/dist",
                Some("ab"),
            ),
        ] {
            let material = of_image(name);
            assert_eq!(material.uri, uri);
            assert_eq!(material.digest.map(|(_, hex)| hex).as_deref(), digest);
        }
    }
}
