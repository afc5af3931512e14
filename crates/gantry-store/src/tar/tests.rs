use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::limits::{Limit, Limits};

fn read_all(tar: &[u8], limits: &Limits) -> Result<Vec<(Entry, Vec<u8>)>, ReadError> {
    let mut reader = Reader::new(tar, limits);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        loop {
            let piece = reader.fill()?;
            if piece.is_empty() {
                break;
            }
            content.extend_from_slice(piece);
            let count = piece.len();
            reader.consume(count);
        }
        entries.push((entry, content));
    }
    reader.drain()?;
    Ok(entries)
}

fn write_all(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.append(entry, &mut &content[..]).unwrap();
    }
    writer.finish().unwrap()
}

/// A name that needs no normalising.
fn name() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(proptest::collection::vec(1_u8..=255, 1..90), 1..6).prop_map(
        |parts| {
            let clean = |part: Vec<u8>| -> Vec<u8> {
                part.into_iter()
                    .map(|b| if b == b'/' { b'_' } else { b })
                    .collect()
            };
            parts.into_iter().map(clean).collect::<Vec<_>>().join(&b'/')
        },
    )
}

prop_compose! {
    fn entry()(
        path in name(),
        link in name(),
        kind in 0..7_usize,
        mode in 0_u32..0o10000,
        uid: u32,
        gid: u32,
        seconds in -(1_i64 << 40)..1 << 40,
        nanoseconds in 0_u32..1_000_000_000,
        device in (0_u32..4096, 0_u32..1 << 20),
        names in proptest::collection::btree_map(
            proptest::collection::vec(1_u8..=255, 1..30), proptest::collection::vec(any::<u8>(), 0..50), 0..4),
        content in proptest::collection::vec(any::<u8>(), 0..2000),
    ) -> (Entry, Vec<u8>) {
        let kind = [
            EntryKind::Regular, EntryKind::HardLink, EntryKind::Symlink, EntryKind::CharacterDevice,
            EntryKind::BlockDevice, EntryKind::Directory, EntryKind::Fifo,
        ][kind];
        let regular = kind == EntryKind::Regular;
        let linked = matches!(kind, EntryKind::HardLink | EntryKind::Symlink);
        let special = matches!(kind, EntryKind::CharacterDevice | EntryKind::BlockDevice);
        let entry = Entry {
            mode, uid, gid,
            mtime: Timestamp { seconds, nanoseconds },
            size: if regular { content.len() as u64 } else { 0 },
            link: if linked { link } else { Vec::new() },
            device: if special { device } else { (0, 0) },
            xattrs: names.into_iter().collect(),
            ..Entry::new(kind, path)
        };
        (entry, if regular { content } else { Vec::new() })
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in proptest::collection::vec(entry(), 0..8)) {
        let tar = write_all(&entries);
        prop_assert_eq!(tar.len() % BLOCK, 0);
        prop_assert_eq!(read_all(&tar, &Limits::default()).unwrap(), entries);
    }

    #[test]
    fn nothing_makes_the_reader_panic_or_go_astray(
        entries in proptest::collection::vec(entry(), 1..4),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        seal in any::<bool>(),
    ) {
        let mut tar = write_all(&entries);
        for (at, byte) in changes {
            let at = at.index(tar.len());
            tar[at] = byte;
            if seal {
                // Keep the checksum right, so that the change gets further.
                let start = at / BLOCK * BLOCK;
                let block: &mut [u8; BLOCK] = (&mut tar[start..start + BLOCK]).try_into().unwrap();
                header::seal(block);
            }
        }
        if let Some(cut) = cut {
            tar.truncate(cut.index(tar.len()));
        }
        let limits = Limits { header_bytes: 1 << 16, sparse_fragments: 100, ..Limits::default() };
        if let Err(error) = read_all(&tar, &limits) {
            prop_assert!(error.offset <= tar.len() as u64);
        }
    }
}

/// A header of GNU's format for an entry called `name`.
fn block(typeflag: u8, size: usize) -> Vec<u8> {
    let mut block = [0; BLOCK];
    block[..4].copy_from_slice(b"name");
    for (at, length, value) in [
        (100, 8, 0o644),
        (108, 8, 0),
        (116, 8, 0),
        (124, 12, size),
        (136, 12, 0),
    ] {
        assert!(number::write_octal(
            &mut block[at..at + length],
            value as u64
        ));
    }
    block[156] = typeflag;
    block[257..265].copy_from_slice(b"ustar  \0");
    header::seal(&mut block);
    block.to_vec()
}

#[test]
fn extended_headers_apply_to_the_next_entry_and_to_nothing_else() {
    // A PAX size before a GNU long name must not change how much the latter has.
    let mut body = Vec::new();
    pax::write(&mut body, b"size", b"5");
    let padded = |bytes: &[u8]| {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(BLOCK), 0);
        padded
    };
    let long = b"long/name\0";
    let tar = [
        block(b'x', body.len()),
        padded(&body),
        block(b'L', long.len()),
        padded(long),
        block(b'0', 700),
        padded(b"hello"),
        block(b'0', 0),
    ]
    .concat();
    let entries = read_all(&tar, &Limits::default()).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (&entries[0].0.path[..], &entries[0].1[..]),
        (&b"long/name"[..], &b"hello"[..])
    );
    assert_eq!(
        (&entries[1].0.path[..], entries[1].0.size),
        (&b"name"[..], 0)
    );
}

#[test]
fn global_headers_leave_no_attributes_and_no_map_behind() {
    // Thousands of them in a few compressed bytes must not add up.
    let mut body = Vec::new();
    pax::write(&mut body, b"GNU.sparse.offset", b"0");
    pax::write(&mut body, b"GNU.sparse.numbytes", b"0");
    pax::write(&mut body, b"SCHILY.xattr.user.a", b"x");
    let size = body.len();
    body.resize(size.next_multiple_of(BLOCK), 0);
    let tar = [block(b'g', size), body, block(b'0', 0)].concat();
    let entries = read_all(&tar, &Limits::default()).unwrap();
    assert_eq!(entries.len(), 1);
    assert!(entries[0].0.sparse.is_none() && entries[0].0.xattrs.is_empty());
}

#[test]
fn entries_without_a_name_are_passed_over_with_their_content() {
    let nameless = |typeflag, size| {
        let mut block = block(typeflag, size);
        block[..4].fill(0);
        header::seal((&mut block[..]).try_into().unwrap());
        block
    };
    let mut content = vec![b'x'; 700];
    content.resize(2 * BLOCK, 0);
    let tar = [
        nameless(b'5', 0),
        nameless(b'0', 700),
        content,
        block(b'0', 0),
        nameless(b'2', 0),
    ]
    .concat();
    let mut reader = Reader::new(&tar[..], &Limits::default());
    assert_eq!(reader.next_entry().unwrap().unwrap().path, b"name");
    assert_eq!(reader.nameless(), 2);
    assert_eq!(reader.next_entry().unwrap(), None);
    assert_eq!(reader.nameless(), 3);
}

#[test]
fn malformed_archives_are_refused_by_offset() {
    let good = write_all(&[
        (Entry::new(EntryKind::Directory, "d"), vec![]),
        (
            Entry {
                size: 600,
                ..Entry::new(EntryKind::Regular, "f")
            },
            vec![1; 600],
        ),
        (Entry::new(EntryKind::Fifo, "p"), vec![]),
    ]);
    let refuse = |tar: &[u8]| read_all(tar, &Limits::default()).unwrap_err();
    let mut checksum = good.clone();
    checksum[512 * 4 + 3] ^= 1;
    let error = refuse(&checksum);
    assert!(matches!(
        (error.offset, error.kind),
        (2048, ReadErrorKind::Checksum)
    ));
    let error = refuse(&good[..1500]);
    assert!(matches!(
        (error.offset, error.kind),
        (512, ReadErrorKind::Truncated)
    ));
    let mut unknown = good.clone();
    unknown[156] = b'V';
    header::seal((&mut unknown[..512]).try_into().unwrap());
    assert!(matches!(refuse(&unknown).kind, ReadErrorKind::Type(b'V')));
    let long = write_all(&[(Entry::new(EntryKind::Fifo, vec![b'x'; 5000]), vec![])]);
    let limits = Limits {
        header_bytes: 4096,
        ..Limits::default()
    };
    assert!(matches!(
        read_all(&long, &limits).unwrap_err().kind,
        ReadErrorKind::TooMuch {
            what: Limit::HeaderBytes,
            limit: 4096
        }
    ));
    assert!(matches!(
        refuse(&long[..512 + 5120]).kind,
        ReadErrorKind::Dangling
    ));
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let map = |numbers: &[u64], real, data| sparse::map(numbers, real, data, 10);
    assert!(map(&[0, 5, 10, 5, 20, 0], 20, 10).is_ok());
    for (numbers, real, data) in [
        (&[0_u64, 5, 3, 5][..], 20, 10),
        (&[10, 5, 0, 5], 20, 10),
        (&[0, 5], 4, 5),
        (&[0, 5], 20, 6),
        (&[u64::MAX, 2], u64::MAX, 2),
        (&[0], 20, 0),
        (&[0; 22], 20, 0),
    ] {
        assert!(map(numbers, real, data).is_err(), "{numbers:?}");
    }
}

#[test]
fn content_is_read_through_read_too() {
    let tar = write_all(&[(
        Entry {
            size: 3,
            ..Entry::new(EntryKind::Regular, "f")
        },
        b"abc".to_vec(),
    )]);
    let mut reader = Reader::new(&tar[..], &Limits::default());
    reader.next_entry().unwrap().unwrap();
    assert_eq!(reader.offset(), 512, "the offset of the data");
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "abc");
}
