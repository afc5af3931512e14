//! Which devices the processes of a cgroup may use: a file in version 1, a BPF program in version 2.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The kind of device a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// Both kinds.
    All,
    /// Character devices.
    Character,
    /// Block devices.
    Block,
}

/// What may be done with a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceAccess {
    /// Open it for reading.
    pub read: bool,
    /// Open it for writing.
    pub write: bool,
    /// Make a node for it.
    pub mknod: bool,
}

impl DeviceAccess {
    /// Everything.
    pub const ALL: DeviceAccess = DeviceAccess {
        read: true,
        write: true,
        mknod: true,
    };

    /// From letters of `rwm`; `None` when there is another letter or none.
    pub fn parse(text: &str) -> Option<DeviceAccess> {
        let known = text.bytes().all(|letter| b"rwm".contains(&letter));
        (known && !text.is_empty()).then(|| DeviceAccess {
            read: text.contains('r'),
            write: text.contains('w'),
            mknod: text.contains('m'),
        })
    }

    /// As BPF programs get it: mknod 1, read 2, write 4.
    fn bits(self) -> i32 {
        i32::from(self.mknod) | i32::from(self.read) << 1 | i32::from(self.write) << 2
    }
}

/// One rule. Of several, the last that matches counts; what no rule matches is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DeviceRule {
    /// Whether the rule allows or refuses.
    pub allow: bool,
    /// The kind of device.
    pub kind: DeviceKind,
    /// The major number; `None` = any.
    pub major: Option<u32>,
    /// The minor number; `None` = any.
    pub minor: Option<u32>,
    /// What the rule allows or refuses.
    pub access: DeviceAccess,
}

impl DeviceRule {
    /// The rule about everything.
    pub const fn all(allow: bool) -> DeviceRule {
        DeviceRule {
            allow,
            kind: DeviceKind::All,
            major: None,
            minor: None,
            access: DeviceAccess::ALL,
        }
    }

    /// Whether the rule is about every device.
    fn is_all(&self) -> bool {
        self.kind == DeviceKind::All && self.major.is_none() && self.minor.is_none()
    }
}

impl fmt::Debug for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.allow { "allow" } else { "deny" };
        write!(f, "{verb} {self}")
    }
}

impl fmt::Display for DeviceRule {
    /// As version 1 reads it: `c 1:3 rwm`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::All => 'a',
            DeviceKind::Character => 'c',
            DeviceKind::Block => 'b',
        };
        write!(f, "{kind} ")?;
        for (number, end) in [(self.major, ':'), (self.minor, ' ')] {
            match number {
                Some(number) => write!(f, "{number}{end}")?,
                None => write!(f, "*{end}")?,
            }
        }
        let letters = [
            (self.access.read, "r"),
            (self.access.write, "w"),
            (self.access.mknod, "m"),
        ];
        letters
            .iter()
            .filter(|(has, _)| *has)
            .try_for_each(|(_, letter)| f.write_str(letter))
    }
}

/// The writes of version 1: file name and value, in order.
pub(super) fn v1_writes(rules: &[DeviceRule]) -> Vec<(&'static str, String)> {
    let mut writes = Vec::with_capacity(rules.len() + 1);
    // A new group of version 1 inherits every permission; start from nothing in both versions.
    if !rules.first().is_some_and(DeviceRule::is_all) {
        writes.push(("devices.deny", "a".to_owned()));
    }
    for rule in rules {
        let file = if rule.allow {
            "devices.allow"
        } else {
            "devices.deny"
        };
        // Version 1 knows "all" with all accesses only.
        if rule.kind == DeviceKind::All && rule.is_all() {
            writes.push((file, "a".to_owned()));
        } else if rule.kind == DeviceKind::All {
            for kind in [DeviceKind::Character, DeviceKind::Block] {
                writes.push((file, DeviceRule { kind, ..*rule }.to_string()));
            }
        } else {
            writes.push((file, rule.to_string()));
        }
    }
    writes
}

/// One BPF instruction.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u8,
    /// Destination in the low half, source in the high half.
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(
    code: u8,
    destination: u8,
    source: u8,
    offset: i16,
    immediate: i32,
) -> Instruction {
    Instruction {
        code,
        registers: destination | source << 4,
        offset,
        immediate,
    }
}

const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const AND_IMMEDIATE: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const RIGHT_SHIFT: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const MOVE_REGISTER: u8 = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
const MOVE_IMMEDIATE: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const JUMP_NOT_EQUAL: u8 = 0x56; // BPF_JMP32 | BPF_JNE | BPF_K
const JUMP_EQUAL: u8 = 0x16; // BPF_JMP32 | BPF_JEQ | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;

// Registers: 1 context, 2 kind, 3 access, 4 major, 5 minor, 6 scratch.
/// The program of version 2: 1 in register 0 allows, 0 refuses.
pub(super) fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut program = vec![
        instruction(LOAD_WORD, 2, 1, 0, 0),
        instruction(MOVE_REGISTER, 3, 2, 0, 0),
        instruction(AND_IMMEDIATE, 2, 0, 0, 0xffff),
        instruction(RIGHT_SHIFT, 3, 0, 0, 16),
        instruction(LOAD_WORD, 4, 1, 4, 0),
        instruction(LOAD_WORD, 5, 1, 8, 0),
    ];
    // The last matching rule counts, so the last is asked first.
    for rule in rules.iter().rev() {
        program.extend(rule_block(rule));
        if rule.is_all() && rule.access == DeviceAccess::ALL {
            return program;
        }
    }
    program.push(instruction(MOVE_IMMEDIATE, 0, 0, 0, 0));
    program.push(instruction(EXIT, 0, 0, 0, 0));
    program
}

fn rule_block(rule: &DeviceRule) -> Vec<Instruction> {
    let mut tests = Vec::new();
    match rule.kind {
        DeviceKind::All => {}
        DeviceKind::Character => tests.push(instruction(JUMP_NOT_EQUAL, 2, 0, 0, CHARACTER)),
        DeviceKind::Block => tests.push(instruction(JUMP_NOT_EQUAL, 2, 0, 0, BLOCK)),
    }
    if rule.access != DeviceAccess::ALL {
        tests.push(instruction(MOVE_REGISTER, 6, 3, 0, 0));
        if rule.allow {
            // Allowed only when nothing is asked for beyond the rule.
            tests.push(instruction(AND_IMMEDIATE, 6, 0, 0, !rule.access.bits()));
            tests.push(instruction(JUMP_NOT_EQUAL, 6, 0, 0, 0));
        } else {
            tests.push(instruction(AND_IMMEDIATE, 6, 0, 0, rule.access.bits()));
            tests.push(instruction(JUMP_EQUAL, 6, 0, 0, 0));
        }
    }
    for (register, number) in [(4, rule.major), (5, rule.minor)] {
        if let Some(number) = number {
            tests.push(instruction(
                JUMP_NOT_EQUAL,
                register,
                0,
                0,
                number.cast_signed(),
            ));
        }
    }
    // A failed test jumps behind the two instructions that end the block.
    let length = tests.len();
    for (index, test) in tests.iter_mut().enumerate() {
        if matches!(test.code, JUMP_NOT_EQUAL | JUMP_EQUAL) {
            test.offset = i16::try_from(length - index + 1).unwrap_or(i16::MAX);
        }
    }
    tests.push(instruction(MOVE_IMMEDIATE, 0, 0, 0, i32::from(rule.allow)));
    tests.push(instruction(EXIT, 0, 0, 0, 0));
    tests
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The part of `union bpf_attr` that loading needs.
#[repr(C)]
struct LoadAttributes {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that attaching needs.
#[repr(C)]
struct AttachAttributes {
    target: RawFd,
    program: RawFd,
    kind: u32,
    flags: u32,
    replace: RawFd,
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<i64> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of the attributes, which live across the call,
    // and the pointers in them are valid for as long (see the callers).
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Loads the rules and attaches them to a version 2 cgroup directory.
pub(super) fn attach(cgroup: BorrowedFd<'_>, rules: &[DeviceRule]) -> io::Result<()> {
    let program = program(rules);
    let license = c"Apache-2.0";
    let count = u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let loaded = bpf(
        BPF_PROG_LOAD,
        &LoadAttributes {
            kind: BPF_PROG_TYPE_CGROUP_DEVICE,
            count,
            instructions: program.as_ptr().addr() as u64,
            license: license.as_ptr().addr() as u64,
            log_level: 0,
            log_size: 0,
            log_buffer: 0,
            kernel_version: 0,
            flags: 0,
        },
    )?;
    let loaded = RawFd::try_from(loaded).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: BPF_PROG_LOAD returned a new descriptor that nobody else owns.
    let loaded = unsafe { OwnedFd::from_raw_fd(loaded) };
    bpf(
        BPF_PROG_ATTACH,
        &AttachAttributes {
            target: cgroup.as_raw_fd(),
            program: loaded.as_raw_fd(),
            kind: BPF_CGROUP_DEVICE,
            flags: BPF_F_ALLOW_MULTI,
            replace: 0,
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(
        allow: bool,
        kind: DeviceKind,
        numbers: (u32, Option<u32>),
        access: &str,
    ) -> DeviceRule {
        DeviceRule {
            allow,
            kind,
            major: Some(numbers.0),
            minor: numbers.1,
            access: DeviceAccess::parse(access).expect("a known access"),
        }
    }

    /// Runs a program as the kernel would.
    fn run(program: &[Instruction], kind: i32, access: i32, major: i32, minor: i32) -> i32 {
        let mut registers = [0i32; 7];
        let mut counter = 0usize;
        loop {
            let step = program[counter];
            counter += 1;
            let (to, from) = (
                usize::from(step.registers & 15),
                usize::from(step.registers >> 4),
            );
            let jump = usize::try_from(step.offset).unwrap_or_default();
            match step.code {
                LOAD_WORD => {
                    registers[to] = match step.offset {
                        0 => kind | access << 16,
                        4 => major,
                        _ => minor,
                    }
                }
                MOVE_REGISTER => registers[to] = registers[from],
                MOVE_IMMEDIATE => registers[to] = step.immediate,
                AND_IMMEDIATE => registers[to] &= step.immediate,
                RIGHT_SHIFT => registers[to] >>= step.immediate,
                JUMP_NOT_EQUAL if registers[to] != step.immediate => counter += jump,
                JUMP_EQUAL if registers[to] == step.immediate => counter += jump,
                EXIT => return registers[0],
                _ => {}
            }
        }
    }

    #[test]
    fn program_follows_the_rules() {
        let rules = [
            DeviceRule::all(false),
            rule(true, DeviceKind::Character, (1, Some(3)), "rwm"),
            rule(true, DeviceKind::Block, (8, None), "r"),
            rule(false, DeviceKind::Block, (8, Some(1)), "r"),
        ];
        let program = program(&rules);
        let (mknod, read, write) = (1, 2, 4);
        let cases = [
            (CHARACTER, read | write, 1, 3, 1),
            (CHARACTER, mknod, 1, 3, 1),
            (BLOCK, read, 1, 3, 0),
            (CHARACTER, read, 1, 5, 0),
            (BLOCK, read, 8, 0, 1),
            (BLOCK, read | write, 8, 0, 0),
            (BLOCK, read, 8, 1, 0),
        ];
        for (kind, access, major, minor, expected) in cases {
            assert_eq!(
                run(&program, kind, access, major, minor),
                expected,
                "{kind} {access} {major}:{minor}"
            );
        }
    }

    #[test]
    fn an_empty_list_refuses() {
        assert_eq!(run(&program(&[]), CHARACTER, 2, 1, 3), 0);
        assert_eq!(
            run(&program(&[DeviceRule::all(true)]), CHARACTER, 2, 1, 3),
            1
        );
    }

    #[test]
    fn version_1_lines() {
        let rules = [
            DeviceRule::all(false),
            rule(true, DeviceKind::Character, (1, Some(3)), "rwm"),
            rule(true, DeviceKind::All, (7, None), "rw"),
        ];
        let lines: Vec<_> = v1_writes(&rules)
            .into_iter()
            .map(|(file, value)| format!("{file}: {value}"))
            .collect();
        assert_eq!(
            lines,
            [
                "devices.deny: a",
                "devices.allow: c 1:3 rwm",
                "devices.allow: c 7:* rw",
                "devices.allow: b 7:* rw",
            ]
        );
    }
}
