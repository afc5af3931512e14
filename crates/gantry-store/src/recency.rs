//! What was used before what, whatever happened to the clock.

use crate::store::now;

/// Times ahead of the clock by more than this are those of a clock that was set back: one that is
/// corrected by less soon gets there.
const AHEAD: i64 = 3600;

/// Compares times of use at one moment.
///
/// A time that is far ahead was noted before the machine's clock was set back, and so before
/// whatever was noted since: it is earlier than all others, as whose use it may never be reached
/// again.
#[derive(Debug, Clone, Copy)]
pub struct Recency {
    now: i64,
}

impl Recency {
    /// By the clock of this moment.
    #[must_use]
    pub fn now() -> Self {
        Self { now: now() }
    }

    /// Of something last used at this time (seconds since 1970): the greater the later. The number
    /// means something beside others of this value only.
    #[must_use]
    pub fn of(self, last_used: i64) -> i64 {
        if last_used <= self.now.saturating_add(AHEAD) {
            last_used
        } else {
            last_used.saturating_sub(i64::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_far_ahead_was_before_all_others() {
        let now = 1_000_000;
        let recency = Recency { now };
        let mut times = [now + 5000, now, 5, now + 30, 0, now + 4000];
        times.sort_by_key(|time| recency.of(*time));
        assert_eq!(times, [now + 4000, now + 5000, 0, 5, now, now + 30]);
    }
}
