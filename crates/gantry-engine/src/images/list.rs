//! Listing images: one row for each name, as `docker images` has it.

use std::collections::{BTreeMap, BTreeSet};

use gantry_model::{Digest, Platform, Reference};
use gantry_store::Image;
use jiff::Timestamp;

use super::{ImageError, Images, pattern};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRow {
    /// The image.
    pub id: Digest,
    /// Repository as people write it; none for an image without any name.
    pub repository: Option<String>,
    /// Tag.
    pub tag: Option<String>,
    /// Digest of its manifest in that repository.
    pub digest: Option<Digest>,
    /// When the image was made, as its configuration says.
    pub created: Option<String>,
    /// Bytes of its layers.
    pub size: u64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// How many containers use it.
    pub containers: usize,
    /// The images that the name has for platforms, where it is that of an index.
    pub platforms: Vec<PlatformRow>,
}

/// The image that a name has for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformRow {
    /// The platform.
    pub platform: Platform,
    /// The image.
    pub id: Digest,
    /// Bytes of its layers.
    pub size: u64,
    /// How many containers use it.
    pub containers: usize,
}

impl ImageRow {
    /// The name of the row, where it has one.
    fn name(&self) -> Option<String> {
        let repository = self.repository.as_ref()?;
        match (&self.tag, &self.digest) {
            (Some(tag), _) => Some(format!("{repository}:{tag}")),
            (None, Some(digest)) => Some(format!("{repository}@{digest}")),
            (None, None) => None,
        }
    }
}

/// Which images a list shows; all conditions must hold, of several values of `reference` one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFilters {
    /// Patterns of names.
    pub reference: Vec<String>,
    /// Whether only images without, or only those with, a tag are wanted.
    pub dangling: Option<bool>,
    /// Labels: `name` or `name=value`.
    pub label: Vec<String>,
    /// Labels that it must not have.
    pub without_label: Vec<String>,
    /// Made before this image.
    pub before: Option<String>,
    /// Made after this image.
    pub since: Option<String>,
    /// Made before this time.
    pub until: Option<Timestamp>,
}

impl ImageFilters {
    /// Takes filters as they are written (`name=value`); `now` is what `until=24h` counts from.
    ///
    /// # Errors
    /// [`ImageError::Filter`] naming the one that is none.
    pub fn parse(written: &[String], now: Timestamp) -> Result<Self, ImageError> {
        let mut filters = Self::default();
        for filter in written {
            let invalid = || ImageError::Filter {
                filter: filter.clone(),
            };
            let (name, value) = filter.split_once('=').ok_or_else(invalid)?;
            let value = value.to_owned();
            match name {
                "reference" => filters.reference.push(value),
                "dangling" => {
                    filters.dangling = Some(match value.as_str() {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        _ => return Err(invalid()),
                    });
                }
                "label" => filters.label.push(value),
                "label!" => filters.without_label.push(value),
                "before" => filters.before = Some(value),
                "since" => filters.since = Some(value),
                "until" => filters.until = Some(moment(&value, now).ok_or_else(invalid)?),
                _ => return Err(invalid()),
            }
        }
        Ok(filters)
    }

    /// Whether an image's configuration is needed to tell what fits.
    pub(super) fn asks_the_image(&self) -> bool {
        !self.label.is_empty() || !self.without_label.is_empty() || self.until.is_some()
    }

    pub(crate) fn labels_fit(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|v| v == value),
            None => labels.contains_key(wanted),
        };
        self.label.iter().all(has) && !self.without_label.iter().any(has)
    }
}

/// A time as Docker's filters take it: RFC 3339, a date, seconds since 1970, or a Go duration
/// before now (`24h`, `1h30m`).
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    if let Some((seconds, fraction)) = text.split_once('.').or(Some((text, "")))
        && let Ok(seconds) = seconds.parse::<i64>()
        && fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return Timestamp::from_second(seconds).ok();
    }
    if let Ok(date) = text.parse::<jiff::civil::DateTime>() {
        return Some(
            date.to_zoned(jiff::tz::TimeZone::system())
                .ok()?
                .timestamp(),
        );
    }
    now.checked_sub(jiff::SignedDuration::from_millis(go_duration(text)?))
        .ok()
}

/// Milliseconds of a Go duration.
fn go_duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        rest = &rest[end..];
        total = total.checked_add(number.checked_mul(unit)?)?;
    }
    (!text.is_empty()).then_some(total)
}

/// When an image was made, by its configuration.
pub(crate) fn created(image: &Image) -> Option<Timestamp> {
    image.config.created.as_deref()?.parse().ok()
}

impl Images<'_> {
    /// The rows, newest image first. A damaged image is left out, and
    /// [`crate::Engine::take_damaged`] tells of it.
    ///
    /// # Errors
    /// When the store cannot be read, or `before` and `since` name no image.
    pub fn list(&self, filters: &ImageFilters) -> Result<Vec<ImageRow>, ImageError> {
        let time_of = |name: &Option<String>| -> Result<Option<Timestamp>, ImageError> {
            let Some(name) = name else { return Ok(None) };
            Ok(Some(created(&self.resolve(name)?).unwrap_or_default()))
        };
        let (before, since) = (time_of(&filters.before)?, time_of(&filters.since)?);
        let mut images = self.whole()?;
        images.sort_by_key(|image| std::cmp::Reverse(created(image)));
        let uses = self.engine.container_uses().unwrap_or_default().known;
        let count = |id: &Digest| uses.iter().filter(|used| used.image_id == *id).count();
        let mut rows = Vec::new();
        for image in images {
            let made = created(&image).unwrap_or_default();
            let labels = &image.config.config.labels;
            let kept = filters.labels_fit(labels)
                && filters.dangling.is_none_or(|d| d == image.tags.is_empty())
                && before.is_none_or(|limit| made < limit)
                && since.is_none_or(|limit| made > limit)
                && filters.until.is_none_or(|limit| made < limit);
            // What has no name of its own is shown with the index it is part of.
            let part =
                image.tags.is_empty() && image.digests.is_empty() && !image.indexes.is_empty();
            if !kept || part {
                continue;
            }
            let row = ImageRow {
                id: image.id,
                repository: None,
                tag: None,
                digest: None,
                created: image.config.created.clone(),
                size: self.size(&image)?,
                labels: labels.clone(),
                containers: count(&image.id),
                platforms: Vec::new(),
            };
            let mut named = named_rows(&image, &filters.reference, &row);
            if !image.indexes.is_empty() {
                for row in &mut named {
                    self.add_platforms(row, &count)?;
                }
            }
            rows.extend(named);
        }
        Ok(rows)
    }

    /// Has the row of an index tell of all its members.
    fn add_platforms(
        &self,
        row: &mut ImageRow,
        containers: &dyn Fn(&Digest) -> usize,
    ) -> Result<(), ImageError> {
        let Some(index) = row
            .name()
            .map(|name| self.index(&name))
            .transpose()?
            .flatten()
        else {
            return Ok(());
        };
        let images = self.store()?.images();
        let mut layers = BTreeSet::new();
        for member in &index.members {
            let own = images.config(&member.image)?.rootfs.diff_ids;
            row.platforms.push(PlatformRow {
                platform: member.platform.clone(),
                id: member.image,
                size: self.layers_size(&own)?,
                containers: containers(&member.image),
            });
            layers.extend(own);
        }
        row.containers = row.platforms.iter().map(|one| one.containers).sum();
        row.size = self.layers_size(&layers)?;
        Ok(())
    }

    /// Bytes of an image's layers.
    pub(crate) fn size(&self, image: &Image) -> Result<u64, ImageError> {
        self.layers_size(&image.layers)
    }

    fn layers_size<'d>(
        &self,
        diff_ids: impl IntoIterator<Item = &'d Digest>,
    ) -> Result<u64, ImageError> {
        let layers = self.store()?.layers();
        let mut size = 0;
        for diff_id in diff_ids {
            // A missing layer is what `system check` tells of; a list goes on.
            size += layers.info(diff_id).map_or(0, |info| info.content_size);
        }
        Ok(size)
    }
}

fn named_rows(image: &Image, patterns: &[String], row: &ImageRow) -> Vec<ImageRow> {
    let wanted = |reference: &Reference| {
        patterns.is_empty() || patterns.iter().any(|p| pattern::fits(p, reference))
    };
    let digests: Vec<(Reference, Digest)> = image
        .digests
        .iter()
        .filter_map(|d| {
            Some((
                d.repository
                    .parse::<Reference>()
                    .ok()?
                    .with_digest(d.digest),
                d.digest,
            ))
        })
        .collect();
    let mut rows = Vec::new();
    for tag in &image.tags {
        if wanted(tag) {
            let digest = digests
                .iter()
                .find(|(r, _)| r.name() == tag.name())
                .map(|(_, d)| *d);
            rows.push(ImageRow {
                repository: Some(tag.familiar_name()),
                tag: tag.tag().map(str::to_owned),
                digest,
                ..row.clone()
            });
        }
    }
    for (reference, digest) in &digests {
        if wanted(reference) && !image.tags.iter().any(|tag| tag.name() == reference.name()) {
            rows.push(ImageRow {
                repository: Some(reference.familiar_name()),
                digest: Some(*digest),
                ..row.clone()
            });
        }
    }
    if image.tags.is_empty() && image.digests.is_empty() && patterns.is_empty() {
        rows.push(row.clone());
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::sample::image;
    use super::*;

    fn names(image: &Image, patterns: &[&str]) -> Vec<String> {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        let row = ImageRow {
            id: image.id,
            repository: None,
            tag: None,
            digest: None,
            created: None,
            size: 0,
            labels: BTreeMap::new(),
            containers: 0,
            platforms: Vec::new(),
        };
        let none = || "<none>".to_owned();
        named_rows(image, &patterns, &row)
            .into_iter()
            .map(|r| {
                let digest = if r.digest.is_some() { "@" } else { "" };
                format!(
                    "{}:{}{digest}",
                    r.repository.unwrap_or_else(none),
                    r.tag.unwrap_or_else(none)
                )
            })
            .collect()
    }

    #[test]
    fn one_row_for_each_name() {
        assert_eq!(names(&image(&[], &[]), &[]), ["<none>:<none>"]);
        assert_eq!(
            names(&image(&[], &["docker.io/library/a"]), &[]),
            ["a:<none>@"]
        );
        let both = image(
            &["a:1", "a:2", "q.io/b:1"],
            &["docker.io/library/a", "z.io/z"],
        );
        assert_eq!(
            names(&both, &[]),
            ["a:1@", "a:2@", "q.io/b:1", "z.io/z:<none>@"]
        );
        assert_eq!(
            names(&both, &["a:*", "q.io/*"]),
            ["a:1@", "a:2@", "q.io/b:1"]
        );
        assert_eq!(names(&image(&[], &[]), &["*"]), Vec::<String>::new());
    }

    #[test]
    fn filters_are_read() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let parse = |text: &str| ImageFilters::parse(&[text.to_owned()], now);
        assert_eq!(parse("dangling=1").unwrap().dangling, Some(true));
        assert_eq!(
            parse("until=1h30m").unwrap().until,
            Some("2026-11-21T10:30:00Z".parse().unwrap())
        );
        assert_eq!(
            parse("until=86400").unwrap().until,
            Some("1970-01-02T00:00:00Z".parse().unwrap())
        );
        assert!(parse("until=2026-01-02").unwrap().until.is_some());
        assert!(parse("until=2026-01-02T03:04:05Z").unwrap().until.is_some());
        for bad in [
            "",
            "dangling",
            "dangling=x",
            "until=5",
            "until=",
            "until=h",
            "colour=red",
        ] {
            // A plain number is a time in seconds.
            assert_eq!(parse(bad).is_err(), bad != "until=5", "{bad}");
        }
    }

    #[test]
    fn labels_are_compared() {
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let fits = |with: &[&str], without: &[&str]| {
            let own = |v: &[&str]| v.iter().map(|s| (*s).to_owned()).collect();
            ImageFilters {
                label: own(with),
                without_label: own(without),
                ..ImageFilters::default()
            }
            .labels_fit(&labels)
        };
        assert!(
            fits(&["a"], &[]) && fits(&["a=1"], &[]) && !fits(&["a=2"], &[]) && !fits(&["b"], &[])
        );
        assert!(!fits(&[], &["a"]) && fits(&[], &["a=2"]));
    }
}
