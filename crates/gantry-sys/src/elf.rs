//! What a program says of itself in its headers (ELF, `elf(5)`).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of a program in which its headers are looked for.
const HEAD: u64 = 64 << 10;
/// The header of the loader that a program asks for.
const PT_INTERP: u64 = 3;

/// Whether this is a program that asks for no loader, and so for no libraries: it runs in a root
/// file system that has nothing else. Only programs of 64 bits with the smallest byte first are
/// known.
///
/// # Errors
/// The file cannot be read.
pub fn is_static(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(has_loader(&head) == Some(false))
}

/// Whether a program that begins like this asks for a loader; `None` where it is no such program,
/// or its headers are elsewhere.
fn has_loader(head: &[u8]) -> Option<bool> {
    if head.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = head.get(at..at.checked_add(length)?)?.iter().rev();
        Some(bytes.fold(0, |all, byte| all << 8 | u64::from(*byte)))
    };
    let (first, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for header in 0..count {
        let at = usize::try_from(first.checked_add(header * size)?).ok()?;
        if number(at, 4)? == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_programs_are_told_apart() {
        let is_static = |path: &str| is_static(Path::new(path));
        assert!(is_static("/bin/busybox").expect("read"));
        assert!(!is_static("/bin/sh").expect("read"));
        assert!(!is_static("/bin/ls").expect("read"));
        assert!(!is_static("/etc/passwd").expect("read"));
        assert!(is_static("/nonesuch").is_err());
    }

    #[test]
    fn headers_that_lead_nowhere_are_no_program() {
        let mut head = std::fs::read("/bin/busybox").expect("read");
        head.truncate(4096);
        assert_eq!(has_loader(&head), Some(false));
        assert_eq!(has_loader(&head[..60]), None, "cut off");
        head[32..40].copy_from_slice(&[0xff; 8]);
        assert_eq!(has_loader(&head), None, "beyond the end");
    }
}
