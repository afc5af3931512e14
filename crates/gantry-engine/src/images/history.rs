//! How an image came to be.

use gantry_model::{Digest, Platform};

use super::{ImageError, Images};

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The image, in the row of the last step; the steps before it have no image of their own.
    pub id: Option<Digest>,
    /// When, as the image says.
    pub created: Option<String>,
    /// What was done.
    pub created_by: String,
    /// Bytes of the layer that it made.
    pub size: u64,
    /// Remark.
    pub comment: String,
    /// The image's tags, in the row of the last step.
    pub tags: Vec<String>,
}

impl Images<'_> {
    /// The steps, last first; of several platforms those of one.
    ///
    /// # Errors
    /// As with [`Images::id_for`].
    pub fn history(
        &self,
        name: &str,
        platform: Option<&Platform>,
    ) -> Result<Vec<HistoryRow>, ImageError> {
        let image = self.resolve_for(name, platform)?;
        let layers = self.store()?.layers();
        let mut sizes = image
            .layers
            .iter()
            .map(|id| layers.info(id).map_or(0, |info| info.content_size));
        let mut rows: Vec<HistoryRow> = image
            .config
            .history
            .iter()
            .map(|step| HistoryRow {
                id: None,
                created: step.created.clone(),
                created_by: step.created_by.clone(),
                size: if step.empty_layer {
                    0
                } else {
                    sizes.next().unwrap_or(0)
                },
                comment: step.comment.clone(),
                tags: Vec::new(),
            })
            .collect();
        // Layers that the history does not tell of still take their place.
        rows.extend(sizes.map(|size| HistoryRow {
            id: None,
            created: None,
            created_by: String::new(),
            size,
            comment: String::new(),
            tags: Vec::new(),
        }));
        if let Some(last) = rows.last_mut() {
            last.id = Some(image.id);
            last.tags = image
                .tags
                .iter()
                .map(gantry_model::Reference::familiar)
                .collect();
        }
        rows.reverse();
        Ok(rows)
    }
}
