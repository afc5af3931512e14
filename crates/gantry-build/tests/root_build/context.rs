//! Contexts that are hostile or not there.

use std::fs;
use std::os::unix::fs::symlink;

use gantry_build::{BuildError, DockerfileSource};

use crate::Test;
use crate::environment::{Environment, explain};

pub(crate) const TESTS: &[Test] = &[
    ("root_context_links_never_lead_out", links),
    ("root_context_ignore_files", ignore_files),
    ("root_context_is_missing", missing),
    ("root_context_dockerfiles", dockerfiles),
];

fn links() {
    let environment = Environment::new();
    symlink("/etc/shadow", environment.path("shadow")).unwrap();
    symlink("../../../../../../etc", environment.path("up")).unwrap();
    symlink("/proc/self/root", environment.path("magic")).unwrap();
    for source in ["shadow", "up", "up/shadow", "magic/etc/shadow"] {
        let (error, _) = environment.fail(&format!("FROM busybox\nCOPY {source} /x\n"));
        assert!(error.contains("not found"), "{source}: {error}");
    }
    let built = environment.build("FROM busybox\nCOPY . /x/\n");
    assert_eq!(
        built.last(),
        [
            "755 0:0 x d",
            "777 0:0 x/magic l->/proc/self/root",
            "777 0:0 x/shadow l->/etc/shadow",
            "777 0:0 x/up l->../../../../../../etc"
        ]
    );
    // Links of a stage lead into the stage.
    let built = environment.build("FROM busybox AS s\nRUN ln -s /etc/passwd /p && ln -s ../../../../etc /e\nFROM busybox\nCOPY --from=s /p /e/group /x/\n");
    assert_eq!(built.last().len(), 3, "{:?}", built.last());
    assert!(built.last()[1].starts_with("644 0:0 x/group"));
}

fn ignore_files() {
    let environment = Environment::new();
    environment.write("a", "A");
    environment.write("b", "B");
    environment.write(".dockerignore", "a\n");
    environment.write("sub/Dockerfile", "FROM busybox\nCOPY * /x/\n");
    environment.write("sub/Dockerfile.dockerignore", "b\nsub\n");
    let mut request = environment.request("FROM busybox\nCOPY a b* /x/\n");
    let (result, _) = environment.build_request(&request);
    let error = result.unwrap_err();
    assert!(
        explain(&error).contains("\"/a\": not found, it is excluded by the ignore file"),
        "{}",
        explain(&error)
    );
    assert!(
        error
            .rendered()
            .unwrap()
            .contains("hint: add !a to the ignore file"),
        "{:?}",
        error.rendered()
    );
    request.dockerfile = Some(DockerfileSource::File(environment.path("sub/Dockerfile")));
    let (result, _) = environment.build_request(&request);
    let layers = result.unwrap().layers;
    let tree = environment.store.layers().tree(layers.last().unwrap());
    assert!(tree.join("x/a").exists() && !tree.join("x/b").exists());
}

fn missing() {
    let environment = Environment::new();
    let mut request = environment.request("FROM busybox\nCOPY a /\n");
    request.context = None;
    let (result, _) = environment.build_request(&request);
    assert!(explain(&result.unwrap_err()).contains("there is no build context to copy from"));
    request.context = Some(environment.path("nosuch").into());
    assert!(matches!(
        environment.build_request(&request).0,
        Err(BuildError::NoContext { .. })
    ));
    request.dockerfile = None;
    assert!(matches!(
        environment.build_request(&request).0,
        Err(BuildError::NoContext { .. })
    ));
    request.context = Some(environment.path("").into());
    assert!(matches!(
        environment.build_request(&request).0,
        Err(BuildError::NoDockerfile { .. })
    ));
}

fn dockerfiles() {
    let environment = Environment::new();
    environment.write(
        "dockerfile",
        "# syntax=docker/dockerfile:1.7\nFROM busybox\nLABEL lower=case\n",
    );
    let mut request = environment.request("");
    request.dockerfile = None;
    let tags = ["t:1".parse().unwrap(), "other/t".parse().unwrap()];
    let (result, said) = environment.build_with(&environment.builder(), &request, &tags);
    let result = result.unwrap();
    assert!(
        said.text().contains("naming to docker.io/library/t:1 done"),
        "{}",
        said.text()
    );
    for tag in &tags {
        assert_eq!(
            environment.store.images().find(tag).unwrap(),
            Some(result.image_id)
        );
    }
    fs::write(
        environment.path("Dockerfile"),
        "# syntax=example.org/front:1\nFROM busybox\n",
    )
    .unwrap();
    let error = environment.build_request(&request).0.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the front end example.org/front:1 is not supported"),
        "{error}"
    );
    fs::write(environment.path("Dockerfile"), b"FROM busybox\nRUN \xff\n").unwrap();
    assert!(matches!(
        environment.build_request(&request).0,
        Err(BuildError::Dockerfile { .. })
    ));
    let (error, rendered) = environment.fail("FROM nosuch/image\n");
    assert!(error.contains("cannot resolve nosuch/image"), "{error}");
    assert!(rendered.contains(">>> FROM nosuch/image"), "{rendered}");
}
