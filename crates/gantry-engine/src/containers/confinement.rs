//! What the host's security modules confine containers by: looked up, and AppArmor's default
//! profile loaded where there is the program for it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gantry_model::ContainerSpec;
use gantry_sys::lsm::{self, Modules};

use super::Containers;
use super::error::ContainerError;
use super::spec::labels::{self, Confinement, DEFAULT_PROFILE, Names};
use super::spec::security;

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

impl Containers<'_> {
    /// The AppArmor profile of processes that ask for none, loaded by now; `None` where there is
    /// none to be had.
    ///
    /// # Errors
    /// [`ContainerError::DefaultProfile`] when it cannot be loaded.
    pub fn default_profile(&self) -> Result<Option<String>, ContainerError> {
        let names = enforced(&ContainerSpec::default(), "")?;
        Ok(labels::given(&names.profile))
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
