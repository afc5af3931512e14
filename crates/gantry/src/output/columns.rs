//! Columns that line up: the elastic tab stops of Go's `text/tabwriter`, with the settings
//! Docker uses (at least 10 wide, 3 spaces between, none behind the last cell).

const MINIMUM_WIDTH: usize = 10;
const PADDING: usize = 3;

/// Replaces the tabs of `text` by spaces, so that the cells of neighbouring lines line up.
pub(crate) fn align(text: &str) -> String {
    align_with(text, MINIMUM_WIDTH, PADDING)
}

/// As [`align`], with another least width and padding.
pub(crate) fn align_with(text: &str, minimum: usize, padding: usize) -> String {
    let body = text.strip_suffix('\n');
    let lines: Vec<Vec<&str>> = body
        .unwrap_or(text)
        .split('\n')
        .map(|line| line.split('\t').collect())
        .collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len()]).collect();
    measure(&lines, &mut widths, 0, 0..lines.len(), minimum, padding);
    let mut out = String::with_capacity(text.len() * 2);
    for (number, cells) in lines.iter().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        for (column, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < cells.len() {
                let fill = widths[number][column].saturating_sub(cell.chars().count());
                out.extend(std::iter::repeat_n(' ', fill));
            }
        }
    }
    if body.is_some() {
        out.push('\n');
    }
    out
}

/// Finds the width of `column` for every run of lines that have a cell there which a tab ends,
/// then does the same for the columns to its right within that run.
fn measure(
    lines: &[Vec<&str>],
    widths: &mut [Vec<usize>],
    column: usize,
    range: std::ops::Range<usize>,
    minimum: usize,
    padding: usize,
) {
    let mut start = range.start;
    while start < range.end {
        if lines[start].len() <= column + 1 {
            start += 1;
            continue;
        }
        let mut end = start;
        let mut width = minimum;
        while end < range.end && lines[end].len() > column + 1 {
            width = width.max(lines[end][column].chars().count() + padding);
            end += 1;
        }
        for line in &mut widths[start..end] {
            line[column] = width;
        }
        measure(lines, widths, column + 1, start..end, minimum, padding);
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_spaced_as_dockers() {
        let text = "REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE\n\
                    busybox\tlatest\t9561302b1254\t4 minutes ago\t1.98MB\n";
        assert_eq!(
            align(text),
            "REPOSITORY   TAG       IMAGE ID       CREATED         SIZE\n\
             busybox      latest    9561302b1254   4 minutes ago   1.98MB\n"
        );
    }

    #[test]
    fn a_line_without_the_cell_ends_the_column() {
        assert_eq!(
            align("a\tb\nplain\nlonger-than-ten\tb\n"),
            "a         b\nplain\nlonger-than-ten   b\n"
        );
    }

    #[test]
    fn width_is_counted_in_characters() {
        assert_eq!(
            align("ééééééééé\tx\nabcdefghi\ty"),
            "ééééééééé   x\nabcdefghi   y"
        );
    }
}
