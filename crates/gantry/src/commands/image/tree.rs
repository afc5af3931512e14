//! `images --tree`: every image once, under all its names.

use gantry_engine::images::{ImageFilters, ImageRow, PlatformRow};

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
        push_platforms(&mut text, &first.platforms);
        for other in &names[1..] {
            text.push_str(&format!("{}\t\t\t\n", name(other)));
            if other.platforms != first.platforms {
                push_platforms(&mut text, &other.platforms);
            }
        }
        rest = behind;
    }
    let aligned = columns::align(&text);
    let lines = aligned
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n");
    format!("U: in use\n\n{}", lines.collect::<String>())
}

/// The images of an index below its name; that of a name which has one platform is that line.
fn push_platforms(text: &mut String, platforms: &[PlatformRow]) {
    if platforms.len() < 2 {
        return;
    }
    for (number, one) in platforms.iter().enumerate() {
        let branch = match number + 1 == platforms.len() {
            true => "└─",
            false => "├─",
        };
        let id = row::id(&one.id.to_string(), false);
        let used = if one.containers > 0 { "U" } else { "" };
        let taken = size::short(one.size);
        text.push_str(&format!(
            "{branch} {}\t{id}\t{taken}\t{used}\n",
            one.platform
        ));
    }
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
            platforms: Vec::new(),
        };
        let platform = |text: &str, id: u8, containers| PlatformRow {
            platform: text.parse().unwrap(),
            id: gantry_model::Digest::from_bytes([id; 32]),
            size: 1_984_234,
            containers,
        };
        let mut several = row(3, Some("app"), Some("1"), 1);
        several.platforms = vec![platform("linux/amd64", 3, 1), platform("linux/arm64", 4, 0)];
        let rows = [
            row(1, Some("busybox"), Some("latest"), 1),
            row(1, Some("box"), Some("1"), 1),
            several,
            row(2, None, None, 0),
        ];
        assert_eq!(
            text(&rows),
            "U: in use\n\n\
             IMAGE            ID             DISK USAGE   EXTRA\n\
             busybox:latest   010101010101   1.98MB       U\n\
             box:1\n\
             app:1            030303030303   1.98MB       U\n\
             ├─ linux/amd64   030303030303   1.98MB       U\n\
             └─ linux/arm64   040404040404   1.98MB\n\
             <untagged>       020202020202   1.98MB\n"
        );
    }
}
