//! What the host's security modules confine containers by: looked up, and AppArmor's default
//! profile loaded where there is the program for it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gantry_model::ContainerSpec;
use gantry_model::digest::hex_encode;
use gantry_runtime::SystemCalls;
use gantry_sys::lsm::{self, Modules};
use oci_spec::runtime::LinuxSeccomp;
use sha2::{Digest as _, Sha256};

use super::Containers;
use super::error::{ContainerError, file};
use super::spec::labels::{self, Confinement, DEFAULT_PROFILE, Names};
use super::spec::security::{self, SeccompChoice};
use super::spec::{self, SpecError, capabilities, devices, resources, seccomp};
use super::{host, support};

/// Where the program that loads profiles is.
const PARSERS: [&str; 3] = [
    "/sbin/apparmor_parser",
    "/usr/sbin/apparmor_parser",
    "/usr/local/sbin/apparmor_parser",
];

/// A container may do to itself what it likes, and nothing to what of `/proc` and `/sys` is the
/// whole machine's, whatever capabilities it is given. Who is outside may signal it, and its
/// processes each other.
const PROFILE: &str = r#"profile gantry-default flags=(attach_disconnected,mediate_deleted) {
  capability,
  network,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (send, receive) peer=gantry-default,
  ptrace (read, trace, readby, tracedby) peer=gantry-default,

  deny mount,
  deny /proc/{kcore,kmem,mem,sysrq-trigger} rwkl,
  deny /proc/sys/** wkl,
  deny /sys/** wkl,
  deny /sys/{firmware,kernel/security}/** rwkl,
}
"#;

/// The names of a container.
pub(super) fn names(spec: &ContainerSpec, id: &str) -> Result<Names, ContainerError> {
    let security = security::parse(&spec.security_opt)?;
    Ok(labels::decide(&security, spec.privileged, id, &host())?)
}

/// The same, when a process is about to be confined by them.
pub(super) fn enforced(spec: &ContainerSpec, id: &str) -> Result<Names, ContainerError> {
    let names = names(spec, id)?;
    if names.profile.is_empty() || names.profile == "unconfined" {
        return Ok(names);
    }
    // Where the list cannot be read, the kernel says it at the start.
    if lsm::is_profile_loaded(&names.profile) == Some(false) {
        if names.profile != DEFAULT_PROFILE {
            let profile = names.profile;
            return Err(ContainerError::NoProfile { profile });
        }
        load().map_err(|said| ContainerError::DefaultProfile { said })?;
    }
    Ok(names)
}

/// The text of a seccomp profile and the filter that it is for processes with these capabilities.
pub(super) fn profile(
    path: &Path,
    capabilities: &[String],
) -> Result<(Vec<u8>, LinuxSeccomp), ContainerError> {
    let text = host::read_limited(path, seccomp::MAX).map_err(file("read", path))?;
    let target = seccomp::Target {
        capabilities,
        kernel: gantry_sys::system::kernel_version(),
    };
    let filter = seccomp::parse(&text, target)?;
    Ok((text, filter))
}

impl Containers<'_> {
    /// How processes that belong to no container are confined and limited: as those of a container
    /// with the same security options, resources and parent of its cgroup. Beside it a sentence
    /// for each limit that this kernel does not have. What is loaded into the kernel is loaded
    /// then.
    ///
    /// # Errors
    /// As when such a container is made and started.
    pub fn confinement(
        &self,
        wanted: &ContainerSpec,
    ) -> Result<(gantry_runtime::Confinement, Vec<String>), ContainerError> {
        spec::check(wanted, host::cpus)?;
        let security = security::parse(&wanted.security_opt)?;
        let names = enforced(wanted, "")?;
        if !names.process.is_empty() {
            return Err(SpecError::Unsupported("--security-opt label without a container").into());
        }
        let mut asked = Vec::new();
        let seccomp = match &security.seccomp {
            SeccompChoice::Default => SystemCalls::Usual,
            SeccompChoice::Unconfined => {
                asked.push("seccomp=unconfined".to_owned());
                SystemCalls::All
            }
            SeccompChoice::File(path) => {
                let usual = capabilities::DEFAULT.map(str::to_owned);
                let (text, filter) = profile(Path::new(path), &usual)?;
                asked.push(format!("seccomp={}", hex_encode(&Sha256::digest(text))));
                SystemCalls::Profile(Box::new(filter))
            }
        };
        for (option, set) in [
            ("no-new-privileges", security.no_new_privileges),
            ("systempaths=unconfined", security.system_paths_unconfined),
        ] {
            asked.extend(set.then(|| option.to_owned()));
        }
        asked.extend(security.apparmor.map(|name| format!("apparmor={name}")));
        let mut limits = wanted.resources.clone();
        let warnings = support::fit_here(&mut limits)?;
        let confinement = gantry_runtime::Confinement {
            apparmor: labels::given(&names.profile),
            seccomp,
            no_new_privileges: security.no_new_privileges,
            open_system_paths: security.system_paths_unconfined,
            resources: resources::decide(&limits, &devices::number)?,
            cgroup_parent: spec::cgroup_parent(wanted.cgroup_parent.as_deref())?,
            asked,
        };
        Ok((confinement, warnings))
    }
}

fn host() -> Confinement {
    let modules = Modules::active();
    Confinement {
        modules,
        default_profile: modules.apparmor
            && gantry_sys::process::is_in_initial_user_namespace()
            && (parser().is_some() || lsm::is_profile_loaded(DEFAULT_PROFILE) == Some(true)),
        contexts: if modules.selinux { contexts() } else { None },
    }
}

fn parser() -> Option<&'static Path> {
    PARSERS.iter().map(Path::new).find(|path| path.exists())
}

/// What the policy in use says of containers.
fn contexts() -> Option<String> {
    let config = fs::read_to_string("/etc/selinux/config").ok()?;
    let policy = config
        .lines()
        .find_map(|line| line.trim().strip_prefix("SELINUXTYPE="))?;
    let path = ["/etc/selinux", policy.trim(), "contexts/lxc_contexts"];
    fs::read_to_string(path.iter().collect::<PathBuf>()).ok()
}

/// Loads the default profile; what it said where that fails.
fn load() -> Result<(), String> {
    let program = parser().ok_or("there is no apparmor_parser")?;
    let text = |error: std::io::Error| error.to_string();
    let mut child = Command::new(program)
        .args(["--replace", "--skip-cache"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(text)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read it says itself what is wrong.
        stdin.write_all(PROFILE.as_bytes()).ok();
    }
    let output = child.wait_with_output().map_err(text)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
