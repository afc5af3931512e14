//! Seccomp profiles from files: Docker's format (with conditions) and the OCI's.

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSyscall,
};
use serde::Deserialize;

use super::SpecError;

/// Most bytes of a profile.
pub(crate) const MAX: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Vec<Arch>,
    #[serde(default)]
    arch_map: Vec<ArchMap>,
    #[serde(default)]
    flags: Vec<LinuxSeccompFilterFlag>,
    listener_path: Option<String>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Option<Vec<Arch>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Option<Conditions>,
    #[serde(default)]
    excludes: Option<Conditions>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Conditions {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// What conditions are decided by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The container's capabilities, without `CAP_`.
    pub(crate) capabilities: &'a [String],
    /// Version and patch level of the kernel.
    pub(crate) kernel: (u32, u32),
}

/// The document's filter of a profile file.
pub(crate) fn parse(text: &[u8], target: Target<'_>) -> Result<LinuxSeccomp, SpecError> {
    let bad = |reason: String| SpecError::SeccompProfile { reason };
    let profile: Profile = serde_json::from_slice(text).map_err(|error| bad(error.to_string()))?;
    if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
        return Err(bad("use either 'architectures' or 'archMap'".into()));
    }
    if profile.listener_path.is_some() {
        return Err(SpecError::Unsupported("listenerPath of a seccomp profile"));
    }
    let mut seccomp = LinuxSeccomp::default();
    seccomp.set_default_action(profile.default_action);
    seccomp.set_default_errno_ret(profile.default_errno_ret);
    let mut architectures = profile.architectures;
    let mapped = profile
        .arch_map
        .into_iter()
        .find(|map| map.architecture == native());
    if let Some(map) = mapped {
        architectures.push(map.architecture);
        architectures.extend(map.sub_architectures.unwrap_or_default());
    }
    seccomp.set_architectures((!architectures.is_empty()).then_some(architectures));
    seccomp.set_flags((!profile.flags.is_empty()).then_some(profile.flags));
    let mut syscalls = Vec::new();
    for rule in profile.syscalls {
        if let Some(syscall) = rule_for(rule, target).map_err(bad)? {
            syscalls.push(syscall);
        }
    }
    seccomp.set_syscalls((!syscalls.is_empty()).then_some(syscalls));
    Ok(seccomp)
}

fn rule_for(rule: Rule, target: Target<'_>) -> Result<Option<LinuxSyscall>, String> {
    if !rule.name.is_empty() && !rule.names.is_empty() {
        return Err(format!("use either 'name' or 'names' ({:?})", rule.name));
    }
    let mut names = rule.names;
    if !rule.name.is_empty() {
        names.push(rule.name);
    }
    let includes = rule.includes.unwrap_or_default();
    let excludes = rule.excludes.unwrap_or_default();
    if !holds(&includes, target)? || excluded(&excludes, target)? || names.is_empty() {
        return Ok(None);
    }
    let mut syscall = LinuxSyscall::default();
    syscall.set_names(names);
    syscall.set_action(rule.action);
    syscall.set_errno_ret(rule.errno_ret);
    syscall.set_args(rule.args.filter(|args| !args.is_empty()));
    Ok(Some(syscall))
}

fn has_capability(target: Target<'_>, name: &str) -> bool {
    let bare = name.strip_prefix("CAP_").unwrap_or(name);
    target.capabilities.iter().any(|held| held == bare)
}

fn at_least(kernel: (u32, u32), wanted: &str) -> Result<bool, String> {
    let parsed = wanted
        .split_once('.')
        .and_then(|(version, patch)| Some((version.parse().ok()?, patch.parse().ok()?)));
    let wanted: (u32, u32) = parsed.ok_or_else(|| format!("invalid kernel version {wanted:?}"))?;
    Ok(kernel >= wanted)
}

/// Every condition must hold; of the architectures one.
fn holds(conditions: &Conditions, target: Target<'_>) -> Result<bool, String> {
    if let Some(minimum) = &conditions.min_kernel
        && !at_least(target.kernel, minimum)?
    {
        return Ok(false);
    }
    let arches = conditions.arches.as_deref().unwrap_or_default();
    let caps = conditions.caps.as_deref().unwrap_or_default();
    Ok(
        (arches.is_empty() || arches.iter().any(|arch| arch == native_name()))
            && caps.iter().all(|name| has_capability(target, name)),
    )
}

/// One condition is enough.
fn excluded(conditions: &Conditions, target: Target<'_>) -> Result<bool, String> {
    if let Some(minimum) = &conditions.min_kernel
        && at_least(target.kernel, minimum)?
    {
        return Ok(true);
    }
    let arches = conditions.arches.as_deref().unwrap_or_default();
    let caps = conditions.caps.as_deref().unwrap_or_default();
    Ok(arches.iter().any(|arch| arch == native_name())
        || caps.iter().any(|name| has_capability(target, name)))
}

const fn native() -> Arch {
    if cfg!(target_arch = "aarch64") {
        Arch::ScmpArchAarch64
    } else {
        Arch::ScmpArchX86_64
    }
}

const fn native_name() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &str = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": null}
        ],
        "syscalls": [
            {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": null,
             "comment": "", "includes": {}, "excludes": {}},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]},
             "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
            {"names": ["breakpoint"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}}
        ]}"#;

    fn names(capabilities: &[&str], kernel: (u32, u32)) -> Vec<String> {
        let capabilities: Vec<String> = capabilities.iter().map(ToString::to_string).collect();
        let target = Target {
            capabilities: &capabilities,
            kernel,
        };
        let seccomp = parse(DOCKER.as_bytes(), target).unwrap();
        seccomp
            .syscalls()
            .iter()
            .flatten()
            .flat_map(|rule| rule.names().clone())
            .collect()
    }

    #[test]
    fn conditions_decide() {
        assert_eq!(names(&[], (6, 1)), ["read", "write", "clone", "ptrace"]);
        assert_eq!(names(&["SYS_ADMIN"], (4, 4)), ["read", "write", "mount"]);
    }

    #[test]
    fn the_ocis_format_is_read() {
        let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
            "syscalls":[{"name":"chmod","action":"SCMP_ACT_ERRNO","errnoRet":38}]}"#;
        let seccomp = parse(
            text.as_bytes(),
            Target {
                capabilities: &[],
                kernel: (6, 1),
            },
        )
        .unwrap();
        let rules = seccomp.syscalls().as_ref().unwrap();
        assert_eq!(
            (rules[0].names()[0].as_str(), rules[0].errno_ret()),
            ("chmod", Some(38))
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let target = Target {
            capabilities: &[],
            kernel: (6, 1),
        };
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"defaultAction":"X"}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_LOG"}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","action":"SCMP_ACT_LOG","includes":{"minKernel":"x"}}]}"#,
        ] {
            assert!(parse(bad.as_bytes(), target).is_err(), "{bad}");
        }
    }
}
