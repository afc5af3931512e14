//! Images of several platforms under one name.

use std::fs::File;

use gantry_engine::images::progress::Silent;
use gantry_engine::images::{
    ArchiveKind, Assembly, ExportPart, PlatformChange, PullOptions, PullPolicy,
};
use gantry_model::image::Index;
use gantry_model::{Digest, Platform, Reference};
use gantry_testkit::TestRegistry;

use crate::installation::{Installation, skopeo};

const FOREIGN: &str = "linux/s390x";

fn host() -> String {
    Platform::host().to_string()
}

fn platform(text: &str) -> Option<Platform> {
    Some(text.parse().unwrap())
}

/// The image of one small layer with `content`, made for that platform, without a name.
fn part(installation: &Installation, content: &str, platform: &str) -> ExportPart {
    let id = installation.image("part:1", content, &[]);
    let images = installation.engine.store().unwrap().images();
    let mut config = images.config(&id).unwrap();
    images.remove(&id).unwrap();
    let platform: Platform = platform.parse().unwrap();
    config.architecture = platform.architecture;
    config.variant = platform.variant;
    ExportPart {
        config: serde_json::to_vec(&config).unwrap(),
        ..ExportPart::default()
    }
}

/// An installation with an image of this machine's and a foreign platform under a name; the ids in
/// that order.
fn with_two(name: &str) -> (Installation, [Digest; 2]) {
    let one = Installation::new();
    let parts = [part(&one, "foreign", FOREIGN), part(&one, "own", &host())];
    let images = one.engine.images();
    let kept = images.keep(&parts, &[name.parse().unwrap()]).unwrap();
    let foreign = images.id_for(name, platform(FOREIGN).as_ref()).unwrap();
    (one, [kept.id, foreign])
}

fn ids(installation: &Installation) -> Vec<Digest> {
    installation.engine.store().unwrap().images().ids().unwrap()
}

#[test]
fn root_a_name_has_an_image_for_each_platform() {
    let (one, [own, foreign]) = with_two("app:1");
    let images = one.engine.images();
    assert_eq!(images.id("app:1").unwrap(), own);
    let shown = images.inspect("app:1", platform(FOREIGN).as_ref()).unwrap();
    assert_eq!((shown.id, shown.architecture.as_str()), (foreign, "s390x"));
    assert_eq!(shown.repo_tags, ["app:1"]);
    let error = images
        .id_for("app:1", platform("linux/riscv64").as_ref())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("linux/riscv64") && error.contains(FOREIGN),
        "{error}"
    );
    // What is not there for a platform and cannot be had elsewhere either.
    let registry = TestRegistry::start();
    let nowhere: Reference = format!("{}/app:1", registry.address()).parse().unwrap();
    images.tag("app:1", &nowhere).unwrap();
    let error = images
        .resolve_or_pull(
            &nowhere.to_string(),
            platform("linux/riscv64").as_ref(),
            PullPolicy::Missing,
            &Silent,
        )
        .unwrap_err()
        .to_string();
    assert!(error.contains(FOREIGN), "{error}");
    // One row for each name, which tells of all platforms.
    let rows = images.list(&Default::default()).unwrap();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(rows[0].platforms.len(), 2);
    assert_eq!((rows[0].id, rows[1].id), (own, own));
    // A further name is one of all platforms, and the image goes with the last.
    images
        .remove(&nowhere.to_string(), Default::default())
        .unwrap();
    assert_eq!(ids(&one).len(), 2);
    let removed = images.remove("app:1", Default::default()).unwrap();
    assert_eq!(removed.untagged, ["app:1"]);
    assert!(removed.deleted.contains(&own) && removed.deleted.contains(&foreign));
    assert_eq!(ids(&one), []);
    one.check();
}

#[test]
fn root_one_platform_of_a_name_goes() {
    let (one, [own, _]) = with_two("app:1");
    let images = one.engine.images();
    images
        .remove_platform("app:1", &FOREIGN.parse().unwrap(), Default::default())
        .unwrap();
    assert_eq!(ids(&one), [own]);
    assert_eq!(images.list(&Default::default()).unwrap().len(), 1);
    // The last one takes the name along.
    images
        .remove_platform("app:1", &Platform::host(), Default::default())
        .unwrap();
    assert_eq!(one.names(), Vec::<String>::new());
    // The id that lists show is that of the whole.
    let (two, [own, foreign]) = with_two("app:1");
    let removed = two
        .engine
        .images()
        .remove(&own.to_string(), Default::default())
        .unwrap();
    assert!(removed.deleted.contains(&foreign), "{removed:?}");
    assert_eq!(ids(&two), []);
    // The name that another image takes leaves no half of it with a name.
    let (three, [_, foreign]) = with_two("app:1");
    three.image("app:1", "later", &[]);
    let three = three.reopened();
    let pruned = three.engine.images().prune(&Default::default()).unwrap();
    assert!(pruned.deleted.contains(&foreign));
    for installation in [one, two, three] {
        installation.check();
    }
}

#[test]
fn root_archives_hold_all_platforms() {
    let (one, both) = with_two("app:1");
    let images = one.engine.images();
    let path = one.path("app.tar");
    let save = |platform: Option<&Platform>, kind| {
        let mut out = File::create(&path).unwrap();
        images
            .save(&["app:1".to_owned()], platform, kind, &mut out)
            .unwrap();
    };
    for kind in [ArchiveKind::Docker, ArchiveKind::Oci] {
        save(None, kind);
        let two = Installation::new();
        let loaded = two.load(&path);
        assert_eq!(loaded.len(), 1, "{loaded:?}");
        assert_eq!(loaded[0].id, both[0]);
        assert_eq!(loaded[0].taken, []);
        for (wanted, id) in [host().as_str(), FOREIGN].iter().zip(&both) {
            let found = two
                .engine
                .images()
                .id_for("app:1", platform(wanted).as_ref());
            assert_eq!(found.unwrap(), *id);
        }
        let again = two.load(&path);
        assert_eq!(again[0].taken, []);
        two.check();
    }
    let raw = skopeo(&[
        "inspect",
        "--raw",
        &format!("oci-archive:{}", path.display()),
    ]);
    let index: Index = serde_json::from_str(&raw).unwrap();
    assert_eq!(index.manifests.len(), 2);
    save(platform(FOREIGN).as_ref(), ArchiveKind::Docker);
    let two = Installation::new();
    assert_eq!(two.load(&path)[0].id, both[1]);
    assert_eq!(ids(&two).len(), 1);
}

#[test]
fn root_registries_get_and_give_all_platforms() {
    let registry = TestRegistry::start();
    let name: Reference = format!("{}/team/app:1", registry.address())
        .parse()
        .unwrap();
    let (one, both) = with_two(&name.to_string());
    let pushed = one.engine.images().push(&name, None, &Silent).unwrap();
    let place = format!("docker://{name}");
    let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &place]);
    let index: Index = serde_json::from_str(&raw).unwrap();
    let platforms: Vec<String> = index
        .manifests
        .iter()
        .map(|entry| entry.platform.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(platforms, [FOREIGN.to_owned(), host()]);

    // One platform first, then all: the name stays one.
    let two = Installation::new();
    let images = two.engine.images();
    let pull = |options: PullOptions| images.pull(&name, &options, &Silent).unwrap();
    let first = pull(PullOptions {
        platforms: vec![FOREIGN.parse().unwrap()],
        ..PullOptions::default()
    });
    assert_eq!(
        (first.id, first.digest, first.newer),
        (both[1], pushed.digest, true)
    );
    let all = PullOptions {
        all_platforms: true,
        ..PullOptions::default()
    };
    let second = pull(all.clone());
    assert_eq!((second.id, second.newer), (both[0], true));
    assert!(!pull(all).newer);
    assert_eq!(images.list(&Default::default()).unwrap().len(), 1);
    let pinned = name.with_digest(pushed.digest).to_string();
    assert_eq!(
        images.id_for(&pinned, platform(FOREIGN).as_ref()).unwrap(),
        both[1]
    );
    // What was pulled whole goes out byte for byte.
    let copy: Reference = format!("{}/copy/app:2", registry.address())
        .parse()
        .unwrap();
    images.tag(&name.to_string(), &copy).unwrap();
    assert_eq!(
        images.push(&copy, None, &Silent).unwrap().digest,
        pushed.digest
    );
    // One platform alone is a manifest.
    let single = images
        .push(&copy, platform(FOREIGN).as_ref(), &Silent)
        .unwrap();
    let entry = index
        .manifests
        .iter()
        .find(|entry| entry.digest == single.digest);
    assert!(entry.is_some(), "{single:?}");
    for installation in [one, two] {
        installation.check();
    }
}

#[test]
fn root_lists_are_made_by_hand() {
    let registry = TestRegistry::start();
    let at =
        |name: &str| -> Reference { format!("{}/{name}", registry.address()).parse().unwrap() };
    let one = Installation::new();
    let images = one.engine.images();
    for (tag, platform) in [("foreign", FOREIGN.to_owned()), ("own", host())] {
        let part = part(&one, tag, &platform);
        images.keep(&[part], &[at(&format!("app:{tag}"))]).unwrap();
    }
    let list = at("app:all");
    let members = ["foreign", "own"].map(|tag| at(&format!("app:{tag}")).to_string());
    let create = |members: &[String], amend| images.create_list(&list, members, amend, &Silent);
    create(&members[..1], false).unwrap();
    let refused = create(&members[1..], false).unwrap_err().to_string();
    assert!(refused.contains("--amend"), "{refused}");
    let made = create(&members[1..], true).unwrap();
    assert_eq!(images.id(&list.to_string()).unwrap(), made.id);
    let change = PlatformChange {
        variant: Some("z16".to_owned()),
        os_version: Some("7".to_owned()),
        ..PlatformChange::default()
    };
    images.annotate_list(&list, &members[0], &change).unwrap();
    let (_, bytes) = images.document_of(&list).unwrap();
    let index: Index = serde_json::from_slice(&bytes).unwrap();
    let platforms: Vec<_> = index
        .manifests
        .iter()
        .map(|e| e.platform.clone().unwrap())
        .collect();
    assert_eq!(platforms.len(), 2);
    assert_eq!(platforms[0].variant.as_deref(), Some("z16"));
    assert_eq!(platforms[0].os_version.as_deref(), Some("7"));
    let pushed = images.push(&list, None, &Silent).unwrap();
    // What the list says of platforms goes out with it.
    let (top, bytes) = Installation::new()
        .engine
        .images()
        .document_of(&list)
        .unwrap();
    assert_eq!(top.digest, pushed.digest);
    let sent: Index = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(sent.manifests[0].platform, Some(platforms[0].clone()));
    // An image that is nowhere, and one that the list has not.
    assert!(create(&[at("none:1").to_string()], true).is_err());
    let other = one.image("other:1", "x", &[]);
    let missing = images.annotate_list(&list, &other.to_string(), &change);
    assert!(missing.unwrap_err().to_string().contains("No such image"));
    one.check();
}

#[test]
fn root_indexes_are_put_together_in_registries() {
    let registry = TestRegistry::start();
    let at =
        |name: &str| -> Reference { format!("{}/{name}", registry.address()).parse().unwrap() };
    let one = Installation::new();
    let images = one.engine.images();
    for (tag, platform) in [("a", FOREIGN.to_owned()), ("b", host())] {
        let name = at(&format!("from/{tag}:1"));
        images
            .keep(&[part(&one, tag, &platform)], std::slice::from_ref(&name))
            .unwrap();
        images.push(&name, None, &Silent).unwrap();
    }
    // Nothing but the registry is needed for it.
    let two = Installation::new();
    let images = two.engine.images();
    let target = at("to/app:1");
    let mut assembly = Assembly {
        sources: vec![at("from/a:1"), at("from/b:1")],
        prefer_index: true,
        ..Assembly::default()
    };
    let assembled = images.assemble(Some(&target), &assembly).unwrap();
    images.push_assembled(&assembled, &target).unwrap();
    let pull = PullOptions {
        all_platforms: true,
        ..PullOptions::default()
    };
    let pulled = images.pull(&target, &pull, &Silent).unwrap();
    assert_eq!(pulled.digest, assembled.descriptor.digest);
    for wanted in [host().as_str(), FOREIGN] {
        images
            .id_for(&target.to_string(), platform(wanted).as_ref())
            .unwrap();
    }
    // A single index is copied as it is; a choice of platforms makes a new one.
    let copy = at("to/copy:1");
    let whole = Assembly {
        sources: vec![target.clone()],
        prefer_index: true,
        ..Assembly::default()
    };
    let copied = images.assemble(None, &whole).unwrap();
    assert_eq!(copied.bytes, assembled.bytes);
    images.push_assembled(&copied, &copy).unwrap();
    assembly.platforms = vec![FOREIGN.parse().unwrap()];
    let chosen = images.assemble(None, &assembly).unwrap();
    let index: Index = serde_json::from_slice(&chosen.bytes).unwrap();
    assert_eq!(index.manifests.len(), 1);
    assembly.platforms = vec!["linux/riscv64".parse().unwrap()];
    assert!(images.assemble(None, &assembly).is_err());
    // What is appended comes after what is there, which is not there twice.
    let appended = Assembly {
        sources: vec![at("from/b:1")],
        append: true,
        prefer_index: true,
        ..Assembly::default()
    };
    let again = images.assemble(Some(&target), &appended).unwrap();
    let index: Index = serde_json::from_slice(&again.bytes).unwrap();
    assert_eq!(index.manifests.len(), 2);
    two.check();
}
