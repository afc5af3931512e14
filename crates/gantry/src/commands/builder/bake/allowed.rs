//! `--allow`: what a definition may reach beyond the folder of the command. A file that somebody
//! else wrote names the paths and the privileges; who runs it grants them.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use gantry_bake::{Baked, Target};
use gantry_build::RunNetwork;

use self::reach::Reach;
use super::order::Spelt;
use super::origin::Origin;
use super::words;
use crate::commands::builder::build::bounds::{Bounds, resolved};
use crate::commands::builder::build::lent;
use crate::commands::confirm::confirm;
use crate::failure::{CommandError, Failure};
use crate::flags::environment;

mod reach;

/// The variable that switches the check of paths off.
const PATHS_COUNT: &str = "BUILDX_BAKE_ENTITLEMENTS_FS";

/// What is granted.
#[derive(Debug, Default)]
struct Granted {
    network_host: bool,
    security_insecure: bool,
    ssh: bool,
    /// All devices, and those by name.
    devices: bool,
    device_names: BTreeSet<String>,
    /// The folders and files, and all that is in them.
    reach: Reach,
}

/// Refuses a build whose targets ask for more than was granted, unless the person at the terminal
/// grants it. What `--set` names itself is granted, and so is everything in the folder of the
/// command.
///
/// Gives what the person granted.
pub(super) fn check(
    allow: &[String],
    origin: &Origin,
    baked: &Baked,
) -> Result<BTreeSet<String>, Failure> {
    let missing = missing(allow, origin, baked)?;
    ask(&missing)?;
    Ok(missing)
}

/// The same for the builds as the builder will have them: what counts is how the texts of a
/// definition are read in the end. `known` was granted before.
///
/// Gives what each build may write, in their order, for the time when it does.
pub(super) fn check_builds<'s>(
    allow: &[String],
    builds: impl Iterator<Item = &'s Spelt>,
    known: &BTreeSet<String>,
    origin: &Origin,
    baked: &Baked,
) -> Result<Vec<Bounds>, Failure> {
    let granted = all_granted(allow, baked)?;
    let mut missing = BTreeSet::new();
    let mut bounds = Vec::new();
    for build in builds {
        let request = &build.request;
        let grants = &request.allow;
        if !granted.network_host && (grants.network_host || request.network == RunNetwork::Host) {
            missing.insert("network.host".to_owned());
        }
        if !granted.security_insecure && grants.security_insecure {
            missing.insert("security.insecure".to_owned());
        }
        if !granted.devices && grants.devices.all {
            missing.insert("device".to_owned());
        }
        let named = grants.devices.names.iter();
        for name in named.chain(grants.devices.aliases.values()) {
            if !granted.devices && !granted.device_names.contains(name) {
                missing.insert(format!("device={name}"));
            }
        }
        let usual = environment::caller(lent::AGENT).map(PathBuf::from);
        let (agents, keys): (Vec<_>, Vec<_>) = request
            .ssh
            .values()
            .partition(|path| Some(*path) == usual.as_ref());
        if !granted.ssh && !agents.is_empty() {
            missing.insert("ssh".to_owned());
        }
        if !paths_count() {
            bounds.push(Bounds::default());
            continue;
        }
        let name = request.name.as_deref().unwrap_or_default();
        let told = words::of_target(baked, name);
        let mut asked = Reach::of_build(build).map_err(&told)?;
        asked.read.extend(keys.into_iter().cloned());
        let asked = asked.resolved().map_err(&told)?;
        let target = baked.targets.get(name);
        let reach = granted.reach_of(target, origin).map_err(&told)?;
        missing.extend(asked.beyond(&reach));
        // Who goes on has granted all that was asked for.
        bounds.push(Bounds::of(reach.write, asked.write));
    }
    ask(&missing.difference(known).cloned().collect())?;
    Ok(bounds)
}

fn paths_count() -> bool {
    environment::caller(PATHS_COUNT)
        .is_none_or(|value| !matches!(value.as_str(), "0" | "false" | "f" | "F" | "FALSE"))
}

/// What the flags grant to all targets.
fn all_granted(allow: &[String], baked: &Baked) -> Result<Granted, Failure> {
    let mut granted = granted(allow)?;
    // A context has its entitlements for the targets that it is built for.
    let set = baked.targets.values().filter_map(|t| t.set.as_ref());
    for entitlement in set.flat_map(|set| set.entitlements.iter().flatten()) {
        granted.grant(entitlement)?;
    }
    Ok(granted)
}

/// Refuses what is missing, unless the person at the terminal grants it.
fn ask(missing: &BTreeSet<String>) -> Result<(), Failure> {
    if missing.is_empty() {
        return Ok(());
    }
    // The definition may be somebody else's: nothing of it speaks to the terminal.
    let missing: Vec<String> = missing.iter().map(|key| harmless(key)).collect();
    let wants: Vec<String> = missing
        .iter()
        .map(|key| format!(" - {}", said(key)))
        .collect();
    let flags: Vec<String> = missing.iter().map(|key| format!("--allow={key}")).collect();
    let (wants, flags) = (wants.join("\n"), flags.join(" "));
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        let warning = format!("The targets ask for more than is granted by default:\n{wants}");
        if confirm(&warning)? {
            return Ok(());
        }
    }
    Err(Failure::invalid(format!(
        "additional privileges requested:\n{wants}\npass {flags:?} to grant them"
    )))
}

/// What has to be granted, as `--allow` spells it.
fn missing(allow: &[String], origin: &Origin, baked: &Baked) -> Result<BTreeSet<String>, Failure> {
    let granted = all_granted(allow, baked)?;
    let mut missing = BTreeSet::new();
    for target in baked.targets.values() {
        for entitlement in target.entitlements.iter().flatten() {
            if !granted.has(entitlement) {
                missing.insert(entitlement.clone());
            }
        }
        let agent = target
            .ssh
            .iter()
            .flatten()
            .any(|agent| agent.paths.is_empty());
        if agent && !granted.ssh {
            missing.insert("ssh".to_owned());
        }
        if !paths_count() {
            continue;
        }
        let asked = Reach::of_target(target, origin).resolved()?;
        let reach = granted.reach_of(Some(target), origin)?;
        missing.extend(asked.beyond(&reach));
    }
    Ok(missing)
}

/// A text without what would steer a terminal.
fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    shown
}

/// What a grant is for, in words.
fn said(key: &str) -> String {
    match key.split_once('=').unwrap_or((key, "")) {
        ("network.host", _) => "running RUN in the network of this machine".to_owned(),
        ("security.insecure", _) => "running RUN with all privileges".to_owned(),
        ("ssh", _) => "lending the SSH agent".to_owned(),
        ("device", "") => "using the devices of this machine".to_owned(),
        ("device", name) => format!("using the device {name}"),
        ("fs.read", path) => format!("reading {path}"),
        ("fs.write", path) => format!("writing {path}"),
        _ => key.to_owned(),
    }
}

fn granted(allow: &[String]) -> Result<Granted, Failure> {
    let folder = std::env::current_dir().map_err(CommandError::file("find", "this folder"))?;
    let folder = resolved(&folder)?;
    let mut granted = Granted {
        reach: Reach {
            read: vec![folder.clone()],
            write: vec![folder],
        },
        ..Granted::default()
    };
    for text in allow {
        granted.grant(text)?;
    }
    Ok(granted)
}

impl Granted {
    /// Grants what one `--allow` says.
    fn grant(&mut self, text: &str) -> Result<(), Failure> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (text, None),
        };
        let path = || match value.unwrap_or_default() {
            "*" => Ok(PathBuf::from("/")),
            path => resolved(Path::new(path)),
        };
        match (key, value) {
            ("network.host", None) => self.network_host = true,
            ("security.insecure", None) => self.security_insecure = true,
            ("ssh", None) => self.ssh = true,
            ("device", None) => self.devices = true,
            ("device", Some("")) => {
                return Err(Failure::invalid(
                    "--allow device= names no device: --allow device grants all of them",
                ));
            }
            ("device", Some(name)) => drop(self.device_names.insert(name.to_owned())),
            ("fs.read", _) => self.reach.read.push(path()?),
            ("fs.write", _) => self.reach.write.push(path()?),
            ("fs", _) => {
                self.reach.read.push(path()?);
                self.reach.write.push(path()?);
            }
            _ => {
                return Err(Failure::invalid(format!("unknown entitlement key {key:?}")));
            }
        }
        Ok(())
    }

    /// The paths that are granted to a target: those of all, and what `--set` names of this one.
    fn reach_of(&self, target: Option<&Target>, origin: &Origin) -> Result<Reach, Failure> {
        let mut reach = self.reach.clone();
        if let Some(set) = target.and_then(|target| target.set.as_deref()) {
            let own = Reach::of_target(set, origin).resolved()?;
            reach.read.extend(own.read);
            reach.write.extend(own.write);
        }
        Ok(reach)
    }

    /// Whether an entitlement of a target was granted.
    fn has(&self, entitlement: &str) -> bool {
        match entitlement.split_once('=') {
            None if entitlement == "network.host" => self.network_host,
            None if entitlement == "security.insecure" => self.security_insecure,
            None if entitlement == "device" => self.devices,
            Some(("device", name)) => self.devices || self.device_names.contains(name),
            // Nobody grants what there is not; the build refuses it by name.
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_bake::target::{CacheEntry, Output, Secret, Ssh};

    fn refusal(target: Target, allow: &[&str]) -> Option<String> {
        let baked = Baked {
            targets: [("t".to_owned(), target)].into(),
            ..Baked::default()
        };
        let allow: Vec<String> = allow.iter().map(|text| (*text).to_owned()).collect();
        let done = check(&allow, &Origin::Here, &baked);
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
        assert_eq!(refusal(output("out"), &[]), None);
        assert_eq!(refusal(output("-"), &[]), None);
        assert!(
            refusal(output("/nonesuch/x"), &[])
                .unwrap()
                .contains("--allow=fs.write=/nonesuch/x")
        );
        assert!(refusal(output("out/../.."), &[]).is_some());
        assert_eq!(
            refusal(output("/nonesuch/x"), &["fs.write=/nonesuch"]),
            None
        );
        assert_eq!(refusal(output("/nonesuch/x"), &["fs=*"]), None);
        let set = |set: Target| Target {
            set: Some(Box::new(set)),
            ..output("/nonesuch/x")
        };
        assert_eq!(refusal(set(output("/nonesuch/x")), &[]), None);
        assert!(refusal(set(output("/nonesuch/y")), &[]).is_some());
        // What is read is not written, and other values name no path.
        let text = Some("/nonesuch/x".to_owned());
        for other in [
            Target {
                context: text.clone(),
                ..Target::default()
            },
            Target {
                args: [("PREFIX".to_owned(), text.clone())].into(),
                ..Target::default()
            },
            Target {
                platforms: text.map(|text| vec![text]),
                ..Target::default()
            },
        ] {
            assert!(refusal(set(other), &[]).is_some());
        }
        assert!(refusal(output("/nonesuch/x"), &["fs.read=/"]).is_some());
        let context = Target {
            context: Some("/proc".to_owned()),
            ..Target::default()
        };
        assert!(refusal(context, &[]).unwrap().contains("fs.read=/proc"));
        let layout = Target {
            contexts: [("a".to_owned(), "oci-layout:///proc/sys:v1".to_owned())].into(),
            ..Target::default()
        };
        let text = refusal(layout, &[]).unwrap();
        assert!(text.contains("fs.read=/proc/sys\""), "{text}");
        let secret = Target {
            secrets: Some(vec![Secret {
                file: Some("/etc/hostname".to_owned()),
                ..Secret::default()
            }]),
            ..Target::default()
        };
        assert!(
            refusal(secret, &[])
                .unwrap()
                .contains("fs.read=/etc/hostname")
        );
    }

    /// What is spelt in another way is read in the same one.
    #[test]
    fn spellings_go_round_nothing() {
        let entitled = |text: &str| Target {
            entitlements: Some(vec![text.to_owned()]),
            ..Target::default()
        };
        let attribute = |name: &str, path: &str| [(name.to_owned(), path.to_owned())].into();
        let output = |name| Target {
            outputs: Some(vec![Output {
                kind: "local".to_owned(),
                attributes: attribute(name, "/nonesuch/x"),
                destination: None,
            }]),
            ..Target::default()
        };
        let cache = |name| {
            Some(vec![CacheEntry {
                kind: "local".to_owned(),
                attributes: attribute(name, "/nonesuch/c"),
            }])
        };
        let secret = Target {
            secrets: Some(vec![Secret {
                id: "/etc/hostname".to_owned(),
                ..Secret::default()
            }]),
            ..Target::default()
        };
        for (target, want) in [
            (entitled("network.host,security.insecure"), "network.host"),
            (entitled(" security.insecure"), "security.insecure"),
            (entitled(" device=v/c=1"), "device=v/c=1"),
            (output("DEST"), "fs.write=/nonesuch/x"),
            (output(" dest"), "fs.write=/nonesuch/x"),
            (
                Target {
                    cache_to: cache("Dest"),
                    ..Target::default()
                },
                "fs.write=/nonesuch/c",
            ),
            (
                Target {
                    cache_from: cache("SRC"),
                    ..Target::default()
                },
                "fs.read=/nonesuch/c",
            ),
            (secret, "fs.read=/etc/hostname"),
        ] {
            let spelt = Spelt::of("t", &target, &Origin::Here, &Default::default());
            let spelt = spelt.map_err(drop).unwrap();
            let known = BTreeSet::new();
            let baked = Baked::default();
            let check = |allow: &[String]| {
                check_builds(allow, [&spelt].into_iter(), &known, &Origin::Here, &baked)
            };
            let failure = check(&[]).unwrap_err();
            let want = format!("--allow={want}");
            assert!(failure.message().contains(&want), "{}", failure.message());
            let all = ["network.host", "security.insecure", "device", "fs=*"];
            assert!(check(&all.map(str::to_owned)).is_ok(), "{want}");
        }
    }

    #[test]
    fn what_is_asked_speaks_to_no_terminal() {
        let context = Target {
            context: Some("/nonesuch/\u{1b}[2K".to_owned()),
            ..Target::default()
        };
        let said = refusal(context, &[]).unwrap();
        assert!(
            !said.contains('\u{1b}') && said.contains("\\u{1b}[2K"),
            "{said}"
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
        let text = refusal(host.clone(), &[]).unwrap();
        assert!(text.contains("--allow=network.host --allow=ssh"), "{text}");
        assert!(text.contains(" - lending the SSH agent"), "{text}");
        assert_eq!(refusal(host, &["network.host", "ssh"]), None);
        for wrong in ["tape", "ssh=default", "security.insecure=1"] {
            assert!(refusal(Target::default(), &[wrong]).is_some(), "{wrong}");
        }
        let more = ["security.insecure", "device=v/c=1"];
        let more = || Target {
            entitlements: Some(more.map(str::to_owned).to_vec()),
            ..Target::default()
        };
        let text = refusal(more(), &[]).unwrap();
        assert!(
            text.contains("--allow=device=v/c=1 --allow=security.insecure"),
            "{text}"
        );
        let set = Target {
            set: Some(Box::new(more())),
            ..more()
        };
        assert_eq!(refusal(set, &[]), None);
        assert_eq!(refusal(more(), &["security.insecure", "device"]), None);
        assert!(refusal(more(), &["security.insecure", "device=v/c=2"]).is_some());
    }
}
