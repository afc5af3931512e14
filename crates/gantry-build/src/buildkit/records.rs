//! The records of caches, and which of them a step is.

use std::collections::{BTreeSet, HashMap};

use gantry_model::{Digest, StepRecord};

/// Records by what the steps do.
#[derive(Debug)]
pub(crate) struct Records<'r> {
    all: &'r [StepRecord],
    by_digest: HashMap<Digest, Vec<usize>>,
}

/// The records that a step is, by their numbers.
pub(crate) type Known = BTreeSet<usize>;

/// What an input is known by.
pub(crate) struct KnownInput<'k> {
    /// The records of who made it.
    pub(crate) made_by: &'k Known,
    /// The part that is looked at.
    pub(crate) selector: Option<Digest>,
    /// The name of its content, found out where it is asked for.
    pub(crate) content: &'k dyn Fn() -> Option<Digest>,
}

impl<'r> Records<'r> {
    pub(crate) fn new(all: &'r [StepRecord]) -> Self {
        let mut by_digest: HashMap<Digest, Vec<usize>> = HashMap::new();
        for (number, record) in all.iter().enumerate() {
            by_digest.entry(record.digest).or_default().push(number);
        }
        Self { all, by_digest }
    }

    pub(crate) fn get(&self, number: usize) -> &'r StepRecord {
        &self.all[number]
    }

    /// The records of a step that does this with these inputs.
    pub(crate) fn find(&self, digest: &Digest, inputs: &[KnownInput<'_>]) -> Known {
        let candidates = self.by_digest.get(digest).into_iter().flatten();
        let fits = |number: &&usize| {
            let record = self.get(**number);
            record.inputs.len() == inputs.len()
                && record
                    .inputs
                    .iter()
                    .zip(inputs)
                    .all(|(links, input)| self.is_input(links, input))
        };
        candidates.filter(fits).copied().collect()
    }

    fn is_input(&self, links: &[gantry_model::StepLink], input: &KnownInput<'_>) -> bool {
        let is_made = |link: &gantry_model::StepLink| {
            link.selector == input.selector && input.made_by.contains(&link.record)
        };
        if links.iter().any(is_made) {
            return true;
        }
        let is_content = |link: &&gantry_model::StepLink| {
            link.selector.is_none() && self.get(link.record).inputs.is_empty()
        };
        let mut contents = links.iter().filter(is_content).peekable();
        if contents.peek().is_none() {
            return false;
        }
        let Some(content) = (input.content)() else {
            return false;
        };
        contents.any(|link| self.get(link.record).digest == content)
    }
}

#[cfg(test)]
mod tests {
    use gantry_model::StepLink;

    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    fn link(record: usize, selector: Option<u8>) -> StepLink {
        StepLink {
            record,
            selector: selector.map(digest),
        }
    }

    fn record(byte: u8, inputs: &[&[StepLink]]) -> StepRecord {
        StepRecord {
            digest: digest(byte),
            inputs: inputs.iter().map(|links| links.to_vec()).collect(),
            made: None,
        }
    }

    #[test]
    fn a_step_is_known_by_who_made_its_inputs_or_by_their_content() {
        let all = [
            record(1, &[]),
            record(2, &[]),
            record(3, &[&[link(0, Some(9))]]),
            record(3, &[&[link(1, None)]]),
            record(3, &[&[link(0, Some(9)), link(1, None)]]),
            record(4, &[&[link(2, None)], &[link(0, Some(8)), link(1, None)]]),
        ];
        let records = Records::new(&all);
        let base = records.find(&digest(1), &[]);
        assert_eq!(base, Known::from([0]));
        let find = |what: u8, selector: Option<u8>, content: Option<u8>| {
            let content = || content.map(digest);
            let input = KnownInput {
                made_by: &base,
                selector: selector.map(digest),
                content: &content,
            };
            records.find(&digest(what), &[input])
        };
        assert_eq!(find(3, Some(9), None), Known::from([2, 4]));
        assert_eq!(find(3, None, None), Known::new());
        assert_eq!(find(3, Some(8), Some(2)), Known::from([3, 4]));
        assert_eq!(find(3, Some(9), Some(2)), Known::from([2, 3, 4]));
        assert_eq!(find(3, Some(8), Some(5)), Known::new());
        assert_eq!(find(5, Some(9), Some(2)), Known::new());
        // One input is not two.
        assert_eq!(find(4, Some(8), Some(2)), Known::new());
    }
}
