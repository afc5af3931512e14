//! `[limits]`: how much a layer or an archive from outside may be before it is taken for an attack.

use gantry_model::quantity::parse_bytes;
use gantry_store::Limits;
use gantry_store::limits::Limit;
use serde::Deserialize;

/// `[limits]` as written: sizes as texts (`"20g"`), the rest as numbers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct WrittenLimits {
    layer_bytes: Option<String>,
    layer_entries: Option<u64>,
    compression_ratio: Option<u64>,
    compression_ratio_floor: Option<String>,
    devices: Option<u64>,
    path_bytes: Option<u64>,
    path_depth: Option<u64>,
    header_bytes: Option<String>,
    sparse_fragments: Option<u64>,
    file_bytes: Option<String>,
}

/// A value that cannot be: its key below `[limits]`, the value, and why.
pub(super) type Refused = (&'static str, String, &'static str);

/// Paths that the kernel takes have at most so many bytes.
const PATH: u64 = 4095;
/// Layers are packed up to 600 directories deep.
const DEPTH: u64 = 599;
/// What one header makes a process keep in memory.
const HEADER: u64 = 64 << 20;
const FRAGMENTS: u64 = 1 << 24;

impl WrittenLimits {
    /// Lays what is written over what is there.
    pub(super) fn apply(self, limits: &mut Limits) -> Result<(), Refused> {
        const ANY: u64 = u64::MAX;
        let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let mut path_bytes = limits.path_bytes as u64;
        let mut path_depth = limits.path_depth as u64;
        let mut header_bytes = limits.header_bytes as u64;
        let mut fragments = limits.sparse_fragments as u64;
        size(
            Limit::TarBytes.key(),
            self.layer_bytes,
            ANY,
            &mut limits.tar_bytes,
        )?;
        number(
            Limit::Entries.key(),
            self.layer_entries,
            1..=ANY,
            &mut limits.entries,
        )?;
        number(
            Limit::Ratio.key(),
            self.compression_ratio,
            1..=ANY,
            &mut limits.ratio,
        )?;
        size(
            "compression-ratio-floor",
            self.compression_ratio_floor,
            ANY,
            &mut limits.ratio_floor,
        )?;
        number(
            Limit::Devices.key(),
            self.devices,
            0..=ANY,
            &mut limits.devices,
        )?;
        number(
            Limit::PathBytes.key(),
            self.path_bytes,
            1..=PATH,
            &mut path_bytes,
        )?;
        number(
            Limit::PathDepth.key(),
            self.path_depth,
            1..=DEPTH,
            &mut path_depth,
        )?;
        size(
            Limit::HeaderBytes.key(),
            self.header_bytes,
            HEADER,
            &mut header_bytes,
        )?;
        number(
            Limit::SparseFragments.key(),
            self.sparse_fragments,
            0..=FRAGMENTS,
            &mut fragments,
        )?;
        size(
            Limit::FileBytes.key(),
            self.file_bytes,
            ANY,
            &mut limits.file_bytes,
        )?;
        limits.path_bytes = place(path_bytes);
        limits.path_depth = place(path_depth);
        limits.header_bytes = place(header_bytes);
        limits.sparse_fragments = place(fragments);
        Ok(())
    }
}

fn number(
    key: &'static str,
    written: Option<u64>,
    range: std::ops::RangeInclusive<u64>,
    limit: &mut u64,
) -> Result<(), Refused> {
    match written {
        Some(value) if range.contains(&value) => *limit = value,
        Some(value) if value < *range.start() => {
            return Err((key, value.to_string(), "nothing could be unpacked any more"));
        }
        Some(value) => return Err((key, value.to_string(), "more than that is never accepted")),
        None => {}
    }
    Ok(())
}

/// At least one block of a tar.
fn size(
    key: &'static str,
    written: Option<String>,
    most: u64,
    limit: &mut u64,
) -> Result<(), Refused> {
    let Some(text) = written else { return Ok(()) };
    match parse_bytes(&text) {
        Ok(bytes) if (512..=most).contains(&bytes) => *limit = bytes,
        Ok(bytes) if bytes > most => return Err((key, text, "more than that is never accepted")),
        _ => return Err((key, text, "it is a size of at least 512 bytes")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str) -> Result<Limits, String> {
        let written: WrittenLimits = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut limits = Limits::default();
        match written.apply(&mut limits) {
            Ok(()) => Ok(limits),
            Err((key, value, reason)) => Err(format!("{key}={value}: {reason}")),
        }
    }

    #[test]
    fn every_limit_that_a_hint_names_can_be_set() {
        let all = [
            Limit::TarBytes,
            Limit::Entries,
            Limit::Ratio,
            Limit::Devices,
            Limit::PathBytes,
            Limit::PathDepth,
            Limit::HeaderBytes,
            Limit::SparseFragments,
            Limit::FileBytes,
        ];
        for limit in all {
            let texts = [
                format!("{} = 555", limit.key()),
                format!("{} = \"555\"", limit.key()),
            ];
            let set = texts.iter().find_map(|text| applied(text).ok()).unwrap();
            let value = match limit {
                Limit::TarBytes => set.tar_bytes,
                Limit::Entries => set.entries,
                Limit::Ratio => set.ratio,
                Limit::Devices => set.devices,
                Limit::PathBytes => set.path_bytes as u64,
                Limit::PathDepth => set.path_depth as u64,
                Limit::HeaderBytes => set.header_bytes as u64,
                Limit::SparseFragments => set.sparse_fragments as u64,
                Limit::FileBytes => set.file_bytes,
            };
            assert_eq!(value, 555, "{}", limit.key());
        }
        let set = applied("compression-ratio-floor = \"2m\"\nlayer-bytes = \"1.5g\"").unwrap();
        assert_eq!((set.ratio_floor, set.tar_bytes), (2 << 20, 3 << 29));
        assert_eq!(applied("").unwrap(), Limits::default());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in [
            "layer-bytes = \"tiny\"",
            "layer-bytes = \"0\"",
            "layer-bytes = 5",
            "layer-entries = 0",
            "layer-entries = -1",
            "compression-ratio = 0",
            "path-bytes = 5000",
            "path-depth = 600",
            "header-bytes = \"1g\"",
            "sparse-fragments = 100000000",
            "layer-byte = \"1g\"",
        ] {
            assert!(applied(text).is_err(), "{text}");
        }
    }
}
