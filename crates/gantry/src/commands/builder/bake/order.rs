//! From a target to what `build` would be told for it.

use std::collections::BTreeMap;
use std::path::Path;

use gantry_bake::Target;
use gantry_bake::target::{Attest, CacheEntry, Output, Secret, Ssh};
use gantry_build::{BuildRequest, DockerfileSource, NamedContext};

use crate::commands::builder::build::{BuildArgs, request};
use crate::failure::Failure;
use crate::flags::build::BuildFlags;
use crate::flags::environment;
use crate::flags::limits::LimitFlags;

use super::files::{self, is_remote};
use super::origin::{HERE, Origin, Place};

/// A target as `build` would be told of it.
#[derive(Debug)]
pub(super) struct Spelt {
    pub(super) args: BuildArgs,
    pub(super) request: BuildRequest,
}

impl Spelt {
    /// What a target asks for.
    pub(super) fn of(
        name: &str,
        target: &Target,
        origin: &Origin,
        proxies: &BTreeMap<String, String>,
    ) -> Result<Self, Failure> {
        supported(target)?;
        let args = words(target, origin);
        let mut request = request::translate(&args, proxies.clone(), &environment::caller)?;
        request.name = Some(name.to_owned());
        for (context, place) in &target.contexts {
            if let Some(target) = place.strip_prefix("target:") {
                let other = NamedContext::Target(target.to_owned());
                request.named_contexts.insert(context.clone(), other);
            }
        }
        let context = target.context.as_deref().unwrap_or(".");
        if let Some(source) = origin.source(context)? {
            request.context = Some(source);
        }
        for (name, context) in &target.contexts {
            if let Some(source) = origin.source(context)? {
                let files = NamedContext::Files(source);
                request.named_contexts.insert(name.clone(), files);
            }
        }
        if let Some(text) = &target.dockerfile_inline {
            request.dockerfile = Some(DockerfileSource::Inline {
                name: "Dockerfile".to_owned(),
                bytes: text.clone().into_bytes(),
            });
        } else if let (Some(path), None) = (here(target), local_context(context, origin)) {
            // The context is not of this machine, but the Dockerfile is.
            request.dockerfile = Some(DockerfileSource::Inline {
                name: path.to_owned(),
                bytes: files::local(path)?,
            });
        }
        Ok(Self { args, request })
    }
}

/// Refuses what bake has no use for.
fn supported(target: &Target) -> Result<(), Failure> {
    for (what, path) in [
        ("context", &target.context),
        ("dockerfile", &target.dockerfile),
    ] {
        if path.as_deref() == Some("-") {
            let message = format!("{what} from STDIN is not allowed in bake");
            return Err(Failure::invalid(message));
        }
    }
    Ok(())
}

/// The words that `build` would be given. Contexts that were fetched are not among them.
fn words(target: &Target, origin: &Origin) -> BuildArgs {
    let context = target.context.as_deref().unwrap_or(".");
    let place = match origin.place(context) {
        Place::Here(path) | Place::Elsewhere(path) => path,
        Place::Fetched(_) | Place::Outside => ".",
    };
    let list = |texts: &Option<Vec<String>>| texts.clone().unwrap_or_default();
    BuildArgs {
        flags: BuildFlags {
            add_host: pairs(&target.extra_hosts, ':'),
            allow: list(&target.entitlements),
            build_context: contexts(target, origin),
            network: target.network.clone(),
            secret: target.secrets.iter().flatten().map(secret).collect(),
            ssh: target.ssh.iter().flatten().map(agent).collect(),
            ..BuildFlags::default()
        },
        annotation: list(&target.annotations),
        attest: target.attest.iter().flatten().map(attest).collect(),
        build_arg: pairs(&target.args, '='),
        cache_from: target.cache_from.iter().flatten().map(cache).collect(),
        cache_to: target.cache_to.iter().flatten().map(cache).collect(),
        call: target.call.clone(),
        file: dockerfile(target, origin),
        label: pairs(&target.labels, '='),
        limits: LimitFlags {
            shm_size: target.shm_size.clone().filter(|size| !size.is_empty()),
            ulimit: list(&target.ulimits),
            ..LimitFlags::default()
        },
        no_cache: target.no_cache == Some(true),
        no_cache_filter: list(&target.no_cache_filter),
        operands: vec![place.to_owned()],
        output: target.outputs.iter().flatten().map(output).collect(),
        platform: list(&target.platforms),
        pull: target.pull == Some(true),
        tag: list(&target.tags),
        target: target.target.clone(),
        ..BuildArgs::default()
    }
}

fn attest(wanted: &Attest) -> String {
    let own = [
        ("type", &wanted.kind),
        ("disabled", &wanted.disabled.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value.clone()));
    fields(own.into_iter().chain(wanted.attributes.clone()))
}

/// The Dockerfile as `-f` has it: a target gives it relative to its context.
fn dockerfile(target: &Target, origin: &Origin) -> Option<String> {
    if target.dockerfile_inline.is_some() {
        return None;
    }
    let path = target.dockerfile.as_deref()?;
    let context = target.context.as_deref().unwrap_or(".");
    match (local_context(context, origin), here(target)) {
        (Some(_), _) if is_remote(path) => Some(path.to_owned()),
        (Some(_), _) => local_dockerfile(target, origin),
        // It is read by itself.
        (None, Some(_)) => None,
        (None, None) => Some(path.to_owned()).filter(|path| path != "Dockerfile"),
    }
}

/// The Dockerfile, where it is a file of this machine.
pub(super) fn local_dockerfile(target: &Target, origin: &Origin) -> Option<String> {
    if target.dockerfile_inline.is_some() {
        return None;
    }
    if let Some(path) = here(target) {
        return Some(path.to_owned());
    }
    let path = target.dockerfile.as_deref()?;
    if is_remote(path) {
        return None;
    }
    let context = local_context(target.context.as_deref().unwrap_or("."), origin)?;
    Some(Path::new(context).join(path).to_string_lossy().into_owned())
}

/// The path of a Dockerfile in the folder of the command (`cwd://`).
fn here(target: &Target) -> Option<&str> {
    target.dockerfile.as_deref()?.strip_prefix(HERE)
}

/// The path of a context of this machine.
fn local_context<'t>(context: &'t str, origin: &'t Origin) -> Option<&'t str> {
    match origin.place(context) {
        Place::Here(path) => Some(path),
        _ => None,
    }
}

/// `NAME=VALUE` of each that has a value.
fn pairs(texts: &BTreeMap<String, Option<String>>, between: char) -> Vec<String> {
    let pair = |(name, value): (&String, &Option<String>)| {
        Some(format!("{name}{between}{}", value.as_ref()?))
    };
    texts.iter().filter_map(pair).collect()
}

/// The contexts that are neither targets nor folders that were fetched.
fn contexts(target: &Target, origin: &Origin) -> Vec<String> {
    let context = |(name, text): (&String, &String)| match origin.place(text) {
        Place::Elsewhere(place) if place.starts_with("target:") => None,
        Place::Here(place) | Place::Elsewhere(place) => Some(format!("{name}={place}")),
        Place::Fetched(_) | Place::Outside => None,
    };
    target.contexts.iter().filter_map(context).collect()
}

/// Fields as one text of comma-separated values.
fn fields(fields: impl IntoIterator<Item = (String, String)>) -> String {
    let fields: Vec<String> = fields
        .into_iter()
        .map(|(name, value)| {
            let field = format!("{name}={value}");
            if field.contains([',', '"']) {
                format!("\"{}\"", field.replace('"', "\"\""))
            } else {
                field
            }
        })
        .collect();
    fields.join(",")
}

fn output(output: &Output) -> String {
    let kind = ("type".to_owned(), output.kind.clone());
    let place = output
        .destination
        .iter()
        .map(|path| ("dest".to_owned(), path.clone()));
    let attributes = output.attributes.clone();
    fields(std::iter::once(kind).chain(place).chain(attributes))
}

fn cache(cache: &CacheEntry) -> String {
    let kind = ("type".to_owned(), cache.kind.clone());
    fields(std::iter::once(kind).chain(cache.attributes.clone()))
}

fn secret(secret: &Secret) -> String {
    let id = ("id".to_owned(), secret.id.clone());
    let file = secret
        .file
        .iter()
        .map(|path| ("src".to_owned(), path.clone()));
    let variable = secret
        .variable
        .iter()
        .map(|name| ("env".to_owned(), name.clone()));
    fields(std::iter::once(id).chain(file).chain(variable))
}

fn agent(agent: &Ssh) -> String {
    if agent.paths.is_empty() {
        return agent.id.clone();
    }
    format!("{}={}", agent.id, agent.paths.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_spelt_as_a_build() {
        let target = Target {
            context: Some("app".to_owned()),
            dockerfile: Some("web.Dockerfile".to_owned()),
            args: [
                ("A".to_owned(), Some("1".to_owned())),
                ("B".to_owned(), None),
            ]
            .into(),
            outputs: Some(vec![Output {
                kind: "oci".to_owned(),
                attributes: [("name".to_owned(), "a,b".to_owned())].into(),
                destination: Some("x.tar".to_owned()),
            }]),
            ..Target::default()
        };
        let words = words(&target, &Origin::Here);
        assert_eq!(words.build_arg, ["A=1"]);
        assert_eq!(words.file.as_deref(), Some("app/web.Dockerfile"));
        assert_eq!(words.output, ["type=oci,dest=x.tar,\"name=a,b\""]);
        let inline = Target {
            dockerfile_inline: Some("FROM scratch".to_owned()),
            dockerfile: Some("Dockerfile".to_owned()),
            ..Target::default()
        };
        assert_eq!(super::words(&inline, &Origin::Here).file, None);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        let target = Target {
            context: Some("-".to_owned()),
            ..Target::default()
        };
        let said = format!(
            "{:?}",
            Spelt::of("t", &target, &Origin::Here, &BTreeMap::new()).unwrap_err()
        );
        assert!(said.contains("STDIN"), "{said}");
    }
}
