//! Which step of an earlier build a step is.

use super::trace::Step;

/// Beyond so many pairs of steps only those are matched that say the same at the same place.
const MOST_PAIRS: usize = 4_000_000;

/// For each step its counterpart: the one that says the same in the same stage, in order, and
/// between two such the one of the same kind at the same place.
pub(super) fn align(now: &[&Step], before: &[Step]) -> Vec<Option<usize>> {
    let mut counterparts = vec![None; now.len()];
    let same = |one: usize, other: usize| {
        let (one, other) = (now[one], &before[other]);
        one.stage == other.stage && one.text == other.text
    };
    for (one, other) in common(now.len(), before.len(), &same) {
        counterparts[one] = Some(other);
    }
    fill_gaps(now, before, &mut counterparts);
    counterparts
}

/// The longest common subsequence.
fn common(rows: usize, columns: usize, same: &dyn Fn(usize, usize) -> bool) -> Vec<(usize, usize)> {
    if rows.saturating_mul(columns) > MOST_PAIRS {
        return (0..rows.min(columns))
            .filter(|at| same(*at, *at))
            .map(|at| (at, at))
            .collect();
    }
    let width = columns + 1;
    let mut lengths = vec![0_u32; (rows + 1) * width];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            lengths[row * width + column] = if same(row, column) {
                lengths[(row + 1) * width + column + 1] + 1
            } else {
                let (down, right) = ((row + 1) * width + column, row * width + column + 1);
                lengths[down].max(lengths[right])
            };
        }
    }
    let mut pairs = Vec::new();
    let (mut row, mut column) = (0, 0);
    while row < rows && column < columns {
        if same(row, column) {
            pairs.push((row, column));
            row += 1;
            column += 1;
        } else if lengths[(row + 1) * width + column] >= lengths[row * width + column + 1] {
            row += 1;
        } else {
            column += 1;
        }
    }
    pairs
}

/// Pairs what is left between two matches: the same instruction of the same stage, in order.
fn fill_gaps(now: &[&Step], before: &[Step], counterparts: &mut [Option<usize>]) {
    let mut taken: Vec<bool> = vec![false; before.len()];
    for other in counterparts.iter().flatten() {
        taken[*other] = true;
    }
    let mut from = 0;
    for number in 0..now.len() {
        if let Some(matched) = counterparts[number] {
            from = matched + 1;
            continue;
        }
        let until = counterparts[number..]
            .iter()
            .flatten()
            .next()
            .map_or(before.len(), |next| *next);
        let fits = |other: &usize| {
            let (one, other_step) = (now[number], &before[*other]);
            !taken[*other]
                && one.stage == other_step.stage
                && one.instruction() == other_step.instruction()
        };
        if let Some(other) = (from..until).find(fits) {
            counterparts[number] = Some(other);
            taken[other] = true;
            from = other + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(texts: &[&str]) -> Vec<Step> {
        let step = |text: &&str| {
            let (stage, text) = text.split_once('|').unwrap_or(("", text));
            Step::named(stage, text)
        };
        texts.iter().map(step).collect()
    }

    #[test]
    fn counterparts() {
        for (now, before, want) in [
            (
                vec!["FROM a", "RUN 1", "RUN 2"],
                vec!["FROM a", "RUN 1", "RUN 2"],
                vec![Some(0), Some(1), Some(2)],
            ),
            // One put in between, one changed, one gone.
            (
                vec!["FROM a", "RUN new", "RUN 1", "RUN 2b"],
                vec!["FROM a", "RUN 1", "RUN 2", "COPY x"],
                vec![Some(0), None, Some(1), Some(2)],
            ),
            (
                vec!["FROM b", "COPY x", "RUN 1"],
                vec!["FROM a", "RUN 0", "COPY x", "RUN 1"],
                vec![Some(0), Some(2), Some(3)],
            ),
            // The same words in another stage are another step.
            (
                vec!["x|RUN 1", "y|RUN 1"],
                vec!["y|RUN 1"],
                vec![None, Some(0)],
            ),
            (vec!["RUN 1"], vec![], vec![None]),
        ] {
            let (now, before) = (steps(&now), steps(&before));
            let now: Vec<&Step> = now.iter().collect();
            assert_eq!(align(&now, &before), want, "{now:?}");
        }
    }

    #[test]
    fn absurdly_long_builds_are_matched_by_place() {
        let texts: Vec<String> = (0..3000).map(|number| format!("RUN {number}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let before = steps(&texts);
        let now: Vec<&Step> = before.iter().collect();
        let want: Vec<Option<usize>> = (0..3000).map(Some).collect();
        assert_eq!(align(&now, &before), want);
    }
}
