//! What this installation is and runs on.

use std::fs;
use std::path::{Path, PathBuf};

use gantry_model::Platform;
use gantry_model::record::Status;
use gantry_sys::cgroup::Layout;
use gantry_sys::system::MountInfo;

use super::{System, SystemError};
use crate::containers::{ListOptions, Support};

/// Facts for `info` and `version`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// Containers in all.
    pub containers: u64,
    /// Those that run.
    pub running: u64,
    /// Those that are frozen.
    pub paused: u64,
    /// The others.
    pub stopped: u64,
    /// Images.
    pub images: u64,
    /// `$ROOT`.
    pub root: PathBuf,
    /// `$RUN`.
    pub run_root: PathBuf,
    /// File system of `$ROOT`.
    pub backing_filesystem: String,
    /// `1`, `2`, or `1` with an empty `2` beside it (hybrid), in words of Docker's: `1` or `2`.
    pub cgroup_version: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Name of the operating system.
    pub operating_system: String,
    /// Version of the operating system.
    pub os_version: String,
    /// As `uname -m`.
    pub architecture: String,
    /// Processors.
    pub processors: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// The host's name.
    pub host_name: String,
    /// The host's platform as images name it.
    pub platform: String,
    /// Whether the caller is not root.
    pub rootless: bool,
    /// Registries with mirrors: name and mirrors.
    pub mirrors: Vec<(String, Vec<String>)>,
    /// Registries that are trusted without TLS.
    pub insecure_registries: Vec<String>,
    /// What containers can be limited in.
    pub limits: Limits,
    /// Whether the host passes packets on between its networks.
    pub forwards: bool,
    /// The log driver of containers that name none.
    pub log_driver: String,
    /// The proxies of the caller's environment: for HTTP, for HTTPS, and what goes without.
    pub proxies: [String; 3],
}

/// What this kernel's cgroups can limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory.
    pub memory: bool,
    /// Memory and swap together.
    pub swap: bool,
    /// Whether the OOM killer can be turned off.
    pub oom_kill_disable: bool,
    /// Weights of CPU time.
    pub cpu_shares: bool,
    /// CPU time in a period.
    pub cpu_quota: bool,
    /// Which CPUs.
    pub cpuset: bool,
    /// The number of processes.
    pub pids: bool,
}

impl System<'_> {
    /// The facts.
    ///
    /// # Errors
    /// [`SystemError`] when containers or images cannot be counted.
    pub fn info(&self) -> Result<Info, SystemError> {
        let engine = self.engine;
        let mut info = Info {
            images: engine.store()?.images().ids()?.len() as u64,
            root: engine.root().to_owned(),
            run_root: engine.run_root().to_owned(),
            rootless: !engine.surroundings().root,
            ..host()
        };
        for view in engine.containers().list(ListOptions {
            all: true,
            sizes: false,
        })? {
            info.containers += 1;
            match view.state.status {
                Status::Running | Status::Restarting => info.running += 1,
                Status::Paused => info.paused += 1,
                _ => info.stopped += 1,
            }
        }
        info.backing_filesystem = file_system(engine.root());
        info.log_driver = match engine.config().log.driver.as_str() {
            "" => "json-file".to_owned(),
            driver => driver.to_owned(),
        };
        info.proxies = ["http_proxy", "https_proxy", "no_proxy"].map(|name| {
            let variables = &engine.surroundings().network;
            let found = [name.to_uppercase(), name.to_owned()]
                .into_iter()
                .find_map(|name| variables.get(&name));
            found.map_or_else(String::new, |value| value.to_string_lossy().into_owned())
        });
        for (name, registry) in &engine.config().registries {
            if !registry.mirrors.is_empty() {
                info.mirrors.push((name.clone(), registry.mirrors.clone()));
            }
            if registry.insecure {
                info.insecure_registries.push(name.clone());
            }
        }
        info.insecure_registries
            .extend(["127.0.0.0/8".to_owned(), "::1/128".to_owned()]);
        Ok(info)
    }
}

fn host() -> Info {
    let uname = rustix::system::uname();
    let release = fs::read_to_string("/etc/os-release")
        .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let words = |bytes: &std::ffi::CStr| bytes.to_string_lossy().into_owned();
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    Info {
        cgroup_version: if unified { "2" } else { "1" }.to_owned(),
        kernel: words(uname.release()),
        operating_system: os_field(&release, "PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
        os_version: os_field(&release, "VERSION_ID").unwrap_or_default(),
        architecture: words(uname.machine()),
        processors: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
        memory: memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        host_name: words(uname.nodename()),
        platform: Platform::host().to_string(),
        limits: Layout::detect().map_or_else(|_| Limits::default(), |layout| limits(&layout)),
        forwards: fs::read_to_string("/proc/sys/net/ipv4/ip_forward")
            .is_ok_and(|text| text.trim() == "1"),
        ..Info::default()
    }
}

fn limits(layout: &Layout) -> Limits {
    let support = Support::of(layout);
    Limits {
        memory: support.memory,
        swap: support.swap,
        oom_kill_disable: support.oom_kill_disable,
        cpu_shares: support.cpu_shares,
        cpu_quota: support.cpu_quota,
        cpuset: support.cpuset,
        pids: support.pids,
    }
}

/// A value of `os-release`, its quotes taken off.
fn os_field(text: &str, name: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?
        .trim();
    let bare = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(value);
    (!bare.is_empty()).then(|| bare.to_owned())
}

fn memory(meminfo: &str) -> u64 {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.map_or(0, |k| k << 10)
}

/// The type of the file system a folder is on.
fn file_system(folder: &Path) -> String {
    mount_of(folder).map_or_else(|| "unknown".to_owned(), |mount| mount.fs_type)
}

/// The mount a folder is on: of those above it the innermost.
pub(crate) fn mount_of(folder: &Path) -> Option<MountInfo> {
    let mounts = gantry_sys::system::mounts().unwrap_or_default();
    mounts
        .into_iter()
        .filter(|mount| folder.starts_with(&mount.mount_point))
        // The last of equals lies on top.
        .max_by_key(|mount| mount.mount_point.as_os_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_host_are_read() {
        let text = "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID='12'\nEMPTY=\n";
        assert_eq!(
            os_field(text, "PRETTY_NAME").as_deref(),
            Some("Debian GNU/Linux 12")
        );
        assert_eq!(os_field(text, "VERSION_ID").as_deref(), Some("12"));
        assert_eq!(os_field(text, "NAME").as_deref(), Some("x"));
        assert_eq!(os_field(text, "EMPTY"), None);
        assert_eq!(memory("MemFree: 1 kB\nMemTotal:        2048 kB\n"), 2 << 20);
        assert_eq!(memory(""), 0);
        assert_ne!(file_system(Path::new("/proc")), "unknown");
    }
}
