//! Memory of this process that the kernel can have back while the process is idle.

use std::fs;
use std::io;

/// Gives back what a waiting process does not need: free heap, and the pages of its own program
/// that it happened to touch. They come back one by one from the page cache when they are used
/// again.
///
/// # Errors
/// The kernel's; nothing is lost then.
pub fn let_go() -> io::Result<()> {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer and only returns free heap pages to the kernel.
    unsafe {
        libc::malloc_trim(0);
    }
    let maps = fs::read_to_string("/proc/self/maps")?;
    for (start, end) in program_pages(&maps) {
        let address = start as *mut libc::c_void;
        // Without read-ahead around a page that comes back, only what is used comes back.
        for advice in [libc::MADV_RANDOM, libc::MADV_DONTNEED] {
            // SAFETY: the range is a whole mapping that /proc/self/maps says is private, not
            // writable and backed by a file, and it holds machine code or constants, which
            // nobody wrote to (there are no text relocations; what relocation does write to
            // lies behind the code): its pages are nothing but the file's content, from which
            // the kernel fills them again at the next access, this code included.
            if unsafe { libc::madvise(address, end - start, advice) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// The ranges of `/proc/self/maps` that are machine code, and the constants that linkers put
/// before it. Data behind the code that is read-only now was written once (relocations), and
/// would be lost.
fn program_pages(maps: &str) -> Vec<(usize, usize)> {
    let mut pages = Vec::new();
    let mut constants = Vec::new();
    for (range, permissions, inode) in maps.lines().filter_map(fields) {
        match permissions {
            "r--p" if inode != "0" => constants.push((range, inode)),
            "r-xp" if inode != "0" => {
                let before = constants.drain(..).filter(|(_, file)| *file == inode);
                pages.extend(before.map(|(range, _)| range));
                pages.push(range);
            }
            _ => constants.clear(),
        }
    }
    pages
}

/// Range, permissions and inode of a line of `/proc/self/maps`.
fn fields(line: &str) -> Option<((usize, usize), &str, &str)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, permissions) = (fields.next()?, fields.next()?);
    let inode = fields.nth(2)?;
    let (start, end) = range.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(((number(start)?, number(end)?), permissions, inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_and_the_constants_before_it_are_given_back() {
        let maps = "1000-2000 r--p 00000000 fe:00 12 /bin/x\n2000-3000 r-xp 00001000 fe:00 12 /bin/x\n\
            3000-4000 r--p 00002000 fe:00 12 /bin/x\n4000-5000 rw-p 00003000 fe:00 12 /bin/x\n\
            5000-6000 rw-p 00000000 00:00 0 [heap]\n6000-7000 r--p 00000000 00:00 0 [vvar]\n\
            7000-8000 r-xp 00000000 00:00 0 [vdso]\n8000-9000 r--s 00000000 fe:00 12 /x\n";
        assert_eq!(program_pages(maps), [(0x1000, 0x2000), (0x2000, 0x3000)]);
        assert!(program_pages("").is_empty());
    }

    #[test]
    fn a_process_goes_on_after_it() {
        let text = "kept".repeat(10_000);
        let_go().unwrap();
        assert_eq!(text.len(), 40_000);
    }
}
