//! Doing the same for several things at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many processors there are for us.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Does `work` for each job, in their order, on as many threads as there are processors but at
/// least `fewest` (and no more than jobs). The first failure counts; when it is there no further
/// job begins, and the running ones are told by the flag.
pub(crate) fn each<T: Send, E: Send>(
    mut jobs: Vec<T>,
    fewest: usize,
    work: impl Fn(T, &AtomicBool) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let threads = jobs.len().min(processors().max(fewest));
    jobs.reverse();
    let queue = Mutex::new(jobs);
    let failure = Mutex::new(None);
    let stop = AtomicBool::new(false);
    let run = || {
        while !stop.load(Ordering::Relaxed) {
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(job) = job else { return };
            if let Err(error) = work(job, &stop) {
                stop.store(true, Ordering::Relaxed);
                // The first is the cause; others may only have been told to stop.
                failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(run);
        }
        run();
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn all_are_done_and_the_first_failure_counts() {
        let sum = AtomicUsize::new(0);
        let add = |n: usize, _: &AtomicBool| {
            sum.fetch_add(n, Ordering::Relaxed);
            Ok::<(), usize>(())
        };
        assert_eq!(each((1..=100).collect(), 3, add), Ok(()));
        assert_eq!(sum.into_inner(), 5050);
        assert_eq!(each(Vec::<usize>::new(), 3, |n, _| Err(n)), Ok(()));
        let fail = |n: usize, stop: &AtomicBool| match n {
            0 => Err(0),
            // Whoever runs beside it learns of it and fails later.
            n => {
                while !stop.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
                thread::yield_now();
                Err(n)
            }
        };
        assert!(each(vec![0, 1, 2, 3], 2, fail).is_err());
    }
}
