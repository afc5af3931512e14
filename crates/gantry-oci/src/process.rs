//! Processes by number, as far as the state of a container depends on them.

use std::fs;

/// What `/proc/<pid>/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// One letter (proc(5)).
    pub(crate) state: char,
    /// Ticks since the machine started.
    pub(crate) start_time: u64,
}

impl Stat {
    /// Reads it; `None` when there is no such process.
    pub(crate) fn of(pid: i32) -> Option<Stat> {
        parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Whether it has ended, though nobody has asked how yet.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// The name in it is the process's own choice and may hold anything.
fn parse(text: &str) -> Option<Stat> {
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        // The 22nd of all, the first being the number and the second the name.
        start_time: fields.nth(18)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_confuse() {
        let rest = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let text = format!("12 (a) Z 9) S {rest}");
        let stat = parse(&text).unwrap();
        assert_eq!((stat.state, stat.start_time), ('S', 4711));
        let own = Stat::of(std::process::id().cast_signed()).unwrap();
        assert!(!own.has_ended() && own.start_time > 0);
        assert_eq!(parse("12 (a"), None);
    }
}
