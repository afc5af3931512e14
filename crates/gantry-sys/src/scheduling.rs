//! When and where a process runs: scheduling, IO priority, processors, memory nodes.

use std::io;

/// A scheduling policy with its parameters (sched_setattr(2)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// Number of the policy (`SCHED_…`).
    pub policy: u32,
    /// Bits of `SCHED_FLAG_…`.
    pub flags: u64,
    /// For the ordinary policies.
    pub nice: i32,
    /// For the real-time policies.
    pub priority: u32,
    /// For the deadline policy, in nanoseconds.
    pub runtime: u64,
    /// For the deadline policy, in nanoseconds.
    pub deadline: u64,
    /// For the deadline policy, in nanoseconds.
    pub period: u64,
}

/// `struct sched_attr` in its first version.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets the scheduling of the calling thread.
pub fn set_scheduling(wanted: &Scheduling) -> io::Result<()> {
    const SIZE: u32 = 48;
    const _: () = assert!(size_of::<SchedAttr>() == SIZE as usize);
    let attributes = SchedAttr {
        size: SIZE,
        policy: wanted.policy,
        flags: wanted.flags,
        nice: wanted.nice,
        priority: wanted.priority,
        runtime: wanted.runtime,
        deadline: wanted.deadline,
        period: wanted.period,
    };
    // SAFETY: the structure has the size it says and lives across the call, which only reads it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            0,
            std::ptr::from_ref(&attributes),
            0,
        )
    };
    check(result)
}

/// Sets the IO priority of the calling thread (ioprio_set(2)): class 1 to 3, level 0 to 7.
pub fn set_io_priority(class: u8, level: u8) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_SHIFT: u32 = 13;
    let value = libc::c_int::from(class) << CLASS_SHIFT | libc::c_int::from(level);
    // SAFETY: the call takes numbers only.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, value) })
}

/// Lets the calling thread run on these processors only.
pub fn set_processors(processors: &[u32]) -> io::Result<()> {
    let mask = mask(processors);
    // SAFETY: the mask is as long as it is said to be and lives across the call, which reads it.
    check(unsafe {
        libc::syscall(
            libc::SYS_sched_setaffinity,
            0,
            mask.len() * size_of::<u64>(),
            mask.as_ptr(),
        )
    })
}

/// Sets where the memory of the calling thread comes from (set_mempolicy(2)): `mode` with its flag
/// bits, and the nodes.
pub fn set_memory_policy(mode: i32, nodes: &[u32]) -> io::Result<()> {
    let mask = mask(nodes);
    let (pointer, bits) = match nodes {
        [] => (std::ptr::null(), 0),
        // The kernel takes one bit less than it is told.
        _ => (mask.as_ptr(), mask.len() * 64 + 1),
    };
    // SAFETY: the mask has as many bits as are said to be, but for the one that the kernel does not
    // read, and lives across the call; a null mask comes with a length of 0.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) })
}

fn check(result: libc::c_long) -> io::Result<()> {
    match result {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// One bit for each number.
fn mask(numbers: &[u32]) -> Vec<u64> {
    let words = numbers.iter().max().map_or(1, |most| most / 64 + 1);
    let mut mask = vec![0; words as usize];
    for number in numbers {
        mask[(number / 64) as usize] |= 1 << (number % 64);
    }
    mask
}

/// The numbers of a list of ranges such as `0-2,7`, each below `limit`; `None` when it is no such
/// list.
pub fn parse_list(text: &str, limit: u32) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let (first, last) = (number(first)?, number(last)?);
        if first > last || last >= limit {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_become_masks() {
        assert_eq!(parse_list("0-2,7", 64), Some(vec![0, 1, 2, 7]));
        for bad in ["", "2-1", "a", "1,", "64", "-1"] {
            assert_eq!(parse_list(bad, 64), None, "{bad}");
        }
        assert_eq!(mask(&[0, 1, 2, 7]), [0b1000_0111]);
        assert_eq!(mask(&[64]), [0, 1]);
        assert_eq!(mask(&[]), [0]);
    }

    #[test]
    fn what_a_thread_has_can_be_set_again() {
        set_scheduling(&Scheduling::default()).expect("the ordinary policy");
        set_io_priority(2, 4).expect("the best-effort class");
        set_memory_policy(0, &[]).expect("the default policy");
        assert!(set_memory_policy(2, &[63]).is_err());
        assert!(set_processors(&[]).is_err());
    }
}
