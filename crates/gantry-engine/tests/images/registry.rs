//! pull and push against a real registry.

use std::sync::Mutex;

use gantry_engine::images::progress::{LayerPhase, LayerProgress, Silent, Transfer};
use gantry_engine::images::{PullOptions, PullPolicy};
use gantry_model::{Platform, Reference};
use gantry_testkit::TestRegistry;
use serde_json::Value;

use crate::installation::{Installation, skopeo};

fn at(registry: &TestRegistry, name: &str) -> Reference {
    format!("{}/{name}", registry.address()).parse().unwrap()
}

#[derive(Default)]
struct Heard(Mutex<Vec<LayerProgress>>);

impl Transfer for Heard {
    fn layer(&self, progress: LayerProgress) {
        self.0.lock().unwrap().push(progress);
    }
}

impl Heard {
    fn ends(&self) -> Vec<LayerPhase> {
        let all = self.0.lock().unwrap();
        all.iter()
            .map(|p| p.phase)
            .filter(|p| p.is_final())
            .collect()
    }
}

#[test]
fn root_what_is_pushed_is_pulled_the_same() {
    let registry = TestRegistry::start();
    let one = Installation::new();
    let name = at(&registry, "team/box:1");
    let id = one.image(
        &name.to_string(),
        &"hello ".repeat(500_000),
        &["CMD [\"sh\"]"],
    );
    let heard = Heard::default();
    let pushed = one.engine.images().push(&name, None, &heard).unwrap();
    assert_eq!(heard.ends(), [LayerPhase::Pushed]);
    // Again: nothing goes over the wire but questions, and the manifest is the same.
    let heard = Heard::default();
    assert_eq!(
        one.engine.images().push(&name, None, &heard).unwrap(),
        pushed
    );
    assert_eq!(heard.ends(), [LayerPhase::AlreadyExists]);
    // To another repository of the same registry: mounted there.
    let other = at(&registry, "team/copy:1");
    one.engine.images().tag(&name.to_string(), &other).unwrap();
    let heard = Heard::default();
    assert_eq!(
        one.engine
            .images()
            .push(&other, None, &heard)
            .unwrap()
            .digest,
        pushed.digest
    );
    assert_eq!(heard.ends(), [LayerPhase::Mounted]);

    let two = Installation::new();
    let heard = Heard::default();
    let pulled = two
        .engine
        .images()
        .pull(&name, &PullOptions::default(), &heard)
        .unwrap();
    assert_eq!(
        (pulled.id, pulled.digest, pulled.newer),
        (id, pushed.digest, true)
    );
    assert_eq!(heard.ends(), [LayerPhase::PullComplete]);
    let heard = Heard::default();
    assert!(
        !two.engine
            .images()
            .pull(&name, &PullOptions::default(), &heard)
            .unwrap()
            .newer
    );
    assert_eq!(heard.ends(), [LayerPhase::AlreadyExists]);
    // A pulled image pushed elsewhere keeps its manifest byte for byte.
    let third = at(&registry, "elsewhere/box:1");
    two.engine.images().tag(&name.to_string(), &third).unwrap();
    assert_eq!(
        two.engine
            .images()
            .push(&third, None, &Silent)
            .unwrap()
            .digest,
        pushed.digest
    );
    // By digest.
    let pinned = name.with_digest(pushed.digest);
    let three = Installation::new();
    assert_eq!(
        three
            .engine
            .images()
            .pull(&pinned, &PullOptions::default(), &Silent)
            .unwrap()
            .id,
        id
    );
    assert_eq!(three.engine.images().id(&pinned.to_string()).unwrap(), id);
    for installation in [one, two, three] {
        installation.check();
    }
}

#[test]
fn root_a_mirror_stands_in() {
    let registry = TestRegistry::start();
    let one = Installation::new();
    let name = at(&registry, "library/box:latest");
    let id = one.image(&name.to_string(), "hello", &[]);
    one.engine.images().push(&name, None, &Silent).unwrap();
    let two = Installation::configured(&format!(
        "[registries.\"docker.io\"]\nmirrors = [\"http://127.0.0.1:9\", \"http://{}\"]\nonly-mirrors = true\n",
        registry.address()
    ));
    let images = two.engine.images();
    let missing = images
        .resolve_or_pull("box", None, PullPolicy::Never, &Silent)
        .unwrap_err();
    assert!(missing.to_string().contains("box:latest"), "{missing}");
    let image = images
        .resolve_or_pull("box", None, PullPolicy::Missing, &Silent)
        .unwrap();
    assert_eq!(
        (image.id, image.tags[0].familiar().as_str()),
        (id, "box:latest")
    );
    drop(registry);
    // Without the registry it is still here, and a fresh look fails by naming the mirrors.
    images
        .resolve_or_pull("box", None, PullPolicy::Missing, &Silent)
        .unwrap();
    let gone = images
        .resolve_or_pull("box", None, PullPolicy::Always, &Silent)
        .unwrap_err();
    assert!(gone.to_string().contains("127.0.0.1:9"), "{gone}");
}

#[test]
fn root_skopeo_and_gantry_meet_in_a_registry() {
    let registry = TestRegistry::start();
    let one = Installation::new();
    let name = at(&registry, "mine:1");
    let id = one.image(&name.to_string(), &"hello ".repeat(10_000), &["USER 1"]);
    let pushed = one.engine.images().push(&name, None, &Silent).unwrap();
    let place = format!("docker://{name}");
    let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &place]);
    assert!(raw.contains(&id.to_string()));
    let digest = skopeo(&[
        "inspect",
        "--format",
        "{{.Digest}}",
        "--tls-verify=false",
        &place,
    ]);
    assert_eq!(digest.trim(), pushed.digest.to_string());
    // Through an archive and back, by skopeo alone: Gantry pulls what it made.
    let archive = format!(
        "docker-archive:{}",
        one.save(&name.to_string(), "x.tar").display()
    );
    let back = at(&registry, "back:1");
    skopeo(&[
        "copy",
        "--dest-tls-verify=false",
        &archive,
        &format!("docker://{back}"),
    ]);
    let oci = at(&registry, "oci:zstd");
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--dest-compress-format",
        "zstd",
        "-f",
        "oci",
        &place,
        &format!("docker://{oci}"),
    ]);
    let two = Installation::new();
    let pulled = two
        .engine
        .images()
        .pull(&back, &PullOptions::default(), &Silent)
        .unwrap();
    assert_eq!(pulled.id, id);
    two.engine
        .images()
        .pull(&oci, &PullOptions::default(), &Silent)
        .unwrap();
    two.check();
}

#[test]
fn root_the_platform_is_chosen_from_an_index() {
    let registry = TestRegistry::start();
    let one = Installation::new();
    let mut entries = Vec::new();
    for (platform, content) in [("linux/amd64", "a"), ("linux/arm64", "b")] {
        let platform: Platform = platform.parse().unwrap();
        let name = at(&registry, &format!("multi:{}", platform.architecture));
        let tar = crate::installation::tar(&[("file", content)]);
        let options = gantry_engine::images::ImportOptions {
            reference: Some(name.clone()),
            platform: Some(platform.clone()),
            ..Default::default()
        };
        one.engine.images().import(&mut &tar[..], &options).unwrap();
        let pushed = one.engine.images().push(&name, None, &Silent).unwrap();
        entries.push(serde_json::json!({
            "mediaType": gantry_model::media_type::DOCKER_MANIFEST,
            "digest": pushed.digest, "size": pushed.size, "platform": platform,
        }));
    }
    let index = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": gantry_model::media_type::DOCKER_INDEX, "manifests": entries,
    }))
    .unwrap();
    let name = at(&registry, "multi:latest");
    let client = one.engine.registry().unwrap();
    client
        .push_manifest(&name, gantry_model::media_type::DOCKER_INDEX, &index)
        .unwrap();

    let two = Installation::new();
    let images = two.engine.images();
    let pull = |platform: &str| {
        let options = PullOptions {
            platforms: vec![platform.parse().unwrap()],
            ..PullOptions::default()
        };
        images.pull(&name, &options, &Silent)
    };
    pull("linux/arm64").unwrap();
    assert_eq!(
        images
            .resolve(&name.to_string())
            .unwrap()
            .config
            .architecture,
        "arm64"
    );
    pull("linux/amd64").unwrap();
    assert_eq!(
        images
            .resolve(&name.to_string())
            .unwrap()
            .config
            .architecture,
        "amd64"
    );
    let none = pull("linux/s390x").unwrap_err().to_string();
    assert!(
        none.contains("linux/s390x") && none.contains("linux/amd64, linux/arm64"),
        "{none}"
    );
    // A single manifest for another machine is refused when a platform was asked for.
    let single = at(&registry, "multi:arm64");
    let options = PullOptions {
        platforms: vec!["linux/amd64".parse().unwrap()],
        ..PullOptions::default()
    };
    let other = images
        .pull(&single, &options, &Silent)
        .unwrap_err()
        .to_string();
    assert!(other.contains("linux/arm64"), "{other}");
    two.check();
}

#[test]
fn root_what_is_not_there_is_said_so() {
    let registry = TestRegistry::start();
    let one = Installation::new();
    let images = one.engine.images();
    let pull = |name: &Reference| {
        images
            .pull(name, &PullOptions::default(), &Silent)
            .unwrap_err()
            .to_string()
    };
    let none = pull(&at(&registry, "none:1"));
    assert!(
        none.contains("none:1") && none.contains("not found"),
        "{none}"
    );
    let nobody = pull(&"127.0.0.1:9/x".parse().unwrap());
    assert!(nobody.contains("127.0.0.1:9"), "{nobody}");
    let push = images
        .push(&at(&registry, "none:1"), None, &Silent)
        .unwrap_err()
        .to_string();
    assert!(push.contains("does not exist locally"), "{push}");
}

#[test]
fn root_an_artefact_is_no_image() {
    let registry = TestRegistry::start();
    let one = Installation::new();
    let name = at(&registry, "chart:1");
    let config = b"{}";
    let digest = one.engine.store().unwrap().blobs().put(config).unwrap();
    let client = one.engine.registry().unwrap();
    let kind = "application/vnd.cncf.helm.config.v1+json";
    let descriptor = gantry_model::image::Descriptor::new(kind, digest, 2);
    client.push_bytes(&name, &descriptor, config).unwrap();
    let manifest: Value = serde_json::json!({
        "schemaVersion": 2, "mediaType": gantry_model::media_type::OCI_MANIFEST,
        "config": descriptor, "layers": [],
    });
    client
        .push_manifest(
            &name,
            gantry_model::media_type::OCI_MANIFEST,
            manifest.to_string().as_bytes(),
        )
        .unwrap();
    let error = one
        .engine
        .images()
        .pull(&name, &PullOptions::default(), &Silent)
        .unwrap_err();
    assert!(error.to_string().contains("helm"), "{error}");
}

#[test]
fn root_many_pull_the_same_at_once() {
    let registry = TestRegistry::start();
    let one = Installation::new();
    let name = at(&registry, "busy:1");
    let id = one.image(&name.to_string(), &"hello ".repeat(1_000_000), &[]);
    one.engine.images().push(&name, None, &Silent).unwrap();
    let two = Installation::new();
    // Threads of one engine, and engines (as processes would have them) beside it.
    let others: Vec<_> = (0..3).map(|_| two.another()).collect();
    std::thread::scope(|scope| {
        for engine in others.iter().chain([&two.engine, &two.engine, &two.engine]) {
            let name = &name;
            scope.spawn(move || {
                let pulled = engine
                    .images()
                    .pull(name, &PullOptions::default(), &Silent)
                    .unwrap();
                assert_eq!(pulled.id, id);
            });
        }
    });
    drop(others);
    assert_eq!(two.names().len(), 1);
    two.check();
}
