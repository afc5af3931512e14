//! From the flags of `build` to a [`BuildRequest`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use gantry_build::{BuildRequest, DeviceGrants, Entitlements, HostAddress, PullPolicy, RunNetwork};
use gantry_model::{ContainerSpec, Platform, Reference};

use super::{BuildArgs, context, lent};
use crate::failure::Failure;
use crate::flags::environment::{self, Lookup};
use crate::flags::hosts;
use crate::flags::limits::LimitFlags;
use crate::flags::value::{FlagError, unfit};

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
    request.named_contexts = context::named(&args.flags.build_context)?;
    request.dockerfile = dockerfile;
    request.target = args.target.clone().filter(|name| !name.is_empty());
    request.build_args = build_args(&args.build_arg, lookup)?;
    request.proxy_args = proxies;
    request.labels = labels(&args.label)?;
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
    request.network = network(args.flags.network.as_deref())?;
    request.allow = entitlements(&args.flags.allow)?;
    args.limits.check_isolation()?;
    request.shm_size = args.limits.shm_size()?;
    request.ulimits = args.limits.ulimits()?;
    request.extra_hosts = extra_hosts(&args.flags.add_host)?;
    request.secrets = lent::secrets(&args.flags.secret, lookup)?;
    request.ssh = lent::agents(&args.flags.ssh, lookup)?;
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
        let tag: Reference = text.parse().map_err(unfit(FLAG, text))?;
        if tag.digest().is_some() {
            return Err(unfit(FLAG, text)("an image cannot be given a digest"));
        }
        if !all.contains(&tag) {
            all.push(tag);
        }
    }
    Ok(all)
}

/// A name without a value takes the caller's, and is left out where there is none.
pub(crate) fn build_args(
    texts: &[String],
    lookup: Lookup<'_>,
) -> Result<BTreeMap<String, String>, FlagError> {
    let mut all = BTreeMap::new();
    for text in texts {
        let (name, value) = pair("--build-arg", text)?;
        if let Some(value) = value.map(str::to_owned).or_else(|| lookup(name)) {
            all.insert(name.to_owned(), value);
        }
    }
    const EPOCH: &str = "SOURCE_DATE_EPOCH";
    if let (false, Some(value)) = (all.contains_key(EPOCH), lookup(EPOCH)) {
        all.insert(EPOCH.to_owned(), value);
    }
    Ok(all)
}

fn labels(texts: &[String]) -> Result<BTreeMap<String, String>, FlagError> {
    let label = |text: &String| {
        let (name, value) = pair("--label", text)?;
        Ok((name.to_owned(), value.unwrap_or_default().to_owned()))
    };
    texts.iter().map(label).collect()
}

/// `NAME[=VALUE]`
fn pair<'t>(flag: &'static str, text: &'t str) -> Result<(&'t str, Option<&'t str>), FlagError> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    if name.is_empty() {
        return Err(unfit(flag, text)("there is no name before the ="));
    }
    Ok((name, value))
}

/// Platforms in the order in which they are given: several flags, each with commas between.
fn platforms(texts: &[String]) -> Result<Vec<Platform>, Failure> {
    let names = texts.iter().flat_map(|text| text.split(','));
    let mut all = Vec::new();
    for name in names.map(str::trim).filter(|name| !name.is_empty()) {
        all.push(match name {
            "local" => Platform::host(),
            name => name.parse().map_err(unfit("--platform", name))?,
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
            let alias = alias.ok_or_else(|| unfit("--allow", text)("expected alias=NAME"))?;
            (name, Some(alias.to_owned()))
        }
    };
    match alias {
        _ if name.is_empty() => {
            return Err(unfit("--allow", "device=")(
                "it names no device: --allow device grants all of them",
            ));
        }
        Some(alias) => drop(grants.aliases.insert(alias, name.to_owned())),
        None => drop(grants.names.insert(name.to_owned())),
    }
    Ok(())
}

fn extra_hosts(texts: &[String]) -> Result<Vec<(String, HostAddress)>, FlagError> {
    let host = |text: &String| {
        let (name, address) = hosts::split(text).map_err(unfit("--add-host", text))?;
        Ok((name, address.parse().map_err(unfit("--add-host", text))?))
    };
    texts.iter().map(host).collect()
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
        )
        .unwrap();
        let got: Vec<String> = args.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(got, ["A=1", "B=x=y", "SOURCE_DATE_EPOCH=7", "USER=7"]);
        let args = build_args(&["SOURCE_DATE_EPOCH=1".into()], &lookup).unwrap();
        assert_eq!(args["SOURCE_DATE_EPOCH"], "1");
        for wrong in ["", "=", "=x"] {
            assert!(build_args(&[wrong.into()], &lookup).is_err(), "{wrong}");
            assert!(labels(&[wrong.into()]).is_err(), "{wrong}");
        }
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
        for wrong in [
            "device=v/c=1,x",
            "device=v/c=1,alias=",
            "device=",
            "device=,alias=gpu",
            "devices",
            "ssh",
        ] {
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
        let hosts = extra_hosts(&["db:1.2.3.4".into(), "up=host-gateway".into()]).unwrap();
        assert_eq!(hosts[1], ("up".to_owned(), HostAddress::Gateway));
        assert!(extra_hosts(&["db:1.2.3".into()]).is_err());
    }
}
