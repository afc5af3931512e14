//! Work that finds more work, done by several threads: directories below directories.

use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

/// The processors that this process may use, which it asks the kernel for once.
pub fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get))
}

/// Does `first` and every task that comes of it, in no particular order, on at most `threads`
/// threads. The calling one is the first of them; there are no others as long as there is only one
/// task to do.
///
/// `work` is given a task, where to put those that come of it, and what its thread gathers. Gives
/// what each thread gathered.
///
/// # Errors
/// The first that `work` gives; tasks that were not begun by then are left.
pub fn work_off<T, G, E>(
    first: T,
    threads: usize,
    work: impl Fn(T, &mut Vec<T>, &mut G) -> Result<(), E> + Sync,
) -> Result<Vec<G>, E>
where
    T: Send,
    G: Default + Send,
    E: Send,
{
    let mut gathered = G::default();
    let mut open = vec![first];
    while open.len() == 1 || (threads <= 1 && !open.is_empty()) {
        if let Some(task) = open.pop() {
            work(task, &mut open, &mut gathered)?;
        }
    }
    let others = threads.min(open.len()).saturating_sub(1);
    let crew = Crew {
        work,
        pile: Mutex::new(Pile {
            open,
            busy: 0,
            waiting: 0,
            failed: None,
            abandoned: false,
        }),
        changed: Condvar::new(),
    };
    let all = thread::scope(|scope| {
        // Where no thread is to be had, the work is done by those that are there.
        let join = |_| {
            let member = || crew.member(G::default());
            thread::Builder::new().spawn_scoped(scope, member).ok()
        };
        let others: Vec<_> = (0..others).filter_map(join).collect();
        let own = crew.member(gathered);
        let others = others.into_iter().map(|other| match other.join() {
            Ok(gathered) => gathered,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        std::iter::once(own).chain(others).collect()
    });
    let pile = crew.pile.into_inner();
    match pile.unwrap_or_else(PoisonError::into_inner).failed {
        Some(error) => Err(error),
        None => Ok(all),
    }
}

struct Pile<T, E> {
    open: Vec<T>,
    /// Threads that have a task, of which more may come.
    busy: usize,
    /// Threads that have none.
    waiting: usize,
    failed: Option<E>,
    /// A thread panicked.
    abandoned: bool,
}

struct Crew<T, E, W> {
    work: W,
    pile: Mutex<Pile<T, E>>,
    changed: Condvar,
}

impl<T, E, W> Crew<T, E, W> {
    fn lock(&self) -> MutexGuard<'_, Pile<T, E>> {
        self.pile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn member<G>(&self, mut gathered: G) -> G
    where
        W: Fn(T, &mut Vec<T>, &mut G) -> Result<(), E>,
    {
        while let Some((task, mut turn)) = self.take() {
            turn.failed = (self.work)(task, &mut turn.found, &mut gathered).err();
        }
        gathered
    }

    /// The next task; nothing when all are done, or one failed.
    fn take(&self) -> Option<(T, Turn<'_, T, E, W>)> {
        let mut pile = self.lock();
        loop {
            if pile.failed.is_some() || pile.abandoned {
                return None;
            }
            if let Some(task) = pile.open.pop() {
                pile.busy += 1;
                let turn = Turn {
                    crew: self,
                    found: Vec::new(),
                    failed: None,
                };
                return Some((task, turn));
            }
            if pile.busy == 0 {
                return None;
            }
            pile.waiting += 1;
            pile = self
                .changed
                .wait(pile)
                .unwrap_or_else(PoisonError::into_inner);
            pile.waiting -= 1;
        }
    }
}

/// A task that is being done. However it ends, the others hear of it.
struct Turn<'c, T, E, W> {
    crew: &'c Crew<T, E, W>,
    found: Vec<T>,
    failed: Option<E>,
}

impl<T, E, W> Drop for Turn<'_, T, E, W> {
    fn drop(&mut self) {
        let mut pile = self.crew.lock();
        pile.busy -= 1;
        pile.open.append(&mut self.found);
        pile.failed = pile.failed.take().or(self.failed.take());
        pile.abandoned |= thread::panicking();
        let ends = pile.busy == 0 || pile.failed.is_some() || pile.abandoned;
        // To wake nobody is a call to the kernel, too.
        if pile.waiting > 0 && (ends || !pile.open.is_empty()) {
            drop(pile);
            self.crew.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number gives the two that come after it in a tree of a thousand.
    fn double(number: u32, more: &mut Vec<u32>, seen: &mut Vec<u32>) -> Result<(), u32> {
        seen.push(number);
        more.extend(
            [number * 2, number * 2 + 1]
                .into_iter()
                .filter(|next| *next <= 1000),
        );
        Ok(())
    }

    #[test]
    fn each_task_is_done_once() {
        for threads in [0, 1, 2, 7] {
            let gathered = work_off(1, threads, double).expect("nothing fails");
            assert!(gathered.len() <= threads.max(1));
            let mut seen = gathered.concat();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(1..=1000), "{threads} threads");
        }
    }

    #[test]
    fn a_failure_is_told_and_nothing_is_begun_after_it() {
        for threads in [1, 3] {
            let failed = work_off(1, threads, |number, more, seen: &mut Vec<u32>| {
                double(number, more, seen)?;
                if number == 300 { Err(number) } else { Ok(()) }
            });
            assert_eq!(failed, Err(300));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_leaves_nobody_waiting() {
        let caught = std::panic::catch_unwind(|| {
            work_off(1, 4, |number, more, seen: &mut Vec<u32>| {
                assert_ne!(number, 300, "as wished");
                double(number, more, seen)
            })
        });
        assert!(caught.is_err());
    }

    #[test]
    fn threads_work_at_the_same_time() {
        // Each of the two waits for the other.
        let barrier = std::sync::Barrier::new(2);
        let done = work_off(0, 2, |number, more, seen: &mut Vec<u32>| {
            if number == 0 {
                more.extend([1, 2]);
            } else {
                barrier.wait();
            }
            seen.push(number);
            Ok::<_, ()>(())
        });
        assert_eq!(done.map(|seen| seen.concat().len()), Ok(3));
    }
}
