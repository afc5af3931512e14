//! The processes of a container (`top`).

use std::fs;
use std::io;
use std::process::Command;

use gantry_runtime::CgroupHandle;
use gantry_supervisor::CGROUP_FILE;

use super::Containers;
use super::error::{ContainerError, file};
use super::folders::Folders;
use super::status::is_live;

/// What `ps -ef` says of a container's processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Processes {
    /// Names of the columns.
    pub titles: Vec<String>,
    /// One row for each process.
    pub rows: Vec<Vec<String>>,
}

/// Clock ticks in a second: what the kernel's interface promises, whatever its own clock.
const TICKS: u64 = 100;

impl Containers<'_> {
    /// The processes of a running container, with the host's numbers. Without options these are
    /// the columns of `ps -ef`, told by the kernel itself; with some the host's `ps` is asked, as
    /// Docker does.
    ///
    /// # Errors
    /// [`ContainerError::NotRunning`], [`ContainerError::Ps`] and others.
    pub fn top(&self, name: &str, options: &[String]) -> Result<Processes, ContainerError> {
        let (record, state) = self.look(name)?;
        if !is_live(state.status) {
            return Err(ContainerError::NotRunning {
                name: name.to_owned(),
            });
        }
        self.engine.tell_of(&record, "top", &[]);
        let note = Folders::of(self.engine, &record.id)
            .run_folder
            .join(CGROUP_FILE);
        let mut pids = match fs::read(&note) {
            Ok(text) => {
                let cgroup: CgroupHandle = serde_json::from_slice(&text)
                    .map_err(|error| file("read", &note)(error.into()))?;
                cgroup.pids().unwrap_or_default()
            }
            // Without root and a delegated cgroup there is none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                namespace_pids(state.pid.unwrap_or_default())
            }
            Err(error) => return Err(file("read", &note)(error)),
        };
        pids.sort_unstable();
        if !options.is_empty() && options.join(" ") != "-ef" {
            return listed(options, &pids);
        }
        let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
        Ok(Processes {
            titles: titles.map(str::to_owned).into(),
            // A process that ended meanwhile has no row.
            rows: pids.into_iter().filter_map(row).collect(),
        })
    }
}

/// The processes in the PID namespace of one of them, as far as this user may look.
pub(super) fn namespace_pids(pid: u32) -> Vec<i32> {
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = i32::try_from(pid).ok().and_then(namespace);
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    names
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| wanted.is_some() && namespace(*pid) == wanted)
        .collect()
}

/// What the host's `ps` says with these options of the processes.
fn listed(options: &[String], pids: &[i32]) -> Result<Processes, ContainerError> {
    let failed = |reason: String| ContainerError::Ps { reason };
    let output = Command::new("ps")
        .args(options)
        .output()
        .map_err(|error| failed(format!("cannot start ps: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: String = said.trim().chars().take(400).collect();
        return Err(failed(format!("ps: {said}")));
    }
    table(&String::from_utf8_lossy(&output.stdout), pids)
        .ok_or_else(|| failed("Couldn't find PID field in ps output".into()))
}

/// The lines of these processes; `None` when there is no column of their numbers.
fn table(text: &str, pids: &[i32]) -> Option<Processes> {
    let mut lines = text.lines();
    let titles: Vec<String> = lines
        .next()?
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    let at = titles.iter().position(|title| title == "PID")?;
    let rows = lines.filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let pid: i32 = words.get(at)?.parse().ok()?;
        if !pids.contains(&pid) {
            return None;
        }
        // The last column may hold spaces.
        let own = words.len().min(titles.len() - 1);
        let mut row: Vec<String> = words[..own].iter().map(|word| (*word).to_owned()).collect();
        row.push(words[own..].join(" "));
        Some(row)
    });
    let rows = rows.collect();
    Some(Processes { titles, rows })
}

fn row(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let name = &stat[stat.find('(')? + 1..stat.rfind(')')?];
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..]
        .split_ascii_whitespace()
        .collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    let used = (number(11)? + number(12)?) / TICKS;
    let started = number(19)? / TICKS;
    let uid = fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()?
        .lines()
        .find_map(|line| {
            line.strip_prefix("Uid:")?
                .split_ascii_whitespace()
                .nth(1)
                .map(str::to_owned)
        })?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command)
        .trim_end_matches('\0')
        .replace('\0', " ");
    let command = if command.is_empty() {
        format!("[{name}]")
    } else {
        command
    };
    Some(vec![
        user_name(&uid),
        pid.to_string(),
        (*fields.get(1)?).to_owned(),
        "0".to_owned(),
        start_time(started),
        terminal(number(4)?),
        format!("{:02}:{:02}:{:02}", used / 3600, used / 60 % 60, used % 60),
        command,
    ])
}

/// The host's name of a user, as `ps` on the host shows it.
fn user_name(uid: &str) -> String {
    let passwd = fs::read("/etc/passwd").unwrap_or_default();
    let found = gantry_sys::users::parse_passwd(&passwd).find(|user| user.uid.to_string() == uid);
    found.map_or_else(|| uid.to_owned(), |user| user.name)
}

fn start_time(seconds_since_boot: u64) -> String {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let up: u64 = uptime
        .split(['.', ' '])
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let ago = i64::try_from(up.saturating_sub(seconds_since_boot)).unwrap_or(0);
    let start = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(ago);
    start
        .to_zoned(jiff::tz::TimeZone::system())
        .strftime("%H:%M")
        .to_string()
}

fn terminal(number: u64) -> String {
    let (major, minor) = (
        (number >> 8) & 0xfff,
        (number & 0xff) | ((number >> 12) & 0xfff00),
    );
    match major {
        0 => "?".to_owned(),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 => format!("tty{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_ps_are_chosen_by_their_pid() {
        let text = "USER  PID ARGS\nroot    1 init\nbob    12 sleep  100 x\nbob  123 sh\n";
        let found = table(text, &[12, 99]).unwrap();
        assert_eq!(found.titles, ["USER", "PID", "ARGS"]);
        assert_eq!(found.rows, [["bob", "12", "sleep 100 x"]]);
        assert_eq!(table("COMMAND\nsh\n", &[12]), None);
        assert_eq!(table("", &[12]), None);
    }
}
