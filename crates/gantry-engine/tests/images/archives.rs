//! save and load, with ourselves and with skopeo; import, list, tag, remove, prune, history.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;

use gantry_engine::images::progress::Silent;
use gantry_engine::images::{ArchiveKind, ImageFilters, PruneOptions, RemoveOptions};
use gantry_model::Digest;
use serde_json::Value;

use crate::installation::{Installation, run, skopeo};

fn layers(installation: &Installation, name: &str) -> Vec<Digest> {
    installation.engine.images().resolve(name).unwrap().layers
}

#[test]
fn root_an_image_comes_and_goes() {
    let one = Installation::new();
    let images = one.engine.images();
    let id = one.image(
        "box:1",
        "hello",
        &["CMD [\"sh\"]", "ENV A=1", "LABEL kind=test"],
    );
    images.tag("box:1", &"box:2".parse().unwrap()).unwrap();
    images
        .tag(&id.short(), &"q.example:5000/b/x:3".parse().unwrap())
        .unwrap();
    assert_eq!(one.names(), ["box:1", "box:2", "q.example:5000/b/x:3"]);
    let shown = serde_json::to_value(images.inspect("box:1", None).unwrap()).unwrap();
    assert_eq!(shown["Id"], id.to_string());
    assert_eq!(shown["Config"]["Cmd"], serde_json::json!(["sh"]));
    assert_eq!(shown["RepoTags"].as_array().unwrap().len(), 3);
    assert_eq!(
        images.history("box:2", None).unwrap()[0].comment,
        "Imported from -"
    );
    let filters =
        |text: &str| ImageFilters::parse(&[text.to_owned()], jiff::Timestamp::now()).unwrap();
    assert_eq!(images.list(&filters("reference=box:*")).unwrap().len(), 2);
    assert_eq!(images.list(&filters("label=kind=test")).unwrap().len(), 3);
    assert_eq!(images.list(&filters("dangling=true")).unwrap().len(), 0);
    assert_eq!(
        images
            .remove("box:1", RemoveOptions::default())
            .unwrap()
            .untagged,
        ["box:1"]
    );
    assert!(
        images
            .remove(&id.short(), RemoveOptions::default())
            .is_err()
    );
    let one = one.reopened();
    let images = one.engine.images();
    let removed = images
        .remove(&id.short(), RemoveOptions { force: true })
        .unwrap();
    assert_eq!(removed.untagged, ["box:2", "q.example:5000/b/x:3"]);
    assert_eq!(removed.deleted[0], id);
    assert_eq!(removed.deleted.len(), 2);
    assert_eq!(one.names(), Vec::<String>::new());
    assert_eq!(
        images.id("box").unwrap_err().to_string(),
        "No such image: box:latest"
    );
    one.check();
}

#[test]
fn root_what_lost_its_name_is_pruned() {
    let one = Installation::new();
    let old = one.image("box", "old", &["LABEL keep=no"]);
    let new = one.image("box", "new", &[]);
    assert_eq!(one.names().len(), 2);
    let one = one.reopened();
    let options = |label: &str| PruneOptions {
        filters: ImageFilters {
            label: vec![label.to_owned()],
            ..ImageFilters::default()
        },
        ..PruneOptions::default()
    };
    assert_eq!(
        one.engine
            .images()
            .prune(&options("keep=yes"))
            .unwrap()
            .deleted,
        []
    );
    let pruned = one.engine.images().prune(&options("keep")).unwrap();
    assert_eq!(pruned.deleted[0], old);
    assert!(pruned.bytes > 0);
    assert_eq!(one.names(), ["box:latest"]);
    let all = PruneOptions {
        all: true,
        ..PruneOptions::default()
    };
    let pruned = one.engine.images().prune(&all).unwrap();
    assert_eq!(
        (pruned.deleted[0], pruned.untagged),
        (new, vec!["box:latest".to_owned()])
    );
    one.check();
}

#[test]
fn root_what_is_saved_is_loaded_the_same() {
    let one = Installation::new();
    let id = one.image("box:1", "hello", &["CMD [\"sh\"]"]);
    one.engine
        .images()
        .tag("box:1", &"a/other:x".parse().unwrap())
        .unwrap();
    let path = one.path("box.tar");
    let names = ["box:1".to_owned(), "a/other:x".to_owned()];
    for kind in [ArchiveKind::Docker, ArchiveKind::Oci] {
        one.engine
            .images()
            .save(&names, None, kind, &mut File::create(&path).unwrap())
            .unwrap();
        let two = Installation::new();
        let loaded = two.load(&path);
        assert_eq!(loaded.len(), 1);
        assert_eq!((loaded[0].id, loaded[0].references.len()), (id, 2));
        two.check();
        // Deterministic, whoever writes it.
        let again = two.path("again.tar");
        two.engine
            .images()
            .save(&names, None, kind, &mut File::create(&again).unwrap())
            .unwrap();
        assert!(fs::read(&path).unwrap() == fs::read(&again).unwrap());
    }
    assert!(
        one.engine
            .images()
            .save(
                &["none".to_owned()],
                None,
                ArchiveKind::Docker,
                &mut Vec::new()
            )
            .is_err()
    );
}

#[test]
fn root_archives_come_through_pipes_and_compressed() {
    let one = Installation::new();
    let id = one.image("box:1", "hello", &[]);
    let path = one.save("box:1", "box.tar");
    let bytes = fs::read(&path).unwrap();
    let gzip = path.with_extension("tar.gz");
    run(
        "sh",
        &[
            "-c",
            &format!("gzip -c {} > {}", path.display(), gzip.display()),
        ],
    );
    let two = Installation::new();
    assert_eq!(two.load(&gzip)[0].id, id);
    let three = Installation::new();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let thread = std::thread::spawn(move || writer.write_all(&bytes));
    let input = File::from(OwnedFd::from(reader));
    let loaded = three
        .engine
        .images()
        .load(input, &Default::default(), &Silent)
        .unwrap();
    thread.join().unwrap().unwrap();
    assert_eq!(loaded[0].id, id);
    assert_eq!(loaded[0].taken, []);
    three.check();
}

#[test]
fn root_skopeo_and_gantry_read_each_other() {
    let one = Installation::new();
    let id = one.image("box:1", "hello", &["CMD [\"sh\"]", "HEALTHCHECK CMD true"]);
    let path = one.save("box:1", "box.tar");
    let place = format!("docker-archive:{}", path.display());
    let raw: Value = serde_json::from_str(&skopeo(&["inspect", "--raw", &place])).unwrap();
    assert_eq!(raw["config"]["digest"], id.to_string());
    let oci = format!("oci-archive:{}", path.display());
    let raw: Value = serde_json::from_str(&skopeo(&["inspect", "--raw", &oci])).unwrap();
    assert_eq!(raw["config"]["digest"], id.to_string());
    for (format, file, same) in [
        ("docker-archive", "d.tar", true),
        ("oci-archive", "o.tar", false),
    ] {
        let target = format!("{format}:{}:mine:1", one.path(file).display());
        skopeo(&["copy", &place, &target]);
        let two = Installation::new();
        let loaded = two.load(&one.path(file));
        assert_eq!(loaded[0].references[0].familiar(), "mine:1", "{format}");
        assert_eq!(layers(&two, "mine:1"), layers(&one, "box:1"));
        assert_eq!(loaded[0].id == id, same, "{format}");
        two.check();
    }
}
