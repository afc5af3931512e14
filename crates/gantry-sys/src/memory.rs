//! Memory of this process that the kernel can have back while the process is idle.

use std::ffi::c_void;
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::mm::{Advice, madvise};

/// Sleeps until `events` is readable or `timeout` has passed, in as little memory as can be: gives
/// back free heap, the stack below this call, and the pages of its own program, which come back
/// from the page cache as they are used again.
///
/// Both in one function, because the kernel maps 64 kB around each page of a program that is
/// touched: every function on the way from giving back to sleeping would cost that much.
///
/// # Errors
/// The kernel's; nothing is lost then.
pub fn rest(events: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<()> {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes no pointer and only returns free heap pages to the kernel.
    unsafe {
        libc::malloc_trim(0);
    }
    let maps = fs::read_to_string("/proc/self/maps")?;
    let here = 0_u8;
    let mut ranges = program_pages(&maps);
    ranges.extend(unused_stack(&maps, (&raw const here).addr()));
    let timeout = timeout.map(|timeout| Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    });
    let mut events = [PollFd::from_borrowed_fd(events, PollFlags::IN)];
    drop(maps);
    match let_go_and_sleep(&ranges, &mut events, timeout.as_ref()) {
        Ok(()) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// The last steps: system calls and nothing else, which are part of this function's own code.
#[inline(never)]
fn let_go_and_sleep(
    ranges: &[(usize, usize)],
    events: &mut [PollFd<'_>; 1],
    timeout: Option<&Timespec>,
) -> Result<(), Errno> {
    for &(start, end) in ranges {
        // SAFETY: the range is one of two kinds. It is a whole mapping that /proc/self/maps says
        // is private, not writable and backed by a file, and it holds machine code or constants,
        // which nobody wrote to (there are no text relocations; what relocation does write to
        // lies behind the code): its pages are nothing but the file's content, from which the
        // kernel fills them again at the next access, this code included. Or it is the main
        // thread's stack well below the frame of this function's caller, where nothing lives
        // while that thread is here.
        unsafe { madvise(start as *mut c_void, end - start, Advice::LinuxDontNeed)? };
    }
    poll(events, timeout).map(drop)
}

/// What the frames of calls that have returned left of the main thread's stack, when that is the
/// one this is called on.
fn unused_stack(maps: &str, here: usize) -> Option<(usize, usize)> {
    /// More than the calls that follow take.
    const FRAMES: usize = 16 * 1024;
    const PAGE: usize = 4096;
    let line = maps.lines().find(|line| line.ends_with("[stack]"))?;
    let ((start, end), ..) = fields(line)?;
    let unused = here.saturating_sub(FRAMES) & !(PAGE - 1);
    (start < unused && here < end).then_some((start, unused))
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
    use std::os::fd::AsFd;

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
    fn the_stack_of_another_thread_is_left_alone() {
        let maps = "7f0000000000-7f0000100000 rw-p 00000000 00:00 0 [stack]\n";
        let top = 0x7f00_000f_0010;
        assert_eq!(
            unused_stack(maps, top),
            Some((0x7f00_0000_0000, 0x7f00_000e_c000))
        );
        assert_eq!(unused_stack(maps, 0x7f00_0020_0000), None);
        assert_eq!(unused_stack(maps, 0x7f00_0000_0100), None);
        assert_eq!(unused_stack("", top), None);
    }

    #[test]
    fn a_process_goes_on_after_it() {
        let text = "kept".repeat(10_000);
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rest(reader.as_fd(), Some(Duration::from_millis(1))).unwrap();
        assert_eq!(text.len(), 40_000);
        rustix::io::write(&writer, b"x").unwrap();
        rest(reader.as_fd(), None).unwrap();
    }
}
