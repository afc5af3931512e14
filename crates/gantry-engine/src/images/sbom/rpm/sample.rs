//! Databases as rpm writes them, for tests.

use super::Form;

/// The tags of a header: number, type, and data with as many values as that has.
pub(in super::super) type Tags = [(u32, u32, &'static [u8])];

pub(in super::super) const BASH: [(u32, u32, &[u8]); 7] = [
    (1000, 6, b"bash\0"),
    (1001, 6, b"5.2\0"),
    (1002, 6, b"1\0"),
    (1011, 6, b"Nobody\0"),
    (1014, 6, b"GPL-3.0-or-later\0"),
    (1022, 6, b"x86_64\0"),
    (1044, 6, b"bash-5.2-1.src.rpm\0"),
];
pub(in super::super) const TOOL: [(u32, u32, &[u8]); 5] = [
    (1000, 6, b"tool\0"),
    (1001, 6, b"1+x\0"),
    (1002, 6, b"2\0"),
    (1003, 4, &[0, 0, 0, 3]),
    (1022, 6, b"noarch\0"),
];
const KEY: [(u32, u32, &[u8]); 3] = [
    (1000, 6, b"gpg-pubkey\0"),
    (1001, 6, b"a15b79cc\0"),
    (1002, 6, b"63d04c2c\0"),
];

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap()
}

/// A header with these tags.
pub(in super::super) fn header(tags: &Tags) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, kind, value) in tags {
        for number in [*tag, *kind, size(data.len()), 1] {
            index.extend(number.to_be_bytes());
        }
        data.extend_from_slice(value);
    }
    let counts = [size(tags.len()), size(data.len())];
    let counts = counts.map(u32::to_be_bytes).concat();
    [counts, index, data].concat()
}

/// A database of two packages and a key.
pub(in super::super) fn database(form: Form) -> Vec<u8> {
    of(form, &[header(&BASH), header(&KEY), header(&TOOL)])
}

/// A database of these headers.
pub(in super::super) fn of(form: Form, headers: &[Vec<u8>]) -> Vec<u8> {
    match form {
        Form::Sqlite => sqlite(headers),
        Form::Ndb => ndb(headers),
        Form::Bdb => bdb(headers),
    }
}

fn sqlite(headers: &[Vec<u8>]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rpmdb.sqlite");
    let table =
        "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)";
    let connection = rusqlite::Connection::open(&path).unwrap();
    // As rpm has it, with the journal empty afterwards.
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .unwrap();
    connection.execute(table, []).unwrap();
    for header in headers {
        let insert = "INSERT INTO Packages (blob) VALUES (?)";
        connection.execute(insert, [header]).unwrap();
    }
    drop(connection);
    std::fs::read(path).unwrap()
}

fn ndb(headers: &[Vec<u8>]) -> Vec<u8> {
    let words = |numbers: &[u32]| -> Vec<u8> {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes());
        bytes.collect()
    };
    let (mut slots, mut blocks) = (Vec::new(), Vec::new());
    for (number, header) in (1..).zip(headers) {
        let count = (16 + header.len() + 12).div_ceil(16);
        let first = size((4096 + blocks.len()) / 16);
        slots.extend([b"Slot".to_vec(), words(&[number, first, size(count)])].concat());
        let padding = vec![0; count * 16 - 28 - header.len()];
        let length = size(header.len());
        blocks.extend([b"BlbS".to_vec(), words(&[number, 7, length])].concat());
        blocks.extend(
            [
                header.clone(),
                padding,
                words(&[0, length]),
                b"BlbE".to_vec(),
            ]
            .concat(),
        );
    }
    let head = [b"RpmP".to_vec(), words(&[0, 9, 1, 4, 0, 0, 0])].concat();
    let mut file = [head, slots].concat();
    while file.len() < 4096 {
        file.extend([b"Slot".to_vec(), words(&[0, 0, 0])].concat());
    }
    [file, blocks].concat()
}

/// The first value lies on the page of its key, the others on two pages each.
fn bdb(headers: &[Vec<u8>]) -> Vec<u8> {
    const PAGE: usize = 512;
    let page = |kind: u8, next: u32, entries: usize, free: usize| {
        let mut page = vec![0_u8; PAGE];
        page[16..20].copy_from_slice(&next.to_le_bytes());
        page[20..22].copy_from_slice(&u16::try_from(entries).unwrap().to_le_bytes());
        page[22..24].copy_from_slice(&u16::try_from(free).unwrap().to_le_bytes());
        page[25] = kind;
        page
    };
    let mut hash = page(13, 0, 2 + 2 * headers.len(), 0);
    let mut values = Vec::new();
    let mut items: Vec<Vec<u8>> = vec![vec![1, 0, 0, 0, 0], vec![1, 9, 0, 0, 0]];
    for (number, header) in (1_u8..).zip(headers) {
        items.push(vec![1, number, 0, 0, 0]);
        if number == 1 {
            items.push([&[1], &header[..]].concat());
            continue;
        }
        let first = size(2 + values.len());
        let half = header.len() / 2;
        for (part, next) in [(&header[..half], first + 1), (&header[half..], 0)] {
            let mut overflow = page(7, next, 1, part.len());
            overflow[26..26 + part.len()].copy_from_slice(part);
            values.push(overflow);
        }
        let length = size(header.len()).to_le_bytes();
        items.push([&[3, 0, 0, 0], &first.to_le_bytes()[..], &length].concat());
    }
    let mut end = PAGE;
    for (at, item) in items.iter().enumerate() {
        hash[end - item.len()..end].copy_from_slice(item);
        end -= item.len();
        let offset = u16::try_from(end).unwrap().to_le_bytes();
        hash[26 + 2 * at..28 + 2 * at].copy_from_slice(&offset);
    }
    let mut meta = vec![0_u8; PAGE];
    for (at, number) in [
        (12, 0x0006_1561),
        (16, 9),
        (20, 512),
        (32, size(1 + values.len())),
    ] {
        meta[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    meta[25] = 8;
    [meta, hash, values.concat()].concat()
}
