//! Whether the clock of the machine was set back between two moments.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds by which the two clocks may drift apart in any time, and for each second: what
/// adjusts a clock without setting it does no more.
const DRIFT: i128 = 1_000_000_000;
const DRIFT_OF_A_SECOND: i128 = 1_000_000;

/// A moment by two clocks: one that says what time it is, and can be set, and one that cannot, but
/// begins anew with each start of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// Which start of the machine, as a UUID without its hyphens; zeros where that is not known.
    boot: [u8; 32],
    /// Nanoseconds since then.
    since_boot: i128,
    /// Nanoseconds since 1970.
    time: i128,
}

impl Moment {
    /// Bytes of an encoded one.
    pub(super) const SIZE: usize = 32 + 16 + 16;

    /// The present.
    pub(super) fn now() -> Self {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        let since_boot = clock_gettime(ClockId::Boottime);
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            boot: digits.try_into().unwrap_or_default(),
            since_boot: i128::from(since_boot.tv_sec) * 1_000_000_000
                + i128::from(since_boot.tv_nsec),
            time: time.map_or_else(
                |before| -signed(before.duration().as_nanos()),
                |after| signed(after.as_nanos()),
            ),
        }
    }

    /// Whether this one comes after `then` by both clocks, and neither was set back in between.
    pub(super) fn can_follow(&self, then: &Self) -> bool {
        if self.time < then.time {
            return false;
        }
        // What happened to the clock while the machine was off nobody knows but itself.
        if self.boot != then.boot {
            return true;
        }
        let passed = self.since_boot - then.since_boot;
        let slack = DRIFT + passed / 1_000_000_000 * DRIFT_OF_A_SECOND;
        passed >= 0 && self.time - then.time + slack >= passed
    }

    /// The same, by a clock that is so many seconds ahead.
    #[cfg(test)]
    pub(super) fn moved(&self, seconds: i128) -> Self {
        Self {
            time: self.time + seconds * 1_000_000_000,
            ..self.clone()
        }
    }

    pub(super) fn encode(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..32].copy_from_slice(&self.boot);
        bytes[32..48].copy_from_slice(&self.since_boot.to_be_bytes());
        bytes[48..].copy_from_slice(&self.time.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (boot, times) = bytes.split_first_chunk()?;
        let (since_boot, time) = times.split_first_chunk()?;
        Some(Self {
            boot: *boot,
            since_boot: i128::from_be_bytes(*since_boot),
            time: i128::from_be_bytes(time.try_into().ok()?),
        })
    }
}

fn signed(nanoseconds: u128) -> i128 {
    i128::try_from(nanoseconds).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot: u8, since_boot: i128, time: i128) -> Moment {
        Moment {
            boot: [boot; 32],
            since_boot: since_boot * 1_000_000_000,
            time: time * 1_000_000_000,
        }
    }

    #[test]
    fn a_clock_that_was_set_back_is_noticed() {
        let then = at(1, 1_000, 50_000);
        for (now, follows) in [
            (at(1, 1_000, 50_000), true),
            (at(1, 1_600, 50_600), true),
            // Adjusted slowly, or set forward.
            (at(1, 1_000_000, 1_048_600), true),
            (at(1, 1_600, 99_999), true),
            // Set back, although later than then.
            (at(1, 1_600, 50_500), false),
            (at(1, 1_600, 49_000), false),
            // A time namespace, or a clock that is none.
            (at(1, 900, 50_100), false),
            // After a start nothing but the time is known.
            (at(2, 10, 50_001), true),
            (at(2, 10, 49_999), false),
        ] {
            assert_eq!(now.can_follow(&then), follows, "{now:?}");
        }
    }

    #[test]
    fn a_moment_is_read_as_it_was_written() {
        let now = Moment::now();
        assert_eq!(Moment::decode(&now.encode()), Some(now.clone()));
        assert_eq!(Moment::decode(&now.encode()[1..]), None);
        assert!(now.boot != [0; 32] && now.since_boot > 0 && now.time > 0);
        assert!(Moment::now().can_follow(&now));
    }
}
