//! Images as rows of `images`.

use gantry_engine::images::ImageRow;
use jiff::Timestamp;

use crate::output::listing::{Row, Shape};
use crate::output::{size, time};

/// The fields of an image.
pub(crate) const SHAPE: Shape = Shape {
    fields: &[
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("Digest", "DIGEST"),
        ("ID", "IMAGE ID"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("Size", "SIZE"),
        ("Containers", "CONTAINERS"),
        ("VirtualSize", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
    ],
    table: &["Repository", "Tag", "ID", "CreatedSince", "Size"],
    raw: "repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\n\
          created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n",
};

/// The same with digests (`images --digests`).
pub(crate) const SHAPE_WITH_DIGEST: Shape = Shape {
    table: &["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"],
    raw: "repository: {{.Repository}}\ntag: {{.Tag}}\ndigest: {{.Digest}}\nimage_id: {{.ID}}\n\
          created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n",
    ..SHAPE
};

/// The row of one name of an image.
pub(crate) fn row(image: &ImageRow, whole: bool, now: Timestamp) -> Row {
    let named = |text: &Option<String>| text.clone().unwrap_or_else(|| "<none>".to_owned());
    let created = image.created.as_deref().unwrap_or_default();
    let digest = image
        .digest
        .as_ref()
        .map_or_else(|| "<none>".to_owned(), ToString::to_string);
    Row::new([
        ("Repository", named(&image.repository)),
        ("Tag", named(&image.tag)),
        ("Digest", digest),
        ("ID", id(&image.id.to_string(), whole)),
        ("CreatedSince", time::ago(created, now)),
        ("CreatedAt", time::go_date(created)),
        ("Size", size::short(image.size)),
        ("Containers", "N/A".to_owned()),
        ("VirtualSize", size::long(image.size)),
        ("SharedSize", "N/A".to_owned()),
        ("UniqueSize", "N/A".to_owned()),
    ])
}

/// An image id as tables show it.
pub(crate) fn id(id: &str, whole: bool) -> String {
    match id.split_once(':') {
        Some((_, hex)) if !whole => hex.chars().take(12).collect(),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::listing::{Format, render};

    #[test]
    fn the_table_is_dockers() {
        let now = "2026-11-21T08:22:42Z".parse().unwrap();
        let image = ImageRow {
            id: format!("sha256:9561302b1254{}", "0".repeat(52))
                .parse()
                .unwrap(),
            repository: Some("busybox".into()),
            tag: Some("latest".into()),
            digest: None,
            created: Some("2026-11-21T08:18:42Z".into()),
            size: 1_984_234,
            labels: std::collections::BTreeMap::new(),
            containers: 1,
            platforms: Vec::new(),
        };
        let dangling = ImageRow {
            repository: None,
            tag: None,
            ..image.clone()
        };
        let rows = [row(&image, false, now), row(&dangling, false, now)];
        insta::assert_snapshot!(render(&SHAPE, &Format::Table, &rows).unwrap());
    }
}
