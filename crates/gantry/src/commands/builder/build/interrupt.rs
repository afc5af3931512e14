//! Ctrl-c during a build: the first stops it in order, the second at once.

use std::io::PipeReader;

use gantry_build::Cancellation;
use gantry_sys::signal::{self, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};

use crate::failure::CommandError;

/// SIGHUP, SIGINT and SIGTERM.
const STOPPING: [i32; 3] = [1, 2, 15];

/// Runs `work` while signals that ask to stop set `cancellation`.
pub(crate) fn guarded<T>(
    cancellation: &Cancellation,
    work: impl FnOnce() -> T,
) -> Result<T, CommandError> {
    let failed = |source| CommandError::Terminal {
        action: "watch signals of",
        source,
    };
    let signals = SignalFd::new(&STOPPING).map_err(failed)?;
    let (over, end) = std::io::pipe().map_err(failed)?;
    Ok(std::thread::scope(|scope| {
        let signals = &signals;
        scope.spawn(move || watch(signals, &over, cancellation));
        let result = work();
        // The watcher sees the other end close, also when `work` panicked.
        drop(end);
        result
    }))
}

fn watch(signals: &SignalFd, over: &PipeReader, cancellation: &Cancellation) {
    loop {
        let mut fds = [
            PollFd::new(signals, PollFlags::IN),
            PollFd::new(over, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) if !fds[1].revents().is_empty() => return,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
        }
        if matches!(signals.read(), Ok(Some(_))) {
            cancellation.cancel();
            // The next one ends this process as if nobody watched.
            if signal::reset().is_err() {
                return;
            }
        }
    }
}
