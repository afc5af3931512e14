//! Waiting for more of a log.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use gantry_supervisor::client::Session;
use gantry_supervisor::log::LogFiles;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;

/// What tells that there is more to read, or that there never will be.
#[derive(Debug)]
pub(super) struct Follower {
    notes: OwnedFd,
    /// Ends when the container does.
    session: Option<Session>,
}

impl Follower {
    pub(super) fn new(settings: &LogFiles, session: Option<Session>) -> io::Result<Self> {
        let notes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        // The folder: its files are written, renamed and made anew.
        let folder = settings.path.parent().unwrap_or(&settings.path);
        let flags = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::DELETE_SELF;
        inotify::add_watch(&notes, folder, flags)?;
        Ok(Self { notes, session })
    }

    /// Waits for more to read. False once the container has ended: what is there then is all.
    pub(super) fn wait(&mut self) -> io::Result<bool> {
        let Some(session) = &mut self.session else {
            return Ok(false);
        };
        let mut fds = [
            PollFd::new(&self.notes, PollFlags::IN),
            PollFd::from_borrowed_fd(session.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ended = !fds[1].revents().is_empty();
        let mut scratch = [0_u8; 4096];
        while rustix::io::read(&self.notes, &mut scratch[..]).is_ok_and(|count| count > 0) {}
        if ended {
            self.session = None;
        }
        Ok(!ended)
    }
}
