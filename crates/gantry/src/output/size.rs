//! Sizes as people read them (go-units).

const DECIMAL: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const BINARY: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Decimal units, three significant digits: `1.98MB`.
pub(crate) fn short(bytes: u64) -> String {
    scaled(bytes, 1000.0, 3, DECIMAL)
}

/// Decimal units, four significant digits: `1.984MB`.
pub(crate) fn long(bytes: u64) -> String {
    scaled(bytes, 1000.0, 4, DECIMAL)
}

/// Binary units, four significant digits: `23.54GiB`.
pub(crate) fn binary(bytes: u64) -> String {
    scaled(bytes, 1024.0, 4, BINARY)
}

fn scaled(bytes: u64, base: f64, digits: usize, units: [&str; 7]) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "four significant digits are shown"
    )]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit < units.len() - 1 {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// Formats as Go's `%.{digits}g` does a value that needs no exponent.
fn significant(value: f64, digits: usize) -> String {
    let whole = match value {
        v if v >= 1000.0 => 4,
        v if v >= 100.0 => 3,
        v if v >= 10.0 => 2,
        _ => 1,
    };
    let text = format!("{value:.*}", digits.saturating_sub(whole));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_dockers() {
        for (bytes, three, four) in [
            (0, "0B", "0B"),
            (999, "999B", "999B"),
            (1_984_234, "1.98MB", "1.984MB"),
            (77_100_000, "77.1MB", "77.1MB"),
            (123_456_789_012, "123GB", "123.5GB"),
            (u64::MAX, "18.4EB", "18.45EB"),
        ] {
            assert_eq!(short(bytes), three);
            assert_eq!(long(bytes), four);
        }
        assert_eq!(binary(25_276_502_016), "23.54GiB");
        assert_eq!(binary(1023 * 1024), "1023KiB");
    }
}
