//! The processes of a container (`top`).

use std::fs;

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
    /// The processes of a running container, with the host's numbers, as `docker top` shows
    /// them by default.
    ///
    /// # Errors
    /// [`ContainerError::NotRunning`] and others.
    pub fn top(&self, name: &str) -> Result<Processes, ContainerError> {
        let (record, state) = self.look(name)?;
        if !is_live(state.status) {
            return Err(ContainerError::NotRunning {
                name: name.to_owned(),
            });
        }
        let note = Folders::of(self.engine, &record.id)
            .run_folder
            .join(CGROUP_FILE);
        let text = fs::read(&note).map_err(file("read", &note))?;
        let cgroup: CgroupHandle =
            serde_json::from_slice(&text).map_err(|error| file("read", &note)(error.into()))?;
        let mut pids = cgroup.pids().unwrap_or_default();
        pids.sort_unstable();
        let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
        Ok(Processes {
            titles: titles.map(str::to_owned).into(),
            // A process that ended meanwhile has no row.
            rows: pids.into_iter().filter_map(row).collect(),
        })
    }
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
