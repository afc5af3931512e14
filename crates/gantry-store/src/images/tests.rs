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
