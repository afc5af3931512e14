//! "did you mean …": the known name that is nearest to a misspelt one.

/// Longest name that is compared; what is longer was not misspelt.
const LONGEST: usize = 64;

/// The candidate nearest to `name`, where one is near enough: at most one third of the letters
/// differ (one in names of up to five letters). Case does not count.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    if wanted.is_empty() || wanted.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST * 4)
        .map(|candidate| {
            (
                distance(
                    &wanted,
                    &candidate.to_lowercase().chars().collect::<Vec<_>>(),
                ),
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            *distance > 0 && *distance <= allowed(wanted.len(), candidate)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters may differ: fewer than half of a short name's.
fn allowed(length: usize, candidate: &str) -> usize {
    let longer = length.max(candidate.chars().count());
    (longer / 3).clamp(1, 3).min((longer - 1) / 2)
}

/// Edit distance where an exchange of neighbours counts once (optimal string alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before_last: Vec<usize> = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, &letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &other) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != other);
            let mut best = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let exchanged =
                row > 0 && column > 0 && letter == right[column - 1] && left[row - 1] == other;
            if exchanged {
                best = best.min(before_last[column - 1] + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn misspelt_names() {
        let instructions = [
            "RUN",
            "FROM",
            "COPY",
            "ADD",
            "ENV",
            "WORKDIR",
            "ENTRYPOINT",
            "CMD",
            "ARG",
        ];
        let cases = [
            ("RNU", Some("RUN")),
            ("FORM", Some("FROM")),
            ("copi", Some("COPY")),
            ("WORKDRI", Some("WORKDIR")),
            ("ENTYPOINT", Some("ENTRYPOINT")),
            ("ENTRYPONIT", Some("ENTRYPOINT")),
            ("XYZ", None),
            ("run", None),
            ("", None),
            ("INSTALL", None),
            ("R", None),
            ("RU", Some("RUN")),
        ];
        for (name, expected) in cases {
            assert_eq!(nearest(name, instructions), expected, "{name}");
        }
    }

    #[test]
    fn a_monstrous_name_is_not_compared() {
        assert_eq!(nearest(&"R".repeat(1 << 20), ["RUN"]), None);
    }
}
