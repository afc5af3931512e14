//! `images --tree`: every image once, under all its names.

use gantry_engine::images::{ImageFilters, ImageRow};

use super::row;
use crate::context::Context;
use crate::failure::{Exit, Outcome};
use crate::output::{columns, size};

/// Shows the images that `filters` mean.
pub(crate) fn show(context: &Context, filters: &ImageFilters) -> Outcome {
    let rows = context.engine()?.images().list(filters)?;
    context.ui.data(&text(&rows))?;
    Ok(Exit::SUCCESS)
}

/// The names of an image stand above each other; what it takes stands beside the first. An
/// image's files are on disk once, unpacked, so that there is no size of content beside it.
fn text(rows: &[ImageRow]) -> String {
    let mut text = String::from("IMAGE\tID\tDISK USAGE\tEXTRA\n");
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let (names, behind) = rest.split_at(rest.partition_point(|row| row.id == first.id));
        let id = row::id(&first.id.to_string(), false);
        let used = if first.containers > 0 { "U" } else { "" };
        let taken = size::short(first.size);
        text.push_str(&format!("{}\t{id}\t{taken}\t{used}\n", name(first)));
        for other in &names[1..] {
            text.push_str(&format!("{}\t\t\t\n", name(other)));
        }
        rest = behind;
    }
    let aligned = columns::align(&text);
    let lines = aligned
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n");
    format!("U: in use\n\n{}", lines.collect::<String>())
}

fn name(row: &ImageRow) -> String {
    match (&row.repository, &row.tag, &row.digest) {
        (Some(repository), Some(tag), _) => format!("{repository}:{tag}"),
        (Some(repository), None, Some(digest)) => format!("{repository}@{digest}"),
        (Some(repository), None, None) => repository.clone(),
        (None, ..) => "<untagged>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_there_once() {
        let row = |id: u8, repository: Option<&str>, tag: Option<&str>, containers| ImageRow {
            id: gantry_model::Digest::from_bytes([id; 32]),
            repository: repository.map(str::to_owned),
            tag: tag.map(str::to_owned),
            digest: None,
            created: None,
            size: 1_984_234,
            labels: std::collections::BTreeMap::new(),
            containers,
        };
        let rows = [
            row(1, Some("busybox"), Some("latest"), 1),
            row(1, Some("box"), Some("1"), 1),
            row(2, None, None, 0),
        ];
        assert_eq!(
            text(&rows),
            "U: in use\n\n\
             IMAGE            ID             DISK USAGE   EXTRA\n\
             busybox:latest   010101010101   1.98MB       U\n\
             box:1\n\
             <untagged>       020202020202   1.98MB\n"
        );
    }
}
