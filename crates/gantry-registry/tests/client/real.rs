//! Debian's docker-registry.

use std::io::Read;

use gantry_model::image::Descriptor;
use gantry_model::media_type::{OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};
use gantry_model::{Digest, Reference};
use gantry_registry::{Client, ClientConfig, RegistryError};
use gantry_testkit::TestRegistry;
use sha2::{Digest as _, Sha256};

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

#[test]
fn what_goes_up_comes_down() {
    let registry = TestRegistry::start();
    let client = Client::new(ClientConfig::default());
    let name: Reference = format!("{}/team/app:1", registry.address())
        .parse()
        .unwrap();
    assert_eq!(client.head(&name).unwrap(), None);
    let missing = client.resolve(&name).unwrap_err();
    assert!(
        matches!(missing, RegistryError::NotFound { .. }),
        "{missing}"
    );

    let layer: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut body = &layer[..];
    let pushed = client
        .push_blob(&name, OCI_LAYER, &mut body, &mut || digest(&layer))
        .unwrap();
    assert_eq!((pushed.digest, pushed.size), (digest(&layer), 12_000_000));
    let config = Descriptor::new(OCI_CONFIG, digest(b"{}"), 2);
    client.push_bytes(&name, &config, b"{}").unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [pushed],
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let id = client
        .push_manifest(&name, OCI_MANIFEST, &manifest)
        .unwrap();

    let got = client.resolve(&name).unwrap();
    assert_eq!((got.bytes, got.descriptor.digest), (manifest, id));
    assert_eq!(
        client
            .resolve(&name.with_digest(id))
            .unwrap()
            .descriptor
            .digest,
        id
    );
    assert_eq!(client.tags(&name).unwrap(), ["1"]);
    let mut read = Vec::new();
    client
        .blob(&name, &pushed)
        .unwrap()
        .read_to_end(&mut read)
        .unwrap();
    assert!(read == layer);

    assert_eq!(
        client.has_blob(&name, &pushed.digest).unwrap(),
        Some(12_000_000)
    );
    assert_eq!(client.has_blob(&name, &digest(b"none")).unwrap(), None);
    let other: Reference = format!("{}/team/other:1", registry.address())
        .parse()
        .unwrap();
    assert_eq!(client.has_blob(&other, &pushed.digest).unwrap(), None);
    assert!(
        client
            .mount_blob(&other, &pushed.digest, "team/app")
            .unwrap()
    );
    assert!(client.has_blob(&other, &pushed.digest).unwrap().is_some());
    assert!(
        !client
            .mount_blob(&other, &digest(b"none"), "team/app")
            .unwrap()
    );
}

#[test]
fn a_wrong_digest_is_not_taken_and_an_unreadable_source_is_told() {
    let registry = TestRegistry::start();
    let client = Client::new(ClientConfig::default());
    let name: Reference = format!("{}/x:1", registry.address()).parse().unwrap();
    let mut body = &b"content"[..];
    let refused = client
        .push_blob(&name, OCI_LAYER, &mut body, &mut || digest(b"other"))
        .unwrap_err();
    assert!(
        matches!(refused, RegistryError::Refused { status: 400, .. }),
        "{refused}"
    );

    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let unread = client
        .push_blob(&name, OCI_LAYER, &mut Broken, &mut || digest(b""))
        .unwrap_err();
    assert!(matches!(unread, RegistryError::Source { .. }), "{unread}");
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_only_when_allowed() {
    let registry = TestRegistry::start();
    let direct = Client::new(ClientConfig::default());
    let name: Reference = format!("{}/library/box:1", registry.address())
        .parse()
        .unwrap();
    let config = Descriptor::new(OCI_CONFIG, digest(b"{}"), 2);
    direct.push_bytes(&name, &config, b"{}").unwrap();
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": []});
    direct
        .push_manifest(&name, OCI_MANIFEST, &serde_json::to_vec(&manifest).unwrap())
        .unwrap();

    let mut settings = ClientConfig::default();
    let hub = gantry_registry::RegistrySettings {
        mirrors: vec![
            "http://127.0.0.1:9".into(),
            format!("http://{}", registry.address()),
        ],
        only_mirrors: true,
        ..Default::default()
    };
    settings.registries.insert("docker.io".into(), hub);
    let client = Client::new(settings);
    assert!(client.resolve(&"box:1".parse().unwrap()).is_ok());
    let missing = client
        .resolve(&"nonesuch".parse().unwrap())
        .unwrap_err()
        .to_string();
    assert!(!missing.contains("docker.io"), "{missing}");
}
