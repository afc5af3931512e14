//! Archives made to do harm.

use std::fs::File;

use gantry_engine::images::progress::Silent;

use crate::installation::{Installation, tar, write};

fn refused(installation: &Installation, bytes: &[u8]) -> String {
    let path = write(installation.path("bad.tar"), bytes);
    let input = File::open(path).unwrap();
    let error = installation
        .engine
        .images()
        .load(input, &Default::default(), &Silent)
        .unwrap_err();
    assert_eq!(installation.names(), Vec::<String>::new());
    installation.check();
    error.to_string()
}

const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}}"#;

#[test]
fn root_archives_that_lie_are_refused_and_leave_nothing() {
    let one = Installation::new();
    let manifest = |config: &str, layer: &str| {
        format!(r#"[{{"Config":"{config}","RepoTags":["x:1"],"Layers":["{layer}"]}}]"#)
    };
    let outside = manifest("../../../../etc/passwd", "/etc/shadow");
    let said = refused(&one, &tar(&[("manifest.json", &outside)]));
    assert!(said.contains("missing"), "{said}");
    let layer = manifest("config.json", "../../etc/shadow");
    let said = refused(
        &one,
        &tar(&[("manifest.json", &layer), ("config.json", CONFIG)]),
    );
    assert!(said.contains("missing"), "{said}");
    let wrong = manifest("config.json", "layer.tar");
    let said = refused(
        &one,
        &tar(&[
            ("manifest.json", &wrong),
            ("config.json", CONFIG),
            ("layer.tar", "not a tar at all"),
        ]),
    );
    assert!(said.contains("layer.tar"), "{said}");
    let named = format!("{}.json", "b".repeat(64));
    let lying = manifest(&named, "layer.tar");
    let said = refused(
        &one,
        &tar(&[
            ("manifest.json", &lying),
            (&named, CONFIG),
            ("layer.tar", ""),
        ]),
    );
    assert!(said.contains("digest"), "{said}");
    let count = r#"[{"Config":"config.json","RepoTags":["x:1"],"Layers":[]}]"#;
    let said = refused(
        &one,
        &tar(&[("manifest.json", count), ("config.json", CONFIG)]),
    );
    assert!(said.contains("diff IDs"), "{said}");
}

#[test]
fn root_what_is_no_archive_of_images_is_refused() {
    let one = Installation::new();
    for (bytes, word) in [
        (&b""[..], "empty"),
        (
            b"\x7fELF and so on, long enough to be looked at as a header of a tar"
                .repeat(20)
                .as_slice(),
            "tar",
        ),
        (&tar(&[("a", "b")]), "no images"),
        (&tar(&[("manifest.json", "[]")]), "no images"),
        (&tar(&[("manifest.json", "{")]), "malformed"),
        (
            &tar(&[("index.json", r#"{"schemaVersion":2,"manifests":[]}"#)]),
            "no images",
        ),
        (&tar(&[("index.json", "null")]), "malformed"),
        (
            &tar(&[("manifest.json", &"[".repeat(100_000))]),
            "malformed",
        ),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03truncated", "cannot read"),
    ] {
        let said = refused(&one, bytes);
        assert!(said.contains(word), "{said}");
    }
    let whole = tar(&[("manifest.json", "[]"), ("big", &"x".repeat(10_000))]);
    let said = refused(&one, &whole[..5000]);
    assert!(said.contains("tar"), "{said}");
}
