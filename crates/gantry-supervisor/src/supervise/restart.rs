//! When a container that ended is started again: Docker's rule, pure.

use std::time::Duration;

use gantry_model::restart::RestartPolicy;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_mins(1);
/// A run of this length was a success: the next wait is the first again.
const SETTLED: Duration = Duration::from_secs(10);

/// Remembers how often and how long has been waited.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    wait: Option<Duration>,
    retries: u32,
}

impl Backoff {
    /// How long to wait before the next start; `None` when there is none.
    pub(super) fn next(
        &mut self,
        policy: RestartPolicy,
        exit_code: i32,
        stopped_by_user: bool,
        ran_for: Duration,
    ) -> Option<Duration> {
        let wait = match self.wait {
            Some(wait) if ran_for < SETTLED => (wait * 2).min(LONGEST),
            _ => FIRST,
        };
        let again = match policy {
            RestartPolicy::No => false,
            RestartPolicy::Always => true,
            RestartPolicy::UnlessStopped => !stopped_by_user,
            RestartPolicy::OnFailure { maximum_retries } => {
                exit_code != 0 && maximum_retries.is_none_or(|most| self.retries < most)
            }
        };
        if !again {
            return None;
        }
        self.wait = Some(wait);
        self.retries += 1;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_a_minute_and_start_over_after_a_long_run() {
        let mut backoff = Backoff::default();
        let mut waits = Vec::new();
        for _ in 0..12 {
            waits.push(
                backoff
                    .next(RestartPolicy::Always, 0, false, SHORT)
                    .unwrap()
                    .as_millis(),
            );
        }
        assert_eq!(
            waits,
            [
                100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000
            ]
        );
        assert_eq!(
            backoff.next(RestartPolicy::Always, 0, false, SETTLED),
            Some(FIRST)
        );
    }

    #[test]
    fn policies_decide() {
        let failing = RestartPolicy::OnFailure {
            maximum_retries: Some(2),
        };
        let endless = RestartPolicy::OnFailure {
            maximum_retries: None,
        };
        for (policy, code, by_user, again) in [
            (RestartPolicy::No, 1, false, false),
            (RestartPolicy::Always, 0, true, true),
            (RestartPolicy::UnlessStopped, 0, false, true),
            (RestartPolicy::UnlessStopped, 1, true, false),
            (failing, 0, false, false),
            (failing, 1, false, true),
            (endless, 1, true, true),
        ] {
            let got = Backoff::default()
                .next(policy, code, by_user, SHORT)
                .is_some();
            assert_eq!(got, again, "{policy} {code} {by_user}");
        }
        let mut backoff = Backoff::default();
        let tries = std::iter::from_fn(|| backoff.next(failing, 3, false, SHORT)).count();
        assert_eq!(tries, 2);
    }
}
