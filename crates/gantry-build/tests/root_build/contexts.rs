//! Contexts that are not folders, and contexts with names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use gantry_build::{BuildRequest, ContextSource, DockerfileSource, Input, NamedContext};
use gantry_testkit::web::{GitServer, Web, respond};

use crate::Test;
use crate::environment::{Environment, explain, list};

pub(crate) const TESTS: &[Test] = &[
    ("root_contexts_are_archives", archives),
    ("root_contexts_come_over_http", web),
    ("root_contexts_are_repositories", repositories),
    ("root_contexts_have_names", names),
];

/// The files that the last layer of a build with this request has.
fn built(environment: &Environment, request: &BuildRequest) -> Vec<String> {
    let (result, said) = environment.build_request(request);
    let result = result.unwrap_or_else(|error| panic!("{}\n{}", said.text(), explain(&error)));
    let tree = environment
        .store
        .layers()
        .tree(result.layers.last().unwrap());
    let mut lines = Vec::new();
    list(&tree, &tree, &mut lines);
    lines
}

fn failed(environment: &Environment, request: &BuildRequest) -> String {
    explain(
        &environment
            .build_request(request)
            .0
            .expect_err("the build must fail"),
    )
}

/// A tar of a folder, packed with these flags.
fn packed(folder: &Path, flags: &[&str]) -> Vec<u8> {
    let mut command = std::process::Command::new("tar");
    command
        .args(["--create", "--directory"])
        .arg(folder)
        .args(flags)
        .args(["--file=-", "."]);
    command.output().unwrap().stdout
}

fn input(environment: &Environment, bytes: &[u8]) -> ContextSource {
    let path = environment.folder.path().join("input");
    fs::write(&path, bytes).unwrap();
    ContextSource::Input(Input::new("archive", File::open(path).unwrap()))
}

fn request(context: ContextSource) -> BuildRequest {
    BuildRequest::new(context)
}

const FILES: [&str; 3] = [
    "755 0:0 x d",
    "755 0:0 x/run f=#!/bin/sh",
    "644 0:0 x/sub f=1",
];

/// A context folder whose image has [`FILES`].
fn fill(environment: &Environment) -> PathBuf {
    environment.write("Dockerfile", "FROM scratch\nCOPY . /x/\n");
    environment.write(".dockerignore", "secret\n*ockerfile*\n.*\n");
    environment.write("other.Dockerfile", "FROM scratch\nCOPY sub secret /x/\n");
    environment.write("other.Dockerfile.dockerignore", "nothing\n");
    environment.write("secret", "s");
    environment.write("sub", "1");
    environment.write("run", "#!/bin/sh\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(environment.path("run"), mode).unwrap();
    environment.path("")
}

fn archives() {
    let environment = Environment::new();
    let folder = fill(&environment);
    for flags in [
        &[][..],
        &["--gzip"],
        &["--bzip2"],
        &["--xz"],
        &["--zstd"],
        &["--owner=7", "--format=pax"],
    ] {
        let context = input(&environment, &packed(&folder, flags));
        assert_eq!(built(&environment, &request(context)), FILES, "{flags:?}");
    }
    // Another Dockerfile, with its own ignore file.
    let mut other = request(input(&environment, &packed(&folder, &[])));
    other.dockerfile = Some(DockerfileSource::File("other.Dockerfile".into()));
    assert_eq!(
        built(&environment, &other)[1..],
        ["644 0:0 x/secret f=s", "644 0:0 x/sub f=1"]
    );
    other.context = Some(input(&environment, &packed(&folder, &[])));
    other.dockerfile = Some(DockerfileSource::File("../../../etc/passwd".into()));
    assert!(failed(&environment, &other).contains("failed to read dockerfile"));
    // Beside a Dockerfile alone there is nothing.
    let alone = request(input(&environment, b"FROM scratch\nCOPY a /\n"));
    assert!(failed(&environment, &alone).contains("\"/a\": not found"));
    let alone = request(input(&environment, b"FROM scratch\nCOPY <<a /b\nx\na\n"));
    assert_eq!(built(&environment, &alone), ["644 0:0 b f=x"]);
    // What is no archive after all, and no Dockerfile.
    let broken = request(input(&environment, &packed(&folder, &["--gzip"])[..200]));
    assert!(failed(&environment, &broken).contains("cannot unpack archive"));
    let none = request(input(
        &environment,
        &packed(&folder, &["--exclude=./Dockerfile"]),
    ));
    assert!(failed(&environment, &none).contains("failed to read dockerfile"));
    // Links of an archive lead into it, for the Dockerfile and for what is copied.
    let hostile = tempfile::tempdir().unwrap();
    symlink("/etc/passwd", hostile.path().join("Dockerfile")).unwrap();
    let linked = request(input(&environment, &packed(hostile.path(), &[])));
    assert!(failed(&environment, &linked).contains("failed to read dockerfile"));
    fs::remove_file(hostile.path().join("Dockerfile")).unwrap();
    fs::write(
        hostile.path().join("Dockerfile"),
        "FROM scratch\nCOPY etc/passwd /x\n",
    )
    .unwrap();
    symlink("/etc", hostile.path().join("etc")).unwrap();
    let linked = request(input(&environment, &packed(hostile.path(), &[])));
    assert!(!failed(&environment, &linked).is_empty());
}

fn web() {
    let environment = Environment::new();
    let archive = packed(&fill(&environment), &["--gzip"]);
    let web = Web::start(move |asked, stream| match asked.path.as_str() {
        "/c.tar.gz" => respond(stream, "200 OK", &[], &archive),
        "/Dockerfile" => respond(stream, "200 OK", &[], b"FROM scratch\nCOPY <<a /b\nx\na\n"),
        "/other" => respond(stream, "200 OK", &[], b"FROM scratch\nCOPY sub /y\n"),
        _ => respond(stream, "404 Not Found", &[], b""),
    });
    let remote = |path: &str| request(ContextSource::Remote(web.url(path)));
    assert_eq!(built(&environment, &remote("/c.tar.gz")), FILES);
    let again = environment.build_request(&remote("/c.tar.gz")).0.unwrap();
    assert_eq!(again.executed, 0);
    assert_eq!(
        built(&environment, &remote("/Dockerfile")),
        ["644 0:0 b f=x"]
    );
    assert!(failed(&environment, &remote("/gone")).contains("invalid response status 404"));
    let mut mixed = request(environment.path("").into());
    mixed.dockerfile = Some(DockerfileSource::Remote(web.url("/other")));
    assert_eq!(built(&environment, &mixed), ["644 0:0 y f=1"]);
}

fn repositories() {
    let server = GitServer::start();
    let repository = server.repository("one");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /x/\n");
    repository.write(".dockerignore", "Dockerfile\n.dockerignore\nsub\n");
    repository.write("a", "1");
    repository.write("sub/Dockerfile", "FROM scratch\nCOPY b /x\n");
    repository.write("sub/b", "2");
    repository.write("evil/other", "x");
    symlink("/etc/passwd", repository.folder().join("evil/Dockerfile")).unwrap();
    drop(repository.commit());
    let environment = Environment::new();
    let remote = |text: String| request(ContextSource::Remote(text));
    let url = server.url("one");
    let files = built(&environment, &remote(url.clone()));
    assert_eq!(files[..2], ["755 0:0 x d", "644 0:0 x/a f=1"], "{files:?}");
    assert!(
        !files
            .iter()
            .any(|line| line.contains("sub") || line.contains(".git")),
        "{files:?}"
    );
    assert_eq!(
        built(&environment, &remote(format!("{url}#main:sub"))),
        ["644 0:0 x f=2"]
    );
    let mut kept = remote(url.clone());
    kept.build_args
        .insert("BUILDKIT_CONTEXT_KEEP_GIT_DIR".into(), "1".into());
    let files = built(&environment, &kept);
    assert!(
        files.iter().any(|line| line.contains("x/.git/HEAD")),
        "{files:?}"
    );
    let mut inside = remote(url.clone());
    inside.dockerfile = Some(DockerfileSource::File("sub/Dockerfile".into()));
    assert!(failed(&environment, &inside).contains("\"/b\": not found"));
    for (folder, want) in [
        ("nonesuch", "not found"),
        ("evil", "failed to read dockerfile"),
    ] {
        let error = failed(&environment, &remote(format!("{url}#:{folder}")));
        assert!(error.contains(want), "{folder}: {error}");
    }
}

fn names() {
    let server = GitServer::start();
    let repository = server.repository("one");
    repository.write("sub/g", "git");
    drop(repository.commit());
    let environment = Environment::new();
    let more = environment.folder.path().join("more");
    fs::create_dir(&more).unwrap();
    for (name, content) in [
        ("f", "more"),
        ("hidden", "h"),
        (".dockerignore", "hidden\n"),
    ] {
        fs::write(more.join(name), content).unwrap();
    }
    let archive = packed(&more, &["--exclude=.dockerignore"]);
    let web = Web::start(move |asked, stream| match asked.path.as_str() {
        "/a.tar" => respond(stream, "200 OK", &[], &archive),
        _ => respond(stream, "200 OK", &[], b"plain"),
    });
    let files = |source: ContextSource| NamedContext::Files(source);
    let remote = |text: String| files(ContextSource::Remote(text));
    let named: BTreeMap<String, NamedContext> = [
        ("folder", files(more.clone().into())),
        ("repository", remote(format!("{}#:sub", server.url("one")))),
        ("archive", remote(web.url("/a.tar"))),
        ("file", remote(web.url("/dir/name"))),
        (
            "docker.io/library/nonesuch:latest",
            NamedContext::Image("busybox".to_owned()),
        ),
        ("stage", files(more.into())),
        ("unused", remote("git://127.0.0.1:1/x".to_owned())),
    ]
    .map(|(name, context)| (name.to_owned(), context))
    .into();
    let build = |dockerfile: &str| {
        let mut request = environment.request(dockerfile);
        request.named_contexts = named.clone();
        built(&environment, &request)
    };
    for (dockerfile, want) in [
        (
            "FROM scratch\nCOPY --from=folder . /x/\n",
            &[
                "755 0:0 x d",
                "644 0:0 x/.dockerignore f=hidden",
                "644 0:0 x/f f=more",
            ][..],
        ),
        (
            "FROM scratch\nCOPY --from=repository g /g\n",
            &["644 0:0 g f=git"],
        ),
        (
            "FROM scratch\nCOPY --from=archive f hidden /x/\n",
            &["755 0:0 x d", "644 0:0 x/f f=more", "644 0:0 x/hidden f=h"],
        ),
        (
            "FROM scratch\nCOPY --from=file . /x/\n",
            &["755 0:0 x d", "600 0:0 x/name f=plain"],
        ),
        // A name stands before the image, and before the stage with all its instructions.
        (
            "FROM nonesuch\nRUN --mount=from=folder,target=/m cat /m/f > /out\n",
            &["644 0:0 out f=more"],
        ),
        (
            "FROM busybox AS stage\nRUN false\nFROM scratch\nCOPY --from=stage f /f\n",
            &["644 0:0 f f=more"],
        ),
        (
            "FROM scratch\nCOPY --from=nonesuch /etc/group /g\n",
            &["644 0:0 g f=root:x:0:\nnogroup:x:65534:\nextra:x:77:nobody"],
        ),
        (
            "FROM busybox AS stage\nRUN false\nFROM stage\nCOPY --from=nonesuch /etc/group /f\n",
            &["644 0:0 f f=root:x:0:\nnogroup:x:65534:\nextra:x:77:nobody"],
        ),
        (
            "FROM folder\n",
            &["644 0:0 .dockerignore f=hidden", "644 0:0 f f=more"],
        ),
    ] {
        assert_eq!(build(dockerfile), want, "{dockerfile}");
    }
}
