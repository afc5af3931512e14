//! `--blkio-weight-device`, `--device-read-bps` and their like: a value for one device.

use gantry_model::container::DeviceValue;
use gantry_model::quantity::parse_bytes;

use super::value::{FlagError, wrong};

/// What the value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// A share, 10 to 1000; 0 leaves it alone.
    Weight,
    /// Bytes a second, with a unit.
    Bytes,
    /// Operations a second.
    Operations,
}

/// Reads `PATH:VALUE` of every use of a flag.
pub(crate) fn values(
    flag: &'static str,
    counts: Counts,
    texts: &[String],
) -> Result<Vec<DeviceValue>, FlagError> {
    texts
        .iter()
        .map(|text| value(counts, text).map_err(wrong(flag, text)))
        .collect()
}

fn value(counts: Counts, text: &str) -> Result<DeviceValue, String> {
    let (path, number) = text
        .split_once(':')
        .filter(|(path, number)| !path.is_empty() && !number.contains(':'))
        .ok_or_else(|| format!("bad format: {text}"))?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    let value = match counts {
        Counts::Weight => number
            .parse()
            .ok()
            .filter(|weight| *weight == 0 || (10..=1000).contains(weight))
            .ok_or_else(|| format!("invalid weight for device: {text}"))?,
        Counts::Bytes => parse_bytes(number).map_err(|_| {
            format!(
                "invalid rate for device: {text}. The correct format is \
                 <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is \
                 optional and can be kb, mb, or gb"
            )
        })?,
        Counts::Operations => number.parse().map_err(|_| {
            format!(
                "invalid rate for device: {text}. The correct format is <device-path>:<number>. \
                 Number must be a positive integer"
            )
        })?,
    };
    Ok(DeviceValue {
        path: path.to_owned(),
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_dockers() {
        for (counts, text, want) in [
            (Counts::Weight, "/dev/sda:300", 300),
            (Counts::Weight, "/dev/sda:0", 0),
            (Counts::Bytes, "/dev/sda:1mb", 1 << 20),
            (Counts::Bytes, "/dev/disk/by-id/x:5", 5),
            (Counts::Operations, "/dev/sda:1000", 1000),
        ] {
            assert_eq!(value(counts, text).unwrap().value, want, "{text}");
        }
        for (counts, text, want) in [
            (
                Counts::Weight,
                "/dev/x:3",
                "invalid weight for device: /dev/x:3",
            ),
            (Counts::Weight, "x:300", "bad format for device path: x:300"),
            (Counts::Bytes, "/dev/x", "bad format: /dev/x"),
            (Counts::Bytes, "/dev/x:1:2", "bad format: /dev/x:1:2"),
            (
                Counts::Bytes,
                "/dev/x:zz",
                "invalid rate for device: /dev/x:zz.",
            ),
            (
                Counts::Operations,
                "/dev/x:1mb",
                "invalid rate for device: /dev/x:1mb.",
            ),
        ] {
            let error = value(counts, text).unwrap_err();
            assert!(error.starts_with(want), "{text}: {error}");
        }
    }
}
