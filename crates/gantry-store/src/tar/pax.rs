//! PAX extended headers: `length key=value\n`.

use std::collections::BTreeMap;

use super::entry::Timestamp;
use super::error::ReadErrorKind;

/// What PAX headers say of the next entry, or (global ones) of all entries that follow.
#[derive(Debug, Clone, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) sparse: PaxSparse,
}

/// The `GNU.sparse.` records.
#[derive(Debug, Clone, Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    /// Offsets and lengths in turn (formats 0.0 and 0.1).
    pub(super) numbers: Vec<u64>,
    pub(super) present: bool,
}

impl Pax {
    /// Reads the body of an extended header over what is known already.
    pub(super) fn read(&mut self, mut body: &[u8]) -> Result<(), ReadErrorKind> {
        // Some writers pad with NULs.
        while body.first().is_some_and(|&b| b != 0) {
            let (key, value, rest) = record(body)?;
            self.set(key, value)?;
            body = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), ReadErrorKind> {
        // An empty value takes back what a global header said.
        let given = !value.is_empty();
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link = name(value)?,
            b"size" => self.size = given.then(|| decimal(value)).transpose()?,
            b"uid" => self.uid = id(value, "uid")?,
            b"gid" => self.gid = id(value, "gid")?,
            b"mtime" => self.mtime = given.then(|| time(value)).transpose()?,
            _ => {
                if let Some(attribute) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.set_xattr(attribute, value.to_vec())?;
                } else if let Some(attribute) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let attribute = percent_decode(attribute);
                    // SCHILY's is the more exact one where a writer gives both.
                    if !self.xattrs.contains_key(&attribute) {
                        let value = base64_decode(value).ok_or(ReadErrorKind::Pax)?;
                        self.set_xattr(&attribute, value)?;
                    }
                } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.set(key, value)?;
                }
            }
        }
        Ok(())
    }

    fn set_xattr(&mut self, attribute: &[u8], value: Vec<u8>) -> Result<(), ReadErrorKind> {
        if attribute.is_empty() || attribute.contains(&0) {
            return Err(ReadErrorKind::Pax);
        }
        self.xattrs.insert(attribute.to_vec(), value);
        Ok(())
    }
}

impl PaxSparse {
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), ReadErrorKind> {
        self.present = true;
        let number = || decimal(value).map_err(|_| ReadErrorKind::Sparse);
        match key {
            b"major" => self.major = Some(number()?),
            b"minor" => self.minor = Some(number()?),
            b"name" => self.name = name(value)?,
            b"size" | b"realsize" => self.real_size = Some(number()?),
            b"offset" | b"numbytes" => self.numbers.push(number()?),
            b"map" if !value.is_empty() => {
                for part in value.split(|&b| b == b',') {
                    let part = decimal(part).map_err(|_| ReadErrorKind::Sparse)?;
                    self.numbers.push(part);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// The first record's key and value, and what follows it.
fn record(body: &[u8]) -> Result<Record<'_>, ReadErrorKind> {
    let space = body
        .iter()
        .take(20)
        .position(|&b| b == b' ')
        .ok_or(ReadErrorKind::Pax)?;
    let length = decimal(&body[..space])?;
    let length = usize::try_from(length).map_err(|_| ReadErrorKind::Pax)?;
    if length <= space + 1 || length > body.len() || body[length - 1] != b'\n' {
        return Err(ReadErrorKind::Pax);
    }
    let record = &body[space + 1..length - 1];
    let equals = record
        .iter()
        .position(|&b| b == b'=')
        .ok_or(ReadErrorKind::Pax)?;
    if equals == 0 {
        return Err(ReadErrorKind::Pax);
    }
    Ok((&record[..equals], &record[equals + 1..], &body[length..]))
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>, ReadErrorKind> {
    if value.contains(&0) {
        return Err(ReadErrorKind::Pax);
    }
    Ok((!value.is_empty()).then(|| value.to_vec()))
}

pub(super) fn decimal(text: &[u8]) -> Result<u64, ReadErrorKind> {
    if text.is_empty() {
        return Err(ReadErrorKind::Pax);
    }
    text.iter()
        .try_fold(0_u64, |value, &digit| match digit {
            b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
            _ => None,
        })
        .ok_or(ReadErrorKind::Pax)
}

fn id(value: &[u8], field: &'static str) -> Result<Option<u32>, ReadErrorKind> {
    if value.is_empty() {
        return Ok(None);
    }
    u32::try_from(decimal(value)?)
        .map(Some)
        .map_err(|_| ReadErrorKind::Range(field))
}

/// `[-]seconds[.fraction]`; digits beyond nanoseconds are cut.
fn time(value: &[u8]) -> Result<Timestamp, ReadErrorKind> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let (whole, fraction) = match value.iter().position(|&b| b == b'.') {
        Some(at) => (&value[..at], &value[at + 1..]),
        None => (value, &[][..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(ReadErrorKind::Number("mtime"));
    }
    let whole = if whole.is_empty() { 0 } else { decimal(whole)? };
    let seconds = i64::try_from(whole).map_err(|_| ReadErrorKind::Range("mtime"))?;
    let nanoseconds = (0..9).fold(0_u32, |value, index| {
        value * 10
            + fraction
                .get(index)
                .map_or(0, |digit| u32::from(digit - b'0'))
    });
    Ok(match (negative, nanoseconds) {
        (false, _) => Timestamp {
            seconds,
            nanoseconds,
        },
        (true, 0) => Timestamp {
            seconds: -seconds,
            nanoseconds: 0,
        },
        (true, _) => Timestamp {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let hex = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let escaped = match text.get(at..at + 3) {
            Some([b'%', high, low]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                at += 3;
            }
            None => {
                decoded.push(text[at]);
                at += 1;
            }
        }
    }
    decoded
}

/// Base64 with or without padding (RFC 4648, section 4).
fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().position(|&b| b == b'=').unwrap_or(text.len());
    let (digits, padding) = text.split_at(end);
    if padding.iter().any(|&b| b != b'=') || digits.len() % 4 == 1 {
        return None;
    }
    let mut decoded = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let mut bits = 0_u32;
    let mut count = 0;
    for &digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push(u8::try_from(bits >> count & 0xff).expect("eight bits"));
        }
    }
    Some(decoded)
}

/// Appends a record.
pub(super) fn write(body: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    body.extend_from_slice(length.to_string().as_bytes());
    body.push(b' ');
    body.extend_from_slice(key);
    body.push(b'=');
    body.extend_from_slice(value);
    body.push(b'\n');
}

/// Appends an extended attribute: as `SCHILY.xattr.` with the bytes as they are, or as
/// `LIBARCHIVE.xattr.` where the name would be taken for something else.
pub(super) fn write_xattr(body: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if !name.contains(&b'=') {
        write(body, &[b"SCHILY.xattr.", name].concat(), value);
        return;
    }
    let mut key = b"LIBARCHIVE.xattr.".to_vec();
    for &byte in name {
        if byte.is_ascii_graphic() && byte != b'=' && byte != b'%' {
            key.push(byte);
        } else {
            key.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    write(body, &key, &base64_encode(value));
}

fn base64_encode(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            text.push(DIGITS[(bits >> (18 - 6 * index) & 63) as usize]);
        }
    }
    text
}

/// A time as PAX writes it, without closing zeros.
pub(super) fn format_time(time: Timestamp) -> String {
    if time.nanoseconds == 0 {
        return time.seconds.to_string();
    }
    let (sign, seconds, nanoseconds) = if time.seconds < 0 {
        (
            "-",
            (time.seconds + 1).unsigned_abs(),
            1_000_000_000 - time.nanoseconds,
        )
    } else {
        ("", time.seconds.unsigned_abs(), time.nanoseconds)
    };
    let text = format!("{sign}{seconds}.{nanoseconds:09}");
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_at_every_length() {
        for length in 0..1100 {
            let value = vec![b'v'; length];
            let mut body = Vec::new();
            write(&mut body, b"key", &value);
            let (key, read, rest) = record(&body).unwrap();
            assert_eq!((key, read, rest), (&b"key"[..], &value[..], &b""[..]));
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for body in [
            &b"x"[..],
            b" a=b\n",
            b"6 a=b",
            b"7 a=b\n",
            b"6 a=b\0",
            b"5 a=b\n",
            b"4 ab\n",
            b"5 =b\n",
            b"99999999999999999999999 a=b\n",
            b"18446744073709551615 a=b\n",
            b"-6 a=b\n",
            b"12 path=a\0b\n",
        ] {
            assert!(
                Pax::default().read(body).is_err(),
                "{}",
                body.escape_ascii()
            );
        }
    }

    #[test]
    fn times_of_either_sign() {
        for (text, seconds, nanoseconds) in [
            ("0", 0, 0),
            ("1.5", 1, 500_000_000),
            ("1.123456789", 1, 123_456_789),
            ("1.1234567899", 1, 123_456_789),
            ("-1", -1, 0),
            ("-0.25", -1, 750_000_000),
            ("-1.5", -2, 500_000_000),
            (".5", 0, 500_000_000),
        ] {
            let expected = Timestamp {
                seconds,
                nanoseconds,
            };
            assert_eq!(time(text.as_bytes()).unwrap(), expected, "{text}");
            let again = format_time(expected);
            assert_eq!(time(again.as_bytes()).unwrap(), expected, "{again}");
        }
        for bad in ["", "x", "1.x", "--1", "1e5", "99999999999999999999"] {
            let pax = Pax::default().read(format!("{} mtime={bad}\n", bad.len() + 10).as_bytes());
            assert!(bad.is_empty() || pax.is_err(), "{bad}");
        }
    }

    #[test]
    fn attributes_round_trip_whatever_their_names() {
        for (name, value) in [
            (&b"user.a"[..], &b"\0\n="[..]),
            (b"user.a=b%", b"x"),
            (b"user.=", b""),
            (b"user.\xff=", b"12345"),
        ] {
            let mut body = Vec::new();
            write_xattr(&mut body, name, value);
            let mut pax = Pax::default();
            pax.read(&body).unwrap();
            assert_eq!(pax.xattrs, [(name.to_vec(), value.to_vec())].into());
        }
    }

    #[test]
    fn libarchives_attributes_are_decoded() {
        let mut pax = Pax::default();
        let mut body = Vec::new();
        write(&mut body, b"LIBARCHIVE.xattr.user.a%3Db", b"aGVsbG8");
        write(&mut body, b"LIBARCHIVE.xattr.user.c", b"/+8=");
        write(&mut body, b"SCHILY.xattr.user.d", b"\0\n=\xff");
        pax.read(&body).unwrap();
        assert_eq!(
            pax.xattrs,
            [
                (b"user.a=b".to_vec(), b"hello".to_vec()),
                (b"user.c".to_vec(), vec![0xff, 0xef]),
                (b"user.d".to_vec(), b"\0\n=\xff".to_vec()),
            ]
            .into()
        );
    }
}
