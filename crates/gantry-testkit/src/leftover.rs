//! What a finished installation must not leave on the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What one installation has of the machine beyond its folders, told by the ids of its
/// containers and the path of its folder.
#[derive(Debug, Clone, Default)]
pub struct Belongings {
    /// The folder that holds both its roots.
    pub folder: PathBuf,
    /// Ids of all containers it ever had that are known.
    pub containers: BTreeSet<String>,
    /// Names of its links and nf_tables tables, where it made any.
    pub links: BTreeSet<String>,
}

impl Belongings {
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
        left.extend(processes(&self.folder));
        left.extend(self.cgroups());
        let links = names("/sys/class/net");
        left.extend(
            self.links
                .intersection(&links)
                .map(|link| format!("link {link}")),
        );
        left
    }

    fn cgroups(&self) -> Vec<String> {
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

/// Processes whose environment or command line names the folder.
fn processes(folder: &Path) -> Vec<String> {
    let folder = folder.to_string_lossy();
    let ours = |text: &[u8]| String::from_utf8_lossy(text).contains(&*folder);
    let own = std::process::id().to_string();
    let mut left = Vec::new();
    for process in names("/proc") {
        if process == own || !process.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        if ours(&environment) || ours(&command) {
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            left.push(format!("process {process}: {command}"));
        }
    }
    left
}
