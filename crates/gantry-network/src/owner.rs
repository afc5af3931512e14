//! Telling whether the process that holds an endpoint still lives.

use std::fs;

use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

/// A process, told apart from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// Its number.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot; `None` if it could not be learnt.
    pub(crate) start: Option<u64>,
}

impl Owner {
    /// The process with this number, as it is now.
    pub(crate) fn of(pid: u32) -> Owner {
        Owner {
            pid,
            start: start_time(pid),
        }
    }

    /// Whether it certainly is gone; one system call, so a reused number goes unnoticed.
    pub(crate) fn is_gone_at_a_glance(&self) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        match pid.map(test_kill_process) {
            Some(result) => result == Err(rustix::io::Errno::SRCH),
            None => true,
        }
    }

    /// Whether it is gone, also when its number belongs to another process by now.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone_at_a_glance()
            || start_time(self.pid).is_none_or(|now| self.start.is_some_and(|start| start != now))
    }
}

/// When a process started; `None` if it is gone or only its zombie is left.
fn start_time(pid: u32) -> Option<u64> {
    parse_start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of `/proc/<pid>/stat`; the command in field 2 may hold blanks and parentheses.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // Field 3 is taken; 22 is the 19th of those that follow it.
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_are_found_behind_any_name() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(
            parse_start_time(&format!("7 (a b) c) S {tail}")),
            Some(4711)
        );
        assert_eq!(parse_start_time(&format!("7 (a) Z {tail}")), None);
        assert_eq!(parse_start_time("7 (a) S 1 2"), None);
        assert_eq!(parse_start_time(""), None);
    }

    #[test]
    fn the_living_and_the_gone_are_told_apart() {
        let own = Owner::of(std::process::id());
        assert!(own.start.is_some() && !own.is_gone());
        let reused = Owner {
            start: own.start.map(|start| start + 1),
            ..own
        };
        assert!(reused.is_gone() && !reused.is_gone_at_a_glance());
        let never = Owner {
            pid: u32::MAX,
            start: None,
        };
        assert!(never.is_gone_at_a_glance());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(
            Owner {
                pid,
                start: Some(1)
            }
            .is_gone()
        );
    }
}
