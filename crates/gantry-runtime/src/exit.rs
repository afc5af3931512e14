//! How a process ended.

use serde::{Deserialize, Serialize};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// It exited by itself.
    Exited {
        /// The code it gave.
        code: i32,
    },
    /// A signal ended it.
    Signaled {
        /// The number of the signal.
        signal: i32,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
}

impl ExitStatus {
    /// Decodes the status word of `waitpid`; `None` for a stopped or continued process.
    pub fn from_wait_status(status: i32) -> Option<ExitStatus> {
        let signal = status & 0x7f;
        match signal {
            0 => Some(ExitStatus::Exited {
                code: (status >> 8) & 0xff,
            }),
            0x7f => None,
            _ => Some(ExitStatus::Signaled {
                signal,
                core_dumped: status & 0x80 != 0,
            }),
        }
    }

    /// The exit code as a shell and Docker give it: a signal counts as 128 + its number.
    pub fn code(self) -> i32 {
        match self {
            ExitStatus::Exited { code } => code,
            ExitStatus::Signaled { signal, .. } => 128 + signal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_status_decodes() {
        let cases = [
            (0, Some(ExitStatus::Exited { code: 0 }), Some(0)),
            (0x0300, Some(ExitStatus::Exited { code: 3 }), Some(3)),
            (
                9,
                Some(ExitStatus::Signaled {
                    signal: 9,
                    core_dumped: false,
                }),
                Some(137),
            ),
            (
                0x8b,
                Some(ExitStatus::Signaled {
                    signal: 11,
                    core_dumped: true,
                }),
                Some(139),
            ),
            (0x137f, None, None),
            (0xffff, None, None),
        ];
        for (word, status, code) in cases {
            assert_eq!(ExitStatus::from_wait_status(word), status, "{word:#x}");
            assert_eq!(status.map(ExitStatus::code), code, "{word:#x}");
        }
    }
}
