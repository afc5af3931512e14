//! Open files: passing them to other processes, taking inherited ones, moving bytes between them.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, OFlags, SealFlags};
use rustix::io::{Errno, FdFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// A pipe: the end to read from and the end to write to, both closed on exec.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// A pair of connected sockets that keep messages apart, both closed on exec.
pub fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// The most descriptors one message carries here.
pub const MOST_PASSED: usize = 16;

/// Sends bytes and descriptors over a unix socket, all or nothing on one that keeps messages
/// apart. Returns how many bytes were sent.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_PASSED))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let data = [IoSlice::new(bytes)];
    Ok(rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(&socket, &data, &mut control, SendFlags::NOSIGNAL)
    })?)
}

/// A message with the descriptors that came along, closed on exec.
#[derive(Debug, Default)]
pub struct Message {
    /// How many bytes came; 0 at the end of the stream.
    pub length: usize,
    /// The descriptors that came along.
    pub fds: Vec<OwnedFd>,
}

/// Receives bytes and descriptors from a unix socket. A message longer than the buffer, or with
/// more descriptors than [`MOST_PASSED`], is refused.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Message> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_PASSED))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut data = [IoSliceMut::new(buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(&socket, &mut data, &mut control, flags) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
    if received.flags.intersects(cut) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Message {
        length: received.bytes,
        fds,
    })
}

/// The inherited descriptors that were taken already, by number.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Takes a descriptor that this process was started with at a known number (3 to 63), and sets it
/// to be closed on exec. A number that is not open, is taken already, or belongs to a file this
/// process opened itself is refused.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if !(3..64).contains(&number) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the borrow ends within this function, and a closed number gives EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = rustix::io::fcntl_getfd(borrowed)?;
    // Every file that this process opens is closed on exec, an inherited one never is.
    let bit = 1 << number;
    if flags.contains(FdFlags::CLOEXEC) || TAKEN.fetch_or(bit, Ordering::SeqCst) & bit != 0 {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, nobody in this process opened it, and no second call hands it out.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A file in memory that nobody can change any more.
pub fn sealed(name: &str, content: &[u8]) -> io::Result<OwnedFd> {
    let file = memory_file(name)?;
    write_all(&file, content)?;
    seal(&file)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file)
}

/// An empty file in memory that can be [`seal`]ed.
pub fn memory_file(name: &str) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(rustix::fs::memfd_create(name, flags)?)
}

/// Makes a file in memory unchangeable for ever.
pub fn seal(file: impl AsFd) -> io::Result<()> {
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    Ok(rustix::fs::fcntl_add_seals(file, seals)?)
}

/// Writes everything.
pub fn write_all(file: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&file, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Where an open file is, as the kernel names it for this process.
pub fn path_of(file: impl AsFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

/// Sets whether reading and writing give up instead of waiting.
pub fn set_nonblocking(file: impl AsFd, nonblocking: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(&file)?;
    flags.set(OFlags::NONBLOCK, nonblocking);
    Ok(rustix::fs::fcntl_setfl(&file, flags)?)
}

/// Makes `to` share the blocks of `from` (copy on write). Says whether the file system could.
pub fn reflink(from: impl AsFd, to: impl AsFd) -> io::Result<bool> {
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::XDEV | Errno::NOTTY | Errno::NOSYS) => {
            Ok(false)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Copies from the offset of `from` to its end to the offset of `to`, without the bytes passing
/// through this process where the kernel can. Returns how many there were.
pub fn copy(from: impl AsFd, to: impl AsFd) -> io::Result<u64> {
    const MOST: usize = 1 << 30;
    let mut total = 0u64;
    loop {
        match rustix::fs::copy_file_range(&from, None, &to, None, MOST) {
            Ok(0) if total > 0 => return Ok(total),
            // Some special files claim to be empty here.
            Ok(0) => break,
            Ok(length) => total = total.saturating_add(length as u64),
            Err(Errno::INTR) => {}
            Err(
                Errno::XDEV
                | Errno::INVAL
                | Errno::NOSYS
                | Errno::OPNOTSUPP
                | Errno::BADF
                | Errno::PERM,
            ) if total == 0 => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match rustix::io::read(&from, &mut buffer[..]) {
            Ok(0) => return Ok(total),
            Ok(length) => {
                write_all(&to, &buffer[..length])?;
                total = total.saturating_add(length as u64);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Sets every descriptor from `first` on to be closed on exec.
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: no descriptor is closed by this flag.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes `fd` appear at the number `target` as well, kept open on exec, whatever was there before.
/// Only standard streams (0, 1, 2) may be replaced: no owner of theirs exists that would notice.
pub fn replace_standard(fd: impl AsFd, target: RawFd) -> io::Result<()> {
    let fd = fd.as_fd();
    match target {
        0 => rustix::stdio::dup2_stdin(fd)?,
        1 => rustix::stdio::dup2_stdout(fd)?,
        2 => rustix::stdio::dup2_stderr(fd)?,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    Ok(())
}

/// Duplicates a descriptor to a number of at least `lowest`, closed on exec.
pub fn duplicate_above(fd: impl AsFd, lowest: RawFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, lowest)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};

    use super::*;

    #[test]
    fn descriptors_travel() {
        let (left, right) = socket_pair().expect("sockets");
        let (reader, writer) = pipe().expect("a pipe");
        send(&left, b"hello", &[writer.as_fd()]).expect("sent");
        drop(writer);
        let mut buffer = [0; 16];
        let mut message = receive(&right, &mut buffer).expect("received");
        assert_eq!(&buffer[..message.length], b"hello");
        let writer = message.fds.pop().expect("a descriptor");
        write_all(&writer, b"through").expect("written");
        drop(writer);
        let mut text = String::new();
        std::fs::File::from(reader)
            .read_to_string(&mut text)
            .expect("read");
        assert_eq!(text, "through");
        drop(left);
        assert_eq!(receive(&right, &mut buffer).expect("the end").length, 0);
    }

    #[test]
    fn long_messages_are_refused() {
        let (left, right) = socket_pair().expect("sockets");
        send(&left, &[1; 20], &[]).expect("sent");
        assert!(receive(&right, &mut [0; 4]).is_err());
    }

    #[test]
    fn sealed_files_stay() {
        let file = sealed("test", b"content").expect("sealed");
        let mut file = std::fs::File::from(file);
        let mut text = String::new();
        file.read_to_string(&mut text).expect("read");
        assert_eq!(text, "content");
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }

    #[test]
    fn own_files_are_not_inherited() {
        let (reader, _writer) = pipe().expect("a pipe");
        let number = reader.as_raw_fd();
        assert!(inherited(number).is_err());
        assert!(inherited(0).is_err());
        assert!(inherited(63).is_err());
    }

    #[test]
    fn copies_of_files_and_of_proc() {
        let mut from = tempfile::tempfile().expect("a file");
        from.write_all(&[9; 300_000]).expect("written");
        from.seek(SeekFrom::Start(0)).expect("rewound");
        let to = tempfile::tempfile().expect("a file");
        assert_eq!(copy(&from, &to).expect("copied"), 300_000);
        let special = std::fs::File::open("/proc/self/status").expect("opened");
        assert!(copy(&special, &to).expect("copied") > 0);
    }
}
