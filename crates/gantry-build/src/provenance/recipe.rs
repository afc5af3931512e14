//! Provenance read back: what an image was built from, by its own account.
//!
//! Both versions that builders write are understood: SLSA v1 (`buildDefinition`) and v0.2
//! (`invocation`), in BuildKit's terms.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_model::{Digest, Platform, Reference};
use serde_json::Value;

use super::{EPOCH, of_image};
use crate::outcome::Material;

/// What an image says of its build. What its provenance leaves out is empty here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipe {
    /// The Dockerfile's place in the context.
    pub path: Option<String>,
    /// The Dockerfile.
    pub dockerfile: Option<Vec<u8>>,
    /// The context, where it was not on the machine of the build.
    pub context: Option<Material>,
    /// The arguments of the front end by name: `target`, `build-arg:A`, `label:B`.
    pub arguments: BTreeMap<String, String>,
    /// What went in.
    pub materials: Vec<Material>,
    /// The secrets that were lent, by id.
    pub secrets: Vec<String>,
    /// Whether all that was asked for is told (`mode=max`).
    pub complete: bool,
    /// Whether no times of the build are told, which are left out where times are fixed.
    pub timeless: bool,
}

/// Most bytes of a Dockerfile in a document.
const LARGEST: usize = 16 << 20;

impl Recipe {
    /// Reads the predicate of a statement; `None` where it tells of no build of a Dockerfile.
    #[must_use]
    pub fn read(predicate: &Value) -> Option<Self> {
        let definition = &predicate["buildDefinition"];
        let (source, request, materials, metadata) = if definition.is_object() {
            let parameters = &definition["externalParameters"];
            (
                &parameters["configSource"],
                &parameters["request"],
                &definition["resolvedDependencies"],
                &predicate["runDetails"]["metadata"],
            )
        } else {
            let invocation = &predicate["invocation"];
            (
                &invocation["configSource"],
                &invocation["parameters"],
                &predicate["materials"],
                &predicate["metadata"],
            )
        };
        let front_end = request["frontend"].as_str()?;
        if !front_end.starts_with("dockerfile") && !front_end.starts_with("gateway") {
            return None;
        }
        let arguments = request["args"].as_object();
        let arguments = arguments.into_iter().flatten();
        let old = &metadata["https://mobyproject.org/buildkit@v1#metadata"];
        let beside = [&metadata["buildkit_metadata"], old];
        let completeness = [
            &metadata["buildkit_completeness"],
            &metadata["completeness"],
        ];
        let told = ["request", "parameters"];
        let path = ["path", "entryPoint"];
        let times = ["startedOn", "buildStartedOn"];
        Some(Self {
            path: path.iter().find_map(|name| text(&source[name])),
            dockerfile: beside.iter().find_map(|metadata| dockerfile(metadata)),
            context: material(source),
            arguments: arguments
                .filter_map(|(name, value)| Some((name.clone(), text(value)?)))
                .collect(),
            materials: list(materials).filter_map(material).collect(),
            secrets: list(&request["secrets"])
                .filter(|secret| !secret["optional"].as_bool().unwrap_or(false))
                .filter_map(|secret| text(&secret["id"]))
                .collect(),
            complete: completeness
                .iter()
                .zip(told)
                .any(|(told, name)| told[name].as_bool() == Some(true)),
            timeless: times.iter().all(|name| metadata[name].is_null()),
        })
    }

    /// The build argument of that name.
    #[must_use]
    pub fn build_argument(&self, name: &str) -> Option<&str> {
        let key = format!("build-arg:{name}");
        self.arguments.get(&key).map(String::as_str)
    }

    /// `SOURCE_DATE_EPOCH` as it was given, in seconds.
    #[must_use]
    pub fn epoch(&self) -> Option<&str> {
        self.build_argument(EPOCH).filter(|text| !text.is_empty())
    }

    /// The arguments of a kind, by their names in it: `with("label")` gives what `label:A` is.
    pub fn with<'r>(&'r self, kind: &str) -> impl Iterator<Item = (&'r str, &'r str)> {
        let prefix = format!("{kind}:");
        self.arguments.iter().filter_map(move |(key, value)| {
            Some((key.strip_prefix(prefix.as_str())?, value.as_str()))
        })
    }

    /// What a base image was when the image was built.
    #[must_use]
    pub fn base(&self, reference: &Reference, platform: &Platform) -> Option<Digest> {
        let wanted = of_image(&reference.to_string()).uri;
        let of = |uri: &str| -> Option<Option<Platform>> {
            let (name, rest) = uri.split_once('?').unwrap_or((uri, ""));
            let fields = rest.split('&');
            let platform = fields.into_iter().find_map(|f| f.strip_prefix("platform="));
            let known = plain(name) == wanted;
            known.then(|| platform.and_then(|text| plain(text).parse().ok()))
        };
        let found = self.materials.iter().filter_map(|material| {
            let its = of(&material.uri)?;
            let (algorithm, hex) = material.digest.as_ref()?;
            let digest = format!("{algorithm}:{hex}").parse::<Digest>().ok()?;
            let rank = its.as_ref().map(|its| platform.rank(its));
            // One for another platform is of use where there is no better.
            Some((
                rank.map_or(0, |rank| rank.map_or(usize::MAX, |_| 0)),
                digest,
            ))
        });
        found
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, digest)| digest)
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Something from outside, by its address and one of its digests.
fn material(value: &Value) -> Option<Material> {
    let digests = value["digest"].as_object();
    let digest = digests.and_then(|all| all.iter().next());
    Some(Material {
        uri: text(&value["uri"])?,
        digest: digest.and_then(|(name, hex)| Some((name.clone(), text(hex)?))),
    })
}

/// The Dockerfile that stands among the sources of a build.
fn dockerfile(metadata: &Value) -> Option<Vec<u8>> {
    let mut files = list(&metadata["source"]["infos"]);
    let file = files.find(|file| file["language"] == "Dockerfile")?;
    let encoded = file["data"].as_str().filter(|text| text.len() <= LARGEST)?;
    STANDARD.decode(encoded).ok()
}

/// Text with `%2F` and the like undone; what is no such thing stays.
fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let escaped = (*first == b'%')
            .then(|| std::str::from_utf8(behind.get(..2)?).ok())
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() {
            &behind[2..]
        } else {
            behind
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_versions_are_read() {
        let first = "a".repeat(64);
        let second = "b".repeat(64);
        let data = STANDARD.encode("FROM x\n");
        let asked = json!({
            "frontend": "dockerfile.v0",
            "args": {"build-arg:A": "1", "build-arg:SOURCE_DATE_EPOCH": "7", "label:l": "v"},
            "secrets": [{"id": "s"}, {"id": "o", "optional": true}],
        });
        let materials = json!([
            {"uri": "pkg:docker/x@1?platform=linux%2Famd64", "digest": {"sha256": first}},
            {"uri": "pkg:docker/x@1?platform=linux%2Farm64", "digest": {"sha256": second}},
            {"uri": "pkg:docker/r%3A5000/y@2", "digest": {"sha256": second}},
            {"uri": "https://x/y.git#main", "digest": {"sha1": "c"}},
        ]);
        let sources = json!({"source": {"infos": [{"language": "Dockerfile", "data": data}]}});
        for predicate in [
            json!({
                "buildDefinition": {
                    "externalParameters": {
                        "configSource": {"uri": "https://x/y.git#main", "digest": {"sha1": "c"}, "path": "d/F"},
                        "request": asked,
                    },
                    "resolvedDependencies": materials,
                },
                "runDetails": {"metadata": {
                    "buildkit_metadata": sources,
                    "buildkit_completeness": {"request": true},
                    "startedOn": "2024-01-01T00:00:00Z",
                }},
            }),
            json!({
                "invocation": {
                    "configSource": {"uri": "https://x/y.git#main", "digest": {"sha1": "c"}, "entryPoint": "d/F"},
                    "parameters": asked,
                },
                "materials": materials,
                "metadata": {
                    "https://mobyproject.org/buildkit@v1#metadata": sources,
                    "completeness": {"parameters": true},
                    "buildStartedOn": "2024-01-01T00:00:00Z",
                },
            }),
        ] {
            let recipe = Recipe::read(&predicate).unwrap();
            assert_eq!(recipe.path.as_deref(), Some("d/F"));
            assert_eq!(recipe.dockerfile.as_deref(), Some(&b"FROM x\n"[..]));
            assert_eq!(recipe.epoch(), Some("7"));
            assert_eq!(recipe.with("label").collect::<Vec<_>>(), [("l", "v")]);
            assert_eq!(recipe.secrets, ["s"]);
            assert!(recipe.complete && !recipe.timeless);
            let context = recipe.context.as_ref().unwrap();
            assert_eq!(context.digest, Some(("sha1".to_owned(), "c".to_owned())));
            for (name, platform, want) in [
                ("x:1", "linux/amd64", Some(&first)),
                ("docker.io/library/x:1", "linux/arm64", Some(&second)),
                ("r:5000/y:2", "linux/amd64", Some(&second)),
                ("x:2", "linux/amd64", None),
            ] {
                let found = recipe.base(&name.parse().unwrap(), &platform.parse().unwrap());
                assert_eq!(found.map(|digest| digest.hex()).as_ref(), want, "{name}");
            }
        }
        for other in [
            json!({}),
            json!(7),
            json!({"buildDefinition": {"externalParameters": []}}),
        ] {
            assert_eq!(Recipe::read(&other), None);
        }
    }

    #[test]
    fn escapes_are_undone() {
        for (text, want) in [("a%2Fb", "a/b"), ("%", "%"), ("%zz%4", "%zz%4"), ("", "")] {
            assert_eq!(plain(text), want);
        }
    }
}
