use super::*;
use crate::sample::Scratch;

fn config(name: &str) -> Vec<u8> {
    format!(r#"{{"os":"linux","author":"{name}","rootfs":{{"type":"layers","diff_ids":[]}}}}"#)
        .into_bytes()
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

#[test]
fn names_lead_to_images_and_tags_move() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.path().join("root")).unwrap();
    let images = store.images();
    let (a, b) = (config("a"), config("b"));
    let manifest = store.blobs().put(b"manifest").unwrap();
    let digest = RepoDigest {
        repository: "docker.io/library/a".to_owned(),
        digest: manifest,
        media_type: "m".to_owned(),
    };
    let first = images
        .put(&NewImage {
            config: &a,
            blobs: vec![manifest],
            tags: vec![reference("a"), reference("example.org/x:1")],
            digests: vec![digest.clone()],
            member: None,
        })
        .unwrap();
    let second = images
        .put(&NewImage {
            config: &b,
            ..NewImage::default()
        })
        .unwrap();
    for name in [
        "a",
        "a:latest",
        "docker.io/library/a",
        "example.org/x:1",
        &format!("a@{manifest}"),
    ] {
        assert_eq!(images.resolve_id(name).unwrap(), Some(first), "{name}");
    }
    for name in [
        &first.to_string(),
        &first.hex(),
        &first.hex()[..12],
        &first.short().to_uppercase(),
    ] {
        assert_eq!(images.resolve_id(name).unwrap(), Some(first), "{name}");
    }
    for name in ["b", "x:1", "example.org/x", "sha256:", "", "A b"] {
        assert_eq!(images.resolve_id(name).unwrap(), None, "{name}");
    }
    let image = images.resolve("a").unwrap();
    assert_eq!(image.tags, [reference("a"), reference("example.org/x:1")]);
    assert_eq!((image.digests, image.blobs), (vec![digest], vec![manifest]));
    assert_eq!(images.config_bytes(&first).unwrap(), a);
    assert_eq!(images.tag(&reference("a"), &second).unwrap(), Some(first));
    assert_eq!(images.tag(&reference("a"), &second).unwrap(), None);
    assert_eq!(images.resolve_id("a").unwrap(), Some(second));
    assert_eq!(images.untag(&reference("a")).unwrap(), Some(second));
    assert_eq!(images.untag(&reference("a")).unwrap(), None);
    assert_eq!(images.list().unwrap().whole.len(), 2);
    assert!(images.remove(&first).unwrap() && !images.remove(&first).unwrap());
    assert_eq!(images.resolve_id("example.org/x:1").unwrap(), None);
    assert!(matches!(
        images.resolve("a"),
        Err(StoreError::NoImage { .. })
    ));
    assert!(matches!(
        images.tag(&reference("z"), &first),
        Err(StoreError::NoImage { .. })
    ));
}

#[test]
fn an_image_must_have_all_it_refers_to() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.path().join("root")).unwrap();
    let missing = sha256(b"missing");
    let text = format!(r#"{{"os":"linux","rootfs":{{"type":"layers","diff_ids":["{missing}"]}}}}"#);
    let put = |config: &[u8], blobs| {
        store
            .images()
            .put(&NewImage {
                config,
                blobs,
                ..NewImage::default()
            })
            .unwrap_err()
    };
    assert!(
        matches!(put(text.as_bytes(), vec![]), StoreError::NoLayer { diff_id } if diff_id == missing)
    );
    assert!(
        matches!(put(&config("x"), vec![missing]), StoreError::NoBlob { digest } if digest == missing)
    );
    assert!(matches!(put(b"{", vec![]), StoreError::Config { .. }));
    assert_eq!(store.images().ids().unwrap(), []);
}

#[test]
fn an_ambiguous_prefix_is_refused() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.path().join("root")).unwrap();
    for n in 0..40 {
        store
            .images()
            .put(&NewImage {
                config: &config(&n.to_string()),
                ..NewImage::default()
            })
            .unwrap();
    }
    let ids = store.images().ids().unwrap();
    let twin = ids
        .iter()
        .find(|id| ids.iter().filter(|o| o.hex()[..1] == id.hex()[..1]).count() > 1);
    let prefix = &twin.unwrap().hex()[..1];
    assert!(matches!(
        store.images().resolve_id(prefix),
        Err(StoreError::AmbiguousId { .. })
    ));
}

#[test]
fn a_newer_schema_is_refused_by_name() {
    let scratch = Scratch::new();
    let root = scratch.path().join("root");
    let store = Store::open(&root).unwrap();
    store.images().ids().unwrap();
    store
        .database()
        .read("test", |db| db.pragma_update(None, "user_version", 99))
        .unwrap();
    let error = Store::open(&root).unwrap().images().ids().unwrap_err();
    assert!(
        matches!(error, StoreError::SchemaTooNew { found: 99, .. }),
        "{error}"
    );
}

fn member(index: Digest, position: u8, platform: &str) -> Membership {
    Membership {
        index,
        manifest: Digest::from_bytes([position; 32]),
        position: usize::from(position),
        platform: platform.parse().unwrap(),
    }
}

/// A store with an index of the host's platform and another one, tagged `app:1`.
fn with_index(scratch: &Scratch) -> (Store, Digest, [Digest; 2]) {
    let store = Store::open(&scratch.path().join("root")).unwrap();
    let index = store.blobs().put(b"index").unwrap();
    let host = gantry_model::Platform::host().to_string();
    let put = |name: &str, position, platform: &str| {
        let image = NewImage {
            config: &config(name),
            blobs: vec![index],
            tags: vec![reference("app:1")],
            digests: vec![RepoDigest {
                repository: "docker.io/library/app".to_owned(),
                digest: index,
                media_type: "m".to_owned(),
            }],
            member: Some(member(index, position, platform)),
        };
        store.images().put(&image).unwrap()
    };
    let own = put("own", 1, &host);
    // The last one stored takes the name only if it serves this machine better.
    let foreign = put("foreign", 0, "linux/s390x");
    (store, index, [own, foreign])
}

#[test]
fn the_name_of_an_index_leads_to_the_member_that_serves_best() {
    let scratch = Scratch::new();
    let (store, index, [own, foreign]) = with_index(&scratch);
    let images = store.images();
    let by_digest = format!("app@{index}");
    for name in ["app:1", &by_digest] {
        assert_eq!(images.resolve_id(name).unwrap(), Some(own), "{name}");
        let found = images.index_of(&reference(name)).unwrap().unwrap();
        let members: Vec<Digest> = found.members.iter().map(|m| m.image).collect();
        assert_eq!(members, [foreign, own]);
        let wanted = "linux/s390x".parse().unwrap();
        assert_eq!(found.member_for(&wanted).unwrap().image, foreign);
        assert_eq!(found.member_for(&"linux/arm/v7".parse().unwrap()), None);
    }
    assert_eq!(images.image(&foreign).unwrap().indexes, [index]);
    // A second tag names the whole, a tag of one image does not.
    assert!(images.tag_index(&reference("app:2"), &index).unwrap());
    images.tag(&reference("one"), &foreign).unwrap();
    assert_eq!(
        images
            .index_of(&reference("app:2"))
            .unwrap()
            .unwrap()
            .digest,
        index
    );
    assert_eq!(images.index_of(&reference("one")).unwrap(), None);
    // Without its best member the name is that of the next.
    images.remove(&own).unwrap();
    assert_eq!(images.resolve_id("app:1").unwrap(), Some(foreign));
    images.leave_index(&foreign, &index).unwrap();
    assert_eq!(images.resolve_id("app:1").unwrap(), None);
    assert_eq!(images.resolve_id("one").unwrap(), Some(foreign));
}

#[test]
fn an_index_without_a_name_is_forgotten() {
    let scratch = Scratch::new();
    let (store, index, [own, foreign]) = with_index(&scratch);
    let images = store.images();
    images.untag(&reference("app:1")).unwrap();
    assert_eq!(images.image(&foreign).unwrap().indexes, [index]);
    images
        .remove_digest("docker.io/library/app", &index)
        .unwrap();
    for id in [own, foreign] {
        assert_eq!(images.image(&id).unwrap().indexes, []);
    }
    assert!(!images.tag_index(&reference("app:3"), &index).unwrap());
}

#[test]
fn a_database_of_the_first_version_is_brought_forward() {
    let scratch = Scratch::new();
    let root = scratch.path().join("root");
    let store = Store::open(&root).unwrap();
    drop(store);
    let path = root.join("gantry.db");
    for name in ["gantry.db", "gantry.db-wal", "gantry.db-shm"] {
        let _absent = std::fs::remove_file(root.join(name));
    }
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../database/1.sql"))
        .unwrap();
    old.execute_batch(
        "INSERT INTO images VALUES (zeroblob(32), 7);
         INSERT INTO tags VALUES ('docker.io/library/old:1', zeroblob(32), 7);
         PRAGMA user_version = 1;",
    )
    .unwrap();
    drop(old);
    let store = Store::open(&root).unwrap();
    let images = store.images();
    let id = Digest::from_bytes([0; 32]);
    assert_eq!(images.resolve_id("old:1").unwrap(), Some(id));
    assert_eq!(images.index_of(&reference("old:1")).unwrap(), None);
    let new = images
        .put(&NewImage {
            config: &config("new"),
            tags: vec![reference("old:1")],
            member: Some(member(id, 0, "linux/amd64")),
            ..NewImage::default()
        })
        .unwrap();
    assert_eq!(images.resolve_id("old:1").unwrap(), Some(new));
    assert_eq!(images.ids().unwrap().len(), 2);
}
