//! What a finished installation must not leave on the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gantry_network::Names;

use crate::environment::answer;

/// What one installation has of the machine beyond its folders, told by the ids of its
/// containers and the path of its folder.
#[derive(Debug, Clone, Default)]
pub struct Belongings {
    /// The folder that holds both its roots.
    pub folder: PathBuf,
    /// Ids of all containers it ever had that are known.
    pub containers: BTreeSet<String>,
    /// What its bridge and its rules are called.
    pub names: Option<Names>,
    /// Names of its containers' links.
    pub links: BTreeSet<String>,
}

impl Belongings {
    /// Those of an installation below `folder` whose containers are not known yet.
    #[must_use]
    pub fn of(folder: &Path, run_root: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            names: Some(Names::of(run_root)),
            ..Self::default()
        }
    }

    /// Waits until nothing is left; returns what still is when the time is up.
    #[must_use]
    pub fn settle(&self, patience: Duration) -> Vec<String> {
        let deadline = Instant::now() + patience;
        loop {
            let left = self.left();
            if left.is_empty() || Instant::now() >= deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn left(&self) -> Vec<String> {
        let mut left = mounts(&self.folder);
        left.extend(
            processes(&self.folder)
                .into_iter()
                .map(|process| format!("process {}: {}", process.pid, process.command)),
        );
        left.extend(self.cgroups());
        let links = names("/sys/class/net");
        let mut ours = self.links.clone();
        if let Some(names) = &self.names {
            ours.extend([names.bridge.clone(), names.tombstone.clone()]);
            left.extend(rules(names));
        }
        left.extend(ours.intersection(&links).map(|link| format!("link {link}")));
        left
    }

    /// The control groups of its containers that are still there.
    #[must_use]
    pub fn cgroups(&self) -> Vec<String> {
        let top = Path::new("/sys/fs/cgroup");
        let mut hierarchies: Vec<PathBuf> = names(top).iter().map(|name| top.join(name)).collect();
        hierarchies.push(top.to_path_buf());
        let places = hierarchies.iter().map(|hierarchy| hierarchy.join("gantry"));
        places
            .flat_map(|place| self.containers.iter().map(move |id| place.join(id)))
            .filter(|path| path.exists())
            .map(|path| format!("cgroup {}", path.display()))
            .collect()
    }
}

fn names(folder: impl AsRef<Path>) -> BTreeSet<String> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn mounts(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table
        .lines()
        .filter(|line| line.contains(&*folder))
        .map(|line| format!("mount {line}"))
        .collect()
}

/// The lines of the firewall that are an installation's.
fn rules(names: &Names) -> Vec<String> {
    let listed = answer(Command::new("nft").args(["list", "ruleset"]));
    if listed.code != 0 {
        // Somebody else's table went while it was listed: not known yet.
        return vec![format!("rules that cannot be listed: {}", listed.stderr)];
    }
    listed
        .stdout
        .lines()
        .filter(|line| {
            [&names.table, &names.bridge, &names.guest_note]
                .iter()
                .any(|name| line.split([' ', '"']).any(|word| word == name.as_str()))
        })
        .map(|line| format!("rule {}", line.trim()))
        .collect()
}

/// A process of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

/// Processes whose environment, command line, working directory or open files name the folder:
/// all of Gantry's own that work on an installation there.
#[must_use]
pub fn processes(folder: &Path) -> Vec<Process> {
    let folder = folder.to_string_lossy();
    let ours = |text: &[u8]| String::from_utf8_lossy(text).contains(&*folder);
    let own = i32::try_from(std::process::id()).ok();
    let numbers = names("/proc");
    let numbers = numbers.iter().filter_map(|name| name.parse::<i32>().ok());
    numbers
        .filter(|pid| Some(*pid) != own)
        .filter_map(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let linked = || {
                let links = names(format!("/proc/{pid}/fd"));
                let links = links.iter().map(|name| format!("fd/{name}"));
                links.chain(["cwd".to_owned()]).any(|link| {
                    let target = fs::read_link(format!("/proc/{pid}/{link}"));
                    target.is_ok_and(|target| ours(target.as_os_str().as_encoded_bytes()))
                })
            };
            (ours(&environment) || ours(&command) || linked()).then(|| Process {
                pid,
                command: String::from_utf8_lossy(&command).replace('\0', " "),
            })
        })
        .collect()
}
