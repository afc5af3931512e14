//! `--allow`: what a definition may reach beyond the folder of the command. A file that somebody
//! else wrote names the paths and the privileges; who runs it grants them.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use gantry_bake::{Baked, Target};
use gantry_model::layout::LayoutReference;

use super::files::is_remote;
use crate::failure::{CommandError, Failure};

/// What is granted.
#[derive(Debug, Default)]
struct Granted {
    network_host: bool,
    ssh: bool,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
}

/// Refuses a build whose targets ask for more than was granted. What `--set` names itself is
/// granted, and so is everything in the folder of the command.
pub(super) fn check(allow: &[String], set: &[String], baked: &Baked) -> Result<(), Failure> {
    let granted = granted(allow)?;
    let mut missing = BTreeSet::new();
    for target in baked.targets.values() {
        let wants = |name: &str| {
            let mut all = target.entitlements.iter().flatten();
            all.any(|entitlement| entitlement == name)
        };
        if wants("network.host") && !granted.network_host {
            missing.insert("network.host".to_owned());
        }
        let agent = target
            .ssh
            .iter()
            .flatten()
            .any(|agent| agent.paths.is_empty());
        if agent && !granted.ssh {
            missing.insert("ssh".to_owned());
        }
        for (key, paths, roots) in [
            ("fs.read", read_paths(target), &granted.read),
            ("fs.write", written_paths(target), &granted.write),
        ] {
            for path in paths {
                let said = set.iter().any(|text| {
                    text.split_once('=')
                        .is_some_and(|(_, value)| value.contains(&path))
                });
                let resolved = resolved(Path::new(&path));
                if !said && !roots.iter().any(|root| resolved.starts_with(root)) {
                    missing.insert(format!("{key}={}", resolved.display()));
                }
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let flags: Vec<String> = missing.iter().map(|key| format!("--allow={key}")).collect();
    Err(Failure::invalid(format!(
        "additional privileges requested: pass {:?} to grant them",
        flags.join(" ")
    )))
}

fn granted(allow: &[String]) -> Result<Granted, Failure> {
    let folder = std::env::current_dir().map_err(CommandError::file("find", "this folder"))?;
    let folder = resolved(&folder);
    let mut granted = Granted {
        read: vec![folder.clone()],
        write: vec![folder],
        ..Granted::default()
    };
    for text in allow {
        let (key, path) = text.split_once('=').unwrap_or((text, ""));
        let path = || match path {
            "*" => PathBuf::from("/"),
            path => resolved(Path::new(path)),
        };
        match key {
            "network.host" => granted.network_host = true,
            "ssh" => granted.ssh = true,
            "fs.read" => granted.read.push(path()),
            "fs.write" => granted.write.push(path()),
            "fs" => {
                granted.read.push(path());
                granted.write.push(path());
            }
            "security.insecure" => {
                return Err(Failure::unsupported(
                    "--allow security.insecure is not supported",
                ));
            }
            _ => return Err(Failure::invalid(format!("unknown entitlement key {key:?}"))),
        }
    }
    Ok(granted)
}

/// The files and folders that a target reads.
fn read_paths(target: &Target) -> Vec<String> {
    let local = |path: &&str| {
        let elsewhere = is_remote(path) || path.starts_with("target:");
        LayoutReference::is_meant(path) || !elsewhere && !path.starts_with("docker-image:")
    };
    let context = target.context.as_deref().into_iter();
    let contexts = target.contexts.values().map(String::as_str);
    let secrets = target
        .secrets
        .iter()
        .flatten()
        .filter_map(|secret| secret.file.as_deref());
    let keys = target
        .ssh
        .iter()
        .flatten()
        .flat_map(|agent| &agent.paths)
        .map(String::as_str);
    let caches = target
        .cache_from
        .iter()
        .flatten()
        .filter(|cache| cache.kind == "local");
    let caches = caches
        .filter_map(|cache| cache.attributes.get("src"))
        .map(String::as_str);
    let files = secrets.chain(keys).chain(caches);
    let folders = context.chain(contexts).filter(local).map(folder);
    folders.chain(files.map(str::to_owned)).collect()
}

/// The folder of a context.
fn folder(context: &str) -> String {
    match context.parse::<LayoutReference>() {
        Ok(layout) => layout.folder.to_string_lossy().into_owned(),
        Err(_) => context.to_owned(),
    }
}

/// The files and folders that a target writes.
fn written_paths(target: &Target) -> Vec<String> {
    let outputs = target.outputs.iter().flatten();
    let places = outputs.filter_map(|output| output.destination.as_deref());
    let caches = target
        .cache_to
        .iter()
        .flatten()
        .filter(|cache| cache.kind == "local");
    let caches = caches
        .filter_map(|cache| cache.attributes.get("dest"))
        .map(String::as_str);
    let places = places.filter(|place| *place != "-").chain(caches);
    places.map(str::to_owned).collect()
}

/// Where a path leads: links are followed as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut found = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => {
                found.pop();
            }
            part => found.push(part),
        }
        if let Ok(real) = found.canonicalize() {
            found = real;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_bake::target::{Output, Secret, Ssh};

    fn said(target: Target, allow: &[&str], set: &[&str]) -> Option<String> {
        let baked = Baked {
            groups: Default::default(),
            targets: [("t".to_owned(), target)].into(),
        };
        let texts = |all: &[&str]| {
            all.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let done = check(&texts(allow), &texts(set), &baked);
        done.err().map(|failure| failure.message().to_owned())
    }

    #[test]
    fn what_is_outside_must_be_granted() {
        let output = |place: &str| Target {
            outputs: Some(vec![Output {
                kind: "local".to_owned(),
                attributes: Default::default(),
                destination: Some(place.to_owned()),
            }]),
            ..Target::default()
        };
        assert_eq!(said(output("out"), &[], &[]), None);
        assert_eq!(said(output("-"), &[], &[]), None);
        assert!(
            said(output("/nonesuch/x"), &[], &[])
                .unwrap()
                .contains("--allow=fs.write=/nonesuch/x")
        );
        assert!(said(output("out/../.."), &[], &[]).is_some());
        assert_eq!(
            said(output("/nonesuch/x"), &["fs.write=/nonesuch"], &[]),
            None
        );
        assert_eq!(said(output("/nonesuch/x"), &["fs=*"], &[]), None);
        assert_eq!(
            said(output("/nonesuch/x"), &[], &["t.output=/nonesuch/x"]),
            None
        );
        assert!(said(output("/nonesuch/x"), &["fs.read=/"], &[]).is_some());
        let context = Target {
            context: Some("/proc".to_owned()),
            ..Target::default()
        };
        assert!(said(context, &[], &[]).unwrap().contains("fs.read=/proc"));
        let layout = Target {
            contexts: [("a".to_owned(), "oci-layout:///proc/sys:v1".to_owned())].into(),
            ..Target::default()
        };
        let text = said(layout, &[], &[]).unwrap();
        assert!(text.contains("fs.read=/proc/sys\""), "{text}");
        let secret = Target {
            secrets: Some(vec![Secret {
                file: Some("/etc/hostname".to_owned()),
                ..Secret::default()
            }]),
            ..Target::default()
        };
        assert!(
            said(secret, &[], &[])
                .unwrap()
                .contains("fs.read=/etc/hostname")
        );
    }

    #[test]
    fn privileges_must_be_granted() {
        let host = Target {
            entitlements: Some(vec!["network.host".to_owned()]),
            ssh: Some(vec![Ssh {
                id: "default".to_owned(),
                paths: Vec::new(),
            }]),
            ..Target::default()
        };
        let text = said(host.clone(), &[], &[]).unwrap();
        assert!(text.contains("--allow=network.host --allow=ssh"), "{text}");
        assert_eq!(said(host, &["network.host", "ssh"], &[]), None);
        assert!(said(Target::default(), &["tape"], &[]).is_some());
    }
}
