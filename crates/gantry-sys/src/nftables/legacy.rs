//! The older packet filter (`iptables-legacy`), only to see whether it is in the way.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// Length of `struct ipt_getinfo`.
const INFO: usize = 84;
/// Where the entries begin in `struct ipt_get_entries`.
const ENTRIES: usize = 40;
/// The hook for forwarded packets.
const FORWARD: usize = 2;
/// More than any table: the kernel's own limit is lower.
const LARGEST_TABLE: usize = 64 * 1024 * 1024;

const IN_INTERFACE: usize = 16;
const OUT_INTERFACE: usize = 32;
const INTERFACE_LENGTH: usize = 16;
const TARGET_OFFSET: usize = 88;
const NEXT_OFFSET: usize = 90;
/// From a target's start to a standard target's verdict.
const VERDICT: usize = 32;
/// `-NF_DROP - 1`
const DROP: i32 = -1;

/// What becomes of forwarded packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyForward {
    /// Whether those that no rule decides are dropped.
    pub drops: bool,
    /// Interfaces that rules of the chain name.
    pub interfaces: Vec<String>,
}

/// The FORWARD chain of the table `filter`. Asking makes the kernel set up the table if it is
/// not there: look at `/proc/net/ip_tables_names` first.
pub fn forward() -> io::Result<LegacyForward> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_INET, kind, libc::IPPROTO_RAW) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was just opened and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut info = [0; INFO];
    info[..6].copy_from_slice(b"filter");
    read_option(&socket, GET_INFO, &mut info)?;
    let odd = || io::Error::from(io::ErrorKind::InvalidData);
    let size = word(&info, 80)
        .filter(|size| *size <= LARGEST_TABLE)
        .ok_or_else(odd)?;
    let mut table = vec![0; ENTRIES + size];
    table[..6].copy_from_slice(b"filter");
    let length = u32::try_from(size).map_err(|_| odd())?;
    table[32..36].copy_from_slice(&length.to_ne_bytes());
    read_option(&socket, GET_ENTRIES, &mut table)?;
    let start = word(&info, 36 + 4 * FORWARD).ok_or_else(odd)?;
    let policy = word(&info, 56 + 4 * FORWARD).ok_or_else(odd)?;
    parse(&table[ENTRIES..], start, policy).ok_or_else(odd)
}

fn read_option(socket: &OwnedFd, option: libc::c_int, buffer: &mut [u8]) -> io::Result<()> {
    let mut length = libc::socklen_t::try_from(buffer.len())
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the buffer is readable and writable for `length` bytes.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            option,
            buffer.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_ne_bytes(*word)).ok()
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    bytes
        .get(at..)?
        .first_chunk::<2>()
        .map(|half| usize::from(u16::from_ne_bytes(*half)))
}

/// The chain whose first entry is at `start` and whose policy is at `policy`.
fn parse(entries: &[u8], start: usize, policy: usize) -> Option<LegacyForward> {
    let last = entries.get(policy..)?;
    let verdict = half(last, TARGET_OFFSET)?.checked_add(VERDICT)?;
    let verdict = i32::from_ne_bytes(*last.get(verdict..)?.first_chunk()?);
    let mut interfaces = Vec::new();
    let mut at = start;
    while at < policy {
        let entry = entries.get(at..)?;
        for offset in [IN_INTERFACE, OUT_INTERFACE] {
            let name = entry.get(offset..offset + INTERFACE_LENGTH)?;
            let name = name.split(|byte| *byte == 0).next().unwrap_or(name);
            if !name.is_empty() {
                interfaces.push(String::from_utf8_lossy(name).into_owned());
            }
        }
        // An entry is longer than nothing, or this would not end.
        at = at.checked_add(half(entry, NEXT_OFFSET).filter(|length| *length > 0)?)?;
    }
    Some(LegacyForward {
        drops: verdict == DROP,
        interfaces,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_table_breaks_the_reader(
            bytes in prop::collection::vec(any::<u8>(), 0..600), start in 0_usize..700, policy in 0_usize..700
        ) {
            drop(parse(&bytes, start, policy));
        }
    }
}
