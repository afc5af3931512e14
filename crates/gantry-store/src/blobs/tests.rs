use super::*;
use crate::sample::Scratch;

fn store(scratch: &Scratch) -> Store {
    Store::open(&scratch.path().join("root")).unwrap()
}

fn ingest_is_empty(store: &Store) -> bool {
    std::fs::read_dir(store.root().join("ingest"))
        .unwrap()
        .count()
        == 0
}

#[test]
fn a_blob_is_visible_once_it_is_whole_and_verified() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    let digest = sha256(b"content");
    let mut writer = store.blobs().writer(Some((digest, 7))).unwrap();
    writer.write_all(b"cont").unwrap();
    assert!(!store.blobs().contains(&digest).unwrap());
    writer.write_all(b"ent").unwrap();
    assert_eq!(writer.finish().unwrap(), (digest, 7));
    assert_eq!(store.blobs().read(&digest, 100).unwrap(), b"content");
    assert_eq!(store.blobs().size(&digest).unwrap(), 7);
    assert_eq!(store.blobs().verify(&digest).unwrap(), 7);
    assert_eq!(store.blobs().put(b"content").unwrap(), digest);
    assert_eq!(store.blobs().list().unwrap(), [digest]);
    assert!(ingest_is_empty(&store));
}

#[test]
fn what_is_not_as_announced_leaves_nothing() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    let digest = sha256(b"content");
    let attempt = |expected, content: &[u8]| {
        let mut writer = store.blobs().writer(Some(expected)).unwrap();
        writer.write_all(content)?;
        writer.finish().map_err(io::Error::other)
    };
    let message = |expected, content| attempt(expected, content).unwrap_err().to_string();
    assert!(message((digest, 7), b"cuntent").contains("has digest"));
    assert!(message((digest, 7), b"conten").contains("6 bytes, expected 7"));
    assert!(message((digest, 7), b"contents").contains("8 bytes, expected 7"));
    assert_eq!(store.blobs().list().unwrap(), []);
    assert!(ingest_is_empty(&store));
}

#[test]
fn damage_and_excess_are_found_when_a_blob_is_read() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    let digest = store.blobs().put(b"content").unwrap();
    assert!(matches!(
        store.blobs().read(&digest, 6),
        Err(StoreError::BlobTooLarge { .. })
    ));
    std::fs::write(store.blobs().path(&digest), "CONTENT").unwrap();
    assert!(matches!(
        store.blobs().read(&digest, 9),
        Err(StoreError::DamagedBlob { .. })
    ));
    assert!(matches!(
        store.blobs().verify(&digest),
        Err(StoreError::DamagedBlob { .. })
    ));
    store.blobs().put(b"content").unwrap();
    assert_eq!(
        store.blobs().verify(&digest).unwrap(),
        7,
        "storing it again heals it"
    );
    let missing = sha256(b"missing");
    assert!(matches!(
        store.blobs().open(&missing),
        Err(StoreError::NoBlob { .. })
    ));
}

#[test]
fn root_a_full_disk_is_said_and_leaves_nothing() {
    use gantry_model::Fault;
    crate::sample::require_root();
    let scratch = Scratch::new();
    let disk = scratch.directory("disk");
    let run = |command: &str, arguments: &[&str]| {
        let status = std::process::Command::new(command)
            .args(arguments)
            .arg(&disk)
            .status()
            .unwrap();
        assert!(status.success());
    };
    run("mount", &["-t", "tmpfs", "-o", "size=2m", "tmpfs"]);
    let result = std::panic::catch_unwind(|| {
        let store = Store::open(&disk.join("root")).unwrap();
        let big = vec![7; 4 << 20];
        let error = store.blobs().put(&big).unwrap_err();
        assert!(
            error.hints()[0].contains("gantry system prune"),
            "{error:?}"
        );
        let entry = crate::tar::Entry {
            size: big.len() as u64,
            ..crate::tar::Entry::new(crate::tar::EntryKind::Regular, "big")
        };
        let mut writer = crate::tar::Writer::new(Vec::new());
        writer.append(&entry, &mut &big[..]).unwrap();
        let tar = writer.finish().unwrap();
        let error = store
            .layers()
            .unpack(&tar[..], &crate::UnpackOptions::default())
            .unwrap_err();
        assert!(
            error.hints()[0].contains("gantry system prune"),
            "{error:?}"
        );
        assert!(ingest_is_empty(&store));
        assert_eq!(store.blobs().list().unwrap(), []);
        store.blobs().put(b"small").unwrap();
    });
    run("umount", &[]);
    result.unwrap();
}
