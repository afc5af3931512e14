//! The largest of many things, of which only so many are kept.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The largest things seen so far.
#[derive(Debug)]
pub(super) struct Top<T> {
    most: usize,
    heap: BinaryHeap<Reverse<T>>,
}

impl<T: Ord> Top<T> {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            heap: BinaryHeap::new(),
        }
    }

    pub(super) fn add(&mut self, thing: T) {
        self.heap.push(Reverse(thing));
        if self.heap.len() > self.most {
            self.heap.pop();
        }
    }

    /// The largest first.
    pub(super) fn into_sorted(self) -> Vec<T> {
        let sorted = self.heap.into_sorted_vec().into_iter();
        sorted.map(|Reverse(thing)| thing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Top;

    #[test]
    fn the_largest_stay() {
        let mut top = Top::new(3);
        (0..100)
            .map(|number| number * 7 % 100)
            .for_each(|number| top.add(number));
        assert_eq!(top.into_sorted(), [99, 98, 97]);
    }
}
