//! Timers to poll for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A timer that polls as readable when it has run out. Its clock does not run while the machine
/// sleeps.
#[derive(Debug)]
pub struct Timer(OwnedFd);

impl Timer {
    /// A timer that does not run.
    pub fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Timer(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    /// Runs out once after `delay`, at once when it is zero.
    pub fn set_once(&self, delay: Duration) -> io::Result<()> {
        // Zero would stop the timer.
        self.set(delay.max(Duration::from_nanos(1)), Duration::ZERO)
    }

    /// Runs out after `interval`, again and again.
    pub fn set_repeating(&self, interval: Duration) -> io::Result<()> {
        let interval = interval.max(Duration::from_nanos(1));
        self.set(interval, interval)
    }

    /// Stops.
    pub fn stop(&self) -> io::Result<()> {
        self.set(Duration::ZERO, Duration::ZERO)
    }

    /// How often it has run out since the last call.
    pub fn read(&self) -> io::Result<u64> {
        let mut count = [0; 8];
        match rustix::io::read(&self.0, &mut count) {
            Ok(_) => Ok(u64::from_ne_bytes(count)),
            Err(rustix::io::Errno::AGAIN) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }

    fn set(&self, first: Duration, interval: Duration) -> io::Result<()> {
        let spec = |duration: Duration| Timespec {
            tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: duration.subsec_nanos().into(),
        };
        let timer = Itimerspec {
            it_interval: spec(interval),
            it_value: spec(first),
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &timer)?;
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn a_timer_runs_out_once() {
        let timer = Timer::new().expect("a timer");
        assert_eq!(timer.read().expect("read"), 0);
        timer.set_once(Duration::ZERO).expect("set");
        let mut interest = [PollFd::new(&timer, PollFlags::IN)];
        poll(&mut interest, None).expect("polled");
        assert_eq!(timer.read().expect("read"), 1);
        assert_eq!(timer.read().expect("read"), 0);
        timer.set_repeating(Duration::from_millis(1)).expect("set");
        timer.stop().expect("stopped");
    }
}
