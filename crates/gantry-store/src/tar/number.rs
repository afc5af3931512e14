//! Numeric fields: octal digits, or base-256 where the first bit is set.

/// The number of a field; `None` when it is none or does not fit.
pub(super) fn parse(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base_256(field),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<i64> {
    let start = field
        .iter()
        .position(|&b| b != b' ' && b != 0)
        .unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits
        .iter()
        .position(|&b| b == b' ' || b == 0)
        .unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    if rest.iter().any(|&b| b != b' ' && b != 0) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn base_256(field: &[u8]) -> Option<i64> {
    // Two's complement over all bits of the field but the first, which marks the format.
    let negative = field[0] & 0x40 != 0;
    let mut value: i128 = if negative { -1 } else { 0 };
    for (index, &byte) in field.iter().enumerate() {
        let byte = match (index, negative) {
            (0, false) => byte & 0x7f,
            _ => byte,
        };
        value = (value << 8) | i128::from(byte);
    }
    i64::try_from(value).ok()
}

/// Writes `value` as octal digits with a closing NUL; says whether it fits.
pub(super) fn write_octal(field: &mut [u8], value: u64) -> bool {
    let digits = field.len() - 1;
    let fits = digits >= 22 || value >> (3 * digits) == 0;
    let mut rest = if fits { value } else { 0 };
    field[digits] = 0;
    for slot in field[..digits].iter_mut().rev() {
        *slot = b'0' + u8::try_from(rest & 7).expect("three bits");
        rest >>= 3;
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_with_any_padding() {
        for (field, value) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"644", Some(0o644)),
            (b"\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"", Some(0)),
            (b"12 34\0", None),
            (b"9\0", None),
            (b"-1\0", None),
            (b"77777777777", Some(0o77_777_777_777)),
            (b"7777777777777777777777777", None),
        ] {
            assert_eq!(parse(field), value, "{field:?}");
        }
    }

    #[test]
    fn base_256_of_either_sign() {
        assert_eq!(parse(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(parse(&[0xff; 12]), Some(-1));
        assert_eq!(
            parse(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255]),
            Some(i64::MAX)
        );
        assert_eq!(parse(&[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(
            parse(&[0xff, 255, 255, 255, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            Some(i64::MIN)
        );
        assert_eq!(parse(&[0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn written_octal_is_read_back() {
        let mut field = [0; 12];
        assert!(write_octal(&mut field, 0o77_777_777_777));
        assert_eq!(parse(&field), Some(0o77_777_777_777));
        assert!(!write_octal(&mut field, 0o100_000_000_000));
        assert!(write_octal(&mut field, 0));
        assert_eq!(&field, b"00000000000\0");
    }
}
