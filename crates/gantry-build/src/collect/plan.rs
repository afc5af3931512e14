//! Which rows go: what was not used for the longest time first, leaves before what they stand on.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use gantry_model::Digest;

use super::Keep;

/// A row as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Item {
    /// The layers that only the cache keeps, and their sizes. Several may have one layer.
    pub(super) layers: Vec<(Digest, u64)>,
    /// Bytes beside the layer.
    pub(super) own: u64,
    /// The greater the later it was used.
    pub(super) recency: i64,
    /// Those it stands on, by number.
    pub(super) parents: Vec<usize>,
    /// Whether it may go.
    pub(super) removable: bool,
}

/// Bytes of all items, each layer counted once.
pub(super) fn total<'i>(items: impl IntoIterator<Item = &'i Item>) -> u64 {
    let mut layers = BTreeSet::new();
    let bytes = |item: &Item| {
        let fresh = item
            .layers
            .iter()
            .filter(|(layer, _)| layers.insert(*layer));
        item.own + fresh.map(|(_, size)| size).sum::<u64>()
    };
    items.into_iter().map(bytes).sum()
}

/// How many bytes may stay when `free` bytes of the file system are free; `None` where nothing
/// is to be kept.
fn kept(total: u64, keep: Keep, free: u64) -> Option<u64> {
    if keep == Keep::default() {
        return None;
    }
    let mut most = match keep.max_used {
        0 => total,
        bound => bound,
    };
    let lacking = keep.min_free.saturating_sub(free);
    if lacking > 0 {
        most = most.min(total.saturating_sub(lacking));
    } else if keep.max_used == 0 && keep.min_free == 0 {
        // Only what is reserved was said: that is how much stays.
        most = 0;
    }
    Some(most.max(keep.reserved))
}

/// The items that go.
pub(super) fn choose(items: &[Item], keep: Keep, free: u64) -> BTreeSet<usize> {
    let total = total(items);
    let Some(most) = kept(total, keep, free) else {
        return (0..items.len())
            .filter(|number| items[*number].removable)
            .collect();
    };
    let mut children = vec![0_usize; items.len()];
    for parent in items.iter().flat_map(|item| &item.parents) {
        children[*parent] += 1;
    }
    let mut users: HashMap<Digest, usize> = HashMap::new();
    for (layer, _) in items.iter().flat_map(|item| &item.layers) {
        *users.entry(*layer).or_default() += 1;
    }
    let entry = |number: usize| Reverse((items[number].recency, number));
    let mut leaves: BinaryHeap<_> = (0..items.len())
        .filter(|number| children[*number] == 0 && items[*number].removable)
        .map(entry)
        .collect();
    let mut left = total;
    let mut gone = BTreeSet::new();
    while left > most {
        let Some(Reverse((_, number))) = leaves.pop() else {
            break;
        };
        let item = &items[number];
        gone.insert(number);
        left = left.saturating_sub(item.own);
        for (layer, size) in &item.layers {
            let Some(count) = users.get_mut(layer) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                left = left.saturating_sub(*size);
            }
        }
        for parent in &item.parents {
            children[*parent] -= 1;
            if children[*parent] == 0 && items[*parent].removable {
                leaves.push(entry(*parent));
            }
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(layer: u8, size: u64, recency: i64, parents: &[usize]) -> Item {
        Item {
            layers: vec![(Digest::from_bytes([layer; 32]), size)],
            own: 1,
            recency,
            parents: parents.to_vec(),
            removable: true,
        }
    }

    fn chosen(items: &[Item], keep: Keep, free: u64) -> Vec<usize> {
        choose(items, keep, free).into_iter().collect()
    }

    fn at_most(max_used: u64) -> Keep {
        Keep {
            max_used,
            ..Keep::default()
        }
    }

    #[test]
    fn leaves_go_before_what_they_stand_on() {
        // 0 ← 1 ← 2, and 3 by itself, which was used last of all.
        let items = [
            item(0, 100, 5, &[]),
            item(1, 100, 4, &[0]),
            item(2, 100, 6, &[1]),
            item(3, 100, 7, &[]),
        ];
        assert_eq!(total(&items), 404);
        assert_eq!(chosen(&items, at_most(404), 0), [0_usize; 0]);
        assert_eq!(chosen(&items, at_most(403), 0), [2]);
        assert_eq!(chosen(&items, at_most(210), 0), [1, 2]);
        assert_eq!(chosen(&items, at_most(110), 0), [0, 1, 2]);
        assert_eq!(chosen(&items, Keep::default(), 0), [0, 1, 2, 3]);
    }

    #[test]
    fn what_may_not_go_stays_with_what_it_stands_on() {
        let mut items = [
            item(0, 100, 1, &[]),
            item(1, 100, 2, &[0]),
            item(2, 100, 3, &[]),
        ];
        items[1].removable = false;
        assert_eq!(chosen(&items, at_most(1), 0), [2]);
    }

    #[test]
    fn a_layer_counts_once_and_until_the_last_has_gone() {
        let items = [
            item(7, 100, 1, &[]),
            item(7, 100, 2, &[]),
            item(8, 10, 3, &[]),
        ];
        assert_eq!(total(&items), 113);
        assert_eq!(chosen(&items, at_most(50), 0), [0, 1]);
    }

    #[test]
    fn how_much_is_kept() {
        let keep = |reserved, max_used, min_free| Keep {
            reserved,
            max_used,
            min_free,
        };
        for (keep, free, want) in [
            (keep(0, 0, 0), 0, None),
            (keep(30, 0, 0), 0, Some(30)),
            (keep(0, 40, 0), 0, Some(40)),
            (keep(50, 40, 0), 0, Some(50)),
            // 20 more have to be free.
            (keep(0, 0, 30), 10, Some(80)),
            (keep(0, 90, 30), 10, Some(80)),
            (keep(95, 0, 30), 10, Some(95)),
            (keep(0, 0, 30), 40, Some(100)),
        ] {
            assert_eq!(kept(100, keep, free), want, "{keep:?} {free}");
        }
    }
}
