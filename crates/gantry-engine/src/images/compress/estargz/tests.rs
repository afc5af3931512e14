//! The result read by the rules of the format: footer, table, members.

use flate2::read::{GzDecoder, MultiGzDecoder};

use super::*;
use crate::images::compress::{LayerCompression, Method, Sum, compressed};

fn archive() -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let mut tar = Writer::new(Vec::new());
    let mut folder = Entry::new(EntryKind::Directory, "d");
    folder.mode = 0o755;
    tar.append(&folder, &mut io::empty()).unwrap();
    let big: Vec<u8> = (0..CHUNK + 5000)
        .map(|i| u8::try_from(i % 241).unwrap())
        .collect();
    let files = vec![
        ("d/small".to_owned(), b"hello".to_vec()),
        ("d/big".to_owned(), big),
        ("d/empty".to_owned(), Vec::new()),
        ("d/last".to_owned(), vec![7; 512]),
    ];
    for (name, content) in &files {
        let mut entry = Entry::new(EntryKind::Regular, name.as_str());
        entry.mode = 0o644;
        entry.uid = 5;
        entry.mtime.seconds = 1_700_000_000;
        entry.size = content.len() as u64;
        entry.xattrs = vec![(b"user.a".to_vec(), b"\x00b".to_vec())];
        tar.append(&entry, &mut &content[..]).unwrap();
    }
    let mut link = Entry::new(EntryKind::Symlink, "d/link");
    link.link = b"small".to_vec();
    tar.append(&link, &mut io::empty()).unwrap();
    (tar.finish().unwrap(), files)
}

fn press(mut tar: &[u8], threads: usize) -> (Vec<u8>, Sum) {
    let method = Method {
        compression: LayerCompression::Estargz,
        level: None,
    };
    compressed(&mut tar, method, threads, |stream| {
        let mut out = Vec::new();
        stream.read_to_end(&mut out).unwrap();
        (out, stream.sum())
    })
}

#[test]
fn files_are_found_by_the_footer_and_the_table() {
    let (tar, files) = archive();
    let (blob, sum) = press(&tar, 3);
    assert_eq!(press(&tar, 1), (blob.clone(), sum));
    let (whole, table_digest) = sum.contents.unwrap();
    // The archive comes first, as it was.
    let mut plain = Vec::new();
    MultiGzDecoder::new(&blob[..])
        .read_to_end(&mut plain)
        .unwrap();
    assert!(plain.starts_with(&tar));
    assert_eq!(document::digest(&plain), whole);
    // The footer: 51 bytes, the offset in an extra field "SG".
    let footer = &blob[blob.len() - 51..];
    assert_eq!(
        &footer[..16],
        b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x1a\0SG\x16\0"
    );
    assert_eq!(&footer[32..38], b"STARGZ");
    let offset = std::str::from_utf8(&footer[16..32]).unwrap();
    let offset = usize::from_str_radix(offset, 16).unwrap();
    let mut none = Vec::new();
    assert_eq!(GzDecoder::new(footer).read_to_end(&mut none).unwrap(), 0);
    // The table: the one file of a tar.
    let mut inner = Reader::new(
        BufReader::new(GzDecoder::new(&blob[offset..])),
        &Limits::default(),
    );
    let entry = inner.next_entry().unwrap().unwrap();
    assert_eq!(entry.path, NAME.as_bytes());
    let mut json = vec![0; usize::try_from(entry.size).unwrap()];
    inner.read_exact(&mut json).unwrap();
    assert_eq!(document::digest(&json), table_digest);
    let table: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(table["version"], 1);
    let lines = table["entries"].as_array().unwrap();
    let kinds: Vec<&str> = lines.iter().map(|l| l["type"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["dir", "reg", "reg", "chunk", "reg", "reg", "symlink"]
    );
    assert_eq!(lines[0]["name"], "d/");
    assert_eq!(lines[1]["uid"], 5);
    assert_eq!(lines[1]["xattrs"]["user.a"], "AGI=");
    assert_eq!(lines[1]["modtime"], "2023-11-14T22:13:20Z");
    // Each file from its own members.
    for (name, content) in files {
        let mut read = Vec::new();
        for line in lines.iter().filter(|line| line["name"] == name.as_str()) {
            let offset = usize::try_from(line["offset"].as_u64().unwrap_or(0)).unwrap();
            let size = line["chunkSize"]
                .as_u64()
                .or(line["size"].as_u64())
                .unwrap_or(0);
            let mut chunk = Vec::new();
            if size > 0 {
                GzDecoder::new(&blob[offset..])
                    .take(size)
                    .read_to_end(&mut chunk)
                    .unwrap();
                let digest = document::digest(&chunk).to_string();
                assert_eq!(line["chunkDigest"], digest.as_str(), "{name}");
            }
            assert_eq!(read.len() as u64, line["chunkOffset"].as_u64().unwrap_or(0));
            read.extend(chunk);
        }
        assert!(read == content, "{name}");
    }
}
