//! Work done by several threads, its results taken one after the other in order.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How far the makers may be ahead of what was taken: what they made is kept in memory.
const WINDOW: usize = 16;

struct State<T, E, F> {
    /// The next one to be made.
    next: usize,
    /// How many were taken.
    taken: usize,
    ready: BTreeMap<usize, T>,
    /// Away while somebody takes.
    take: Option<F>,
    failed: Option<E>,
    /// A thread panicked: what it was making never comes.
    lost: bool,
}

struct Line<'m, M, T, E, F> {
    count: usize,
    make: &'m M,
    state: Mutex<State<T, E, F>>,
    changed: Condvar,
}

/// Makes the results 0 to `count` on `threads` threads and gives them to `take` in this order.
///
/// `start` gives each thread what `make` works with. Whoever has made the next result hands over
/// all that are ready: no thread waits as long as there is something to do. The first failure ends
/// it all.
pub(super) fn run<W, T: Send, E: Send, M, F>(
    count: usize,
    threads: usize,
    start: impl Fn() -> W + Sync,
    make: M,
    take: F,
) -> Result<(), E>
where
    M: Fn(&mut W, usize) -> Result<T, E> + Sync,
    F: FnMut(T) -> Result<(), E> + Send,
{
    let line = Line {
        count,
        make: &make,
        state: Mutex::new(State {
            next: 0,
            taken: 0,
            ready: BTreeMap::new(),
            take: Some(take),
            failed: None,
            lost: false,
        }),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(count) {
            scope.spawn(|| line.work(&mut start()));
        }
        line.work(&mut start());
    });
    let state = line
        .state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    state.failed.map_or(Ok(()), Err)
}

/// Wakes the others if its thread panics.
struct Watch<'l, 'm, M, T, E, F>(&'l Line<'m, M, T, E, F>);

impl<M, T, E, F> Drop for Watch<'_, '_, M, T, E, F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().lost = true;
            self.0.changed.notify_all();
        }
    }
}

impl<M, T, E, F> Line<'_, M, T, E, F> {
    fn lock(&self) -> MutexGuard<'_, State<T, E, F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the next one to be made; waits until there is room for it.
    fn next(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() || state.lost || state.next == self.count {
                return None;
            }
            // Whoever makes the one that is to be taken next never waits here.
            if state.next < state.taken + WINDOW {
                state.next += 1;
                return Some(state.next - 1);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fail(&self, error: E) {
        self.lock().failed.get_or_insert(error);
        self.changed.notify_all();
    }

    fn work<W>(&self, own: &mut W)
    where
        M: Fn(&mut W, usize) -> Result<T, E>,
        F: FnMut(T) -> Result<(), E>,
    {
        let _watch = Watch(self);
        while let Some(number) = self.next() {
            match (self.make)(own, number) {
                Ok(made) => {
                    let mut state = self.lock();
                    state.ready.insert(number, made);
                    self.hand_over(state);
                }
                Err(error) => self.fail(error),
            }
        }
    }

    /// Gives what is ready to `take`, unless another thread is at it: that one looks again.
    fn hand_over<'l>(&'l self, mut state: MutexGuard<'l, State<T, E, F>>)
    where
        F: FnMut(T) -> Result<(), E>,
    {
        let Some(mut take) = state.take.take() else {
            return;
        };
        while state.failed.is_none() {
            let number = state.taken;
            let Some(made) = state.ready.remove(&number) else {
                break;
            };
            drop(state);
            let taken = take(made);
            state = self.lock();
            state.taken += 1;
            if let Err(error) = taken {
                state.failed.get_or_insert(error);
            }
            self.changed.notify_all();
        }
        state.take = Some(take);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn results_come_in_order_and_none_is_far_ahead() {
        for threads in [1, 2, 7] {
            let (mut taken, made) = (Vec::new(), AtomicUsize::new(0));
            let done = AtomicUsize::new(0);
            run(
                500,
                threads,
                || (),
                |(), number| {
                    made.fetch_add(1, Ordering::SeqCst);
                    if number % 5 == 0 {
                        std::thread::yield_now();
                    }
                    Ok::<_, ()>(number)
                },
                |number| {
                    let ahead = made.load(Ordering::SeqCst) - done.fetch_add(1, Ordering::SeqCst);
                    assert!(ahead <= WINDOW + threads, "{ahead}");
                    taken.push(number);
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(taken, (0..500).collect::<Vec<_>>());
        }
        run(0, 2, || (), |(), _| Err::<(), _>("made"), |()| Ok(())).unwrap();
    }

    #[test]
    fn a_failure_ends_it_on_either_side() {
        let make = |(): &mut (), number| {
            if number == 40 {
                Err("make")
            } else {
                Ok(number)
            }
        };
        assert_eq!(run(10_000, 3, || (), make, |_| Ok(())), Err("make"));
        let take = |number| if number == 30 { Err("take") } else { Ok(()) };
        assert_eq!(run(10_000, 3, || (), |(), n| Ok(n), take), Err("take"));
    }

    #[test]
    fn a_panic_does_not_leave_the_others_waiting() {
        let result = std::panic::catch_unwind(|| {
            run(
                10_000,
                3,
                || (),
                |(), number| {
                    assert!(number != 20, "on purpose");
                    Ok::<_, ()>(number)
                },
                |_| Ok(()),
            )
        });
        assert!(result.is_err());
    }
}
