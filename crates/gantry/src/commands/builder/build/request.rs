//! From the flags of `build` to a [`BuildRequest`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use gantry_build::{BuildRequest, DeviceGrants, Entitlements, PullPolicy, RunNetwork};
use gantry_model::{ContainerSpec, Platform, Reference};

use super::{BuildArgs, context, lent};
use crate::failure::Failure;
use crate::flags::environment::{self, Lookup};
use crate::flags::hosts;
use crate::flags::limits::LimitFlags;
use crate::flags::value::{FlagError, wrong};

/// What `args` ask for.
pub(crate) fn translate(
    args: &BuildArgs,
    proxies: BTreeMap<String, String>,
    lookup: Lookup<'_>,
) -> Result<BuildRequest, Failure> {
    let context = args
        .operands
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    let (context, dockerfile) = context::sources(context, args.file.as_deref())?;
    let mut request = BuildRequest::new(PathBuf::new());
    request.context = context;
    request.named_contexts = context::named(&args.build_context)?;
    request.dockerfile = dockerfile;
    request.target = args.target.clone().filter(|name| !name.is_empty());
    request.build_args = build_args(&args.build_arg, lookup);
    request.proxy_args = proxies;
    request.labels = labels(&args.label);
    request.platforms = if args.platform.is_empty() {
        platforms(lookup(environment::DEFAULT_PLATFORM).as_slice())?
    } else {
        platforms(&args.platform)?
    };
    request.no_cache = args.no_cache;
    request.no_cache_stages = args.no_cache_filter.clone();
    request.pull = if args.pull {
        PullPolicy::Always
    } else {
        PullPolicy::Missing
    };
    request.network = network(args.network.as_deref())?;
    request.allow = entitlements(&args.allow)?;
    args.limits.check_isolation()?;
    request.shm_size = args.limits.shm_size()?;
    request.ulimits = args.limits.ulimits()?;
    request.extra_hosts = extra_hosts(&args.add_host)?;
    request.secrets = lent::secrets(&args.secret, lookup)?;
    request.ssh = lent::agents(&args.ssh, lookup)?;
    if request.ssh.is_empty()
        && context::is_over_ssh(request.context.as_ref())
        && lookup(lent::AGENT).is_some()
    {
        request.ssh = lent::agents(&["default".to_owned()], lookup)?;
    }
    Ok(request)
}

/// How steps are confined and limited, as a container that is told the same.
pub(crate) fn confinement(flags: &LimitFlags) -> Result<ContainerSpec, FlagError> {
    Ok(ContainerSpec {
        resources: flags.resources()?,
        security_opt: flags.security_opt.clone(),
        cgroup_parent: flags.cgroup_parent.clone(),
        ..ContainerSpec::default()
    })
}

/// The names that `-t` gives.
pub(crate) fn tags(texts: &[String]) -> Result<Vec<Reference>, FlagError> {
    const FLAG: &str = "-t, --tag";
    let mut all = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let tag: Reference = text.parse().map_err(wrong(FLAG, text))?;
        if tag.digest().is_some() {
            return Err(wrong(FLAG, text)("an image cannot be given a digest"));
        }
        if !all.contains(&tag) {
            all.push(tag);
        }
    }
    Ok(all)
}

/// A name without a value takes the caller's, and is left out where there is none.
pub(crate) fn build_args(texts: &[String], lookup: Lookup<'_>) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = texts
        .iter()
        .filter_map(|text| match text.split_once('=') {
            Some((name, value)) => Some((name.to_owned(), value.to_owned())),
            None => lookup(text).map(|value| (text.clone(), value)),
        })
        .collect();
    const EPOCH: &str = "SOURCE_DATE_EPOCH";
    if let (false, Some(value)) = (all.contains_key(EPOCH), lookup(EPOCH)) {
        all.insert(EPOCH.to_owned(), value);
    }
    all
}

fn labels(texts: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    texts.iter().map(pair).collect()
}

/// Platforms in the order in which they are given: several flags, each with commas between.
fn platforms(texts: &[String]) -> Result<Vec<Platform>, Failure> {
    let names = texts.iter().flat_map(|text| text.split(','));
    let mut all = Vec::new();
    for name in names.map(str::trim).filter(|name| !name.is_empty()) {
        all.push(match name {
            "local" => Platform::host(),
            name => name.parse().map_err(wrong("--platform", name))?,
        });
    }
    Ok(all)
}

fn network(text: Option<&str>) -> Result<RunNetwork, Failure> {
    match text {
        None | Some("" | "default" | "bridge") => Ok(RunNetwork::Default),
        Some("none") => Ok(RunNetwork::None),
        Some("host") => Ok(RunNetwork::Host),
        Some(other) => Err(Failure::unsupported(format!(
            "network mode {other:?} is not supported: default, none and host are there"
        ))),
    }
}

fn entitlements(texts: &[String]) -> Result<Entitlements, Failure> {
    let mut all = Entitlements::default();
    for text in texts {
        // The name of a device and what it is called stand behind a comma, too.
        if let Some(device) = text.trim().strip_prefix("device=") {
            grant_device(&mut all.devices, device)?;
            continue;
        }
        for name in text.split(',') {
            match name.trim() {
                "" => {}
                "network.host" => all.network_host = true,
                "security.insecure" => all.security_insecure = true,
                "device" => all.devices.all = true,
                other => {
                    return Err(Failure::unsupported(format!(
                        "--allow {other} is not supported: network.host, security.insecure and \
                         device[=NAME] are there"
                    )));
                }
            }
        }
    }
    Ok(all)
}

/// `NAME[,alias=NAME-IN-THE-DOCKERFILE]`
fn grant_device(grants: &mut DeviceGrants, text: &str) -> Result<(), FlagError> {
    let (name, alias) = match text.split_once(',') {
        None => (text, None),
        Some((name, more)) => {
            let alias = more
                .strip_prefix("alias=")
                .filter(|alias| !alias.is_empty());
            let alias = alias.ok_or_else(|| wrong("--allow", text)("expected alias=NAME"))?;
            (name, Some(alias.to_owned()))
        }
    };
    match alias {
        _ if name.is_empty() => grants.all = true,
        Some(alias) => drop(grants.aliases.insert(alias, name.to_owned())),
        None => drop(grants.names.insert(name.to_owned())),
    }
    Ok(())
}

fn extra_hosts(texts: &[String]) -> Result<Vec<(String, IpAddr)>, Failure> {
    let mut all = Vec::new();
    for text in texts {
        let (name, address) = hosts::split(text).map_err(wrong("--add-host", text))?;
        let address = address.parse().map_err(|_| {
            Failure::unsupported(format!(
                "--add-host {text} is not supported: host-gateway is not known in a build yet"
            ))
        })?;
        all.push((name, address));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        matches!(name, "USER" | "SOURCE_DATE_EPOCH").then(|| "7".to_owned())
    }

    #[test]
    fn build_arguments_take_the_callers_values() {
        let args = build_args(
            &["A=1".into(), "USER".into(), "GONE".into(), "B=x=y".into()],
            &lookup,
        );
        let got: Vec<String> = args.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(got, ["A=1", "B=x=y", "SOURCE_DATE_EPOCH=7", "USER=7"]);
        let args = build_args(&["SOURCE_DATE_EPOCH=1".into()], &lookup);
        assert_eq!(args["SOURCE_DATE_EPOCH"], "1");
    }

    #[test]
    fn platforms_are_listed() {
        let read = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let platforms = platforms(&texts).map_err(drop)?;
            Ok(platforms
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>())
        };
        assert_eq!(
            read(&["linux/arm64,linux/amd64", "s390x"]),
            Ok(vec![
                "linux/arm64".to_owned(),
                "linux/amd64".to_owned(),
                "linux/s390x".to_owned()
            ])
        );
        assert_eq!(read(&["local"]), Ok(vec![Platform::host().to_string()]));
        assert_eq!(read(&[""]), Ok(vec![]));
        assert_eq!(read(&["/"]), Err(()));
    }

    #[test]
    fn entitlements_name_devices() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let given = [
            "device=v/c=1",
            "device=v/c=2,alias=gpu",
            "network.host,security.insecure",
        ];
        let all = entitlements(&texts(&given)).unwrap();
        assert!(all.network_host && all.security_insecure && !all.devices.all);
        assert!(all.devices.names.contains("v/c=1"));
        assert_eq!(all.devices.aliases["gpu"], "v/c=2");
        assert!(entitlements(&texts(&["device"])).unwrap().devices.all);
        for wrong in ["device=v/c=1,x", "device=v/c=1,alias=", "devices", "ssh"] {
            assert!(entitlements(&texts(&[wrong])).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tags_are_checked() {
        assert_eq!(
            tags(&["a".into(), "a:latest".into(), "b:1".into()])
                .unwrap()
                .len(),
            2
        );
        assert!(tags(&["A".into()]).is_err());
        assert!(network(Some("mine")).is_err());
        assert_eq!(extra_hosts(&["db:1.2.3.4".into()]).unwrap().len(), 1);
        assert!(extra_hosts(&["db:host-gateway".into()]).is_err());
    }
}
