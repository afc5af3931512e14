//! Where the files of `gantry build` come from: standard input, archives, the net, names.

use gantry_testkit::TestEnv;
use gantry_testkit::web::{GitServer, Web, respond};

in_both_modes! {
    a_build_takes_its_files_from_anywhere,
    what_contexts_leave_counts_to_the_cache,
}

fn what_contexts_leave_counts_to_the_cache(env: TestEnv) {
    env.write("ctx/big", vec![7; 3 << 20]);
    env.write("ctx/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let total = || {
        let said = env.gantry(["builder", "du", "--format", "{{.Size}}"]).ok();
        said.lines().filter(|line| line.contains("MB")).count()
    };
    assert_eq!(total(), 0);
    let archive = packed(&env, "ctx");
    let built = env.gantry_with_input(["build", "-q", "-"], &archive);
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert_eq!(total(), 1, "the files of the archive");
    // A layout that nothing was built on.
    let layout = [
        "build",
        "-q",
        "-o",
        "type=oci,tar=false,dest=dist",
        "-f",
        "-",
        "ctx",
    ];
    let built = env.gantry_with_input(layout, b"FROM scratch\nCOPY big /\n");
    assert_eq!(built.code, 0, "{}", built.stderr);
    env.gantry(["builder", "prune", "-af"]).ok();
    assert_eq!(total(), 0, "nothing is left of them");
    let uses = [
        "build",
        "-q",
        "--build-context",
        "base=oci-layout://dist",
        "-o",
        "out",
        "-",
    ];
    let built = env.gantry_with_input(uses, b"FROM base\n");
    assert_eq!(built.code, 0, "{}", built.stderr);
    assert_eq!(total(), 1, "the layer of the layout");
    let pruned = env.gantry(["builder", "prune", "-af"]).ok();
    assert!(pruned.contains("MB"), "{pruned}");
    assert_eq!(total(), 0);
}

/// A tar of a folder of the environment.
fn packed(env: &TestEnv, folder: &str) -> Vec<u8> {
    let mut command = std::process::Command::new("tar");
    command
        .args(["-czf", "-", "-C"])
        .arg(env.work().join(folder))
        .arg(".");
    command.output().unwrap().stdout
}

#[test]
fn a_repository_on_a_server_that_knows_no_git_is_fetched_whole() {
    let env = TestEnv::new(crate::GANTRY);
    let server = GitServer::start();
    let repository = server.repository("one");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    repository.write("file", "content\n");
    drop(repository.commit());
    let bare = env.work().join("bare.git");
    let (from, to) = (repository.folder().to_owned(), bare.clone());
    repository.git(&[
        "clone",
        "-q",
        "--bare",
        from.to_str().unwrap(),
        to.to_str().unwrap(),
    ]);
    repository.git(&["--git-dir", to.to_str().unwrap(), "update-server-info"]);
    let web = Web::start(move |asked, stream| {
        let path = asked.path.split('?').next().unwrap_or_default();
        let path = path.trim_start_matches("/bare.git/");
        match std::fs::read(bare.join(path)) {
            Ok(content) => respond(stream, "200 OK", &[], &content),
            Err(_) => respond(stream, "404 Not Found", &[], b""),
        }
    });
    let built = env.gantry(["build", "-q", "-o", "out", &web.url("/bare.git")]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let file = std::fs::read_to_string(env.work().join("out/file")).unwrap();
    assert_eq!(file, "content\n");
}

fn a_build_takes_its_files_from_anywhere(env: TestEnv) {
    env.write("ctx/a", "from the archive\n");
    env.write("ctx/Dockerfile", "FROM busybox\nCOPY a /a\n");
    env.write("ctx/in/Other", "FROM scratch\nCOPY a /a\n");
    env.write("more/m", "named\n");
    let server = GitServer::start();
    let repository = server.repository("one");
    repository.write("g", "from the repository\n");
    repository.write("Dockerfile", "FROM busybox\nCOPY g /g\n");
    drop(repository.commit());
    let web = Web::start(|_, stream| respond(stream, "200 OK", &[], b"from the web\n"));

    let archive = packed(&env, "ctx");
    let built = env.gantry_with_input(["build", "-q", "-t", "stdin", "-"], &archive);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let cat = |image: &str, file: &str| env.gantry(["run", "--rm", image, "cat", file]).ok();
    assert_eq!(cat("stdin", "/a"), "from the archive");
    let built = env.gantry_with_input(["build", "-q", "-f", "in/Other", "-"], &archive);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let alone = env.gantry_with_input(
        ["build", "-q", "-t", "alone", "-"],
        b"FROM busybox\nLABEL a=b\n",
    );
    assert_eq!(alone.code, 0, "{}", alone.stderr);
    // A Dockerfile alone has nothing to copy beside it; that of an address has what came from there.
    let alone = env.gantry_with_input(
        ["build", "-q", "-o", "out", "-"],
        b"FROM scratch\nCOPY . /\n",
    );
    assert_eq!(alone.code, 0, "{}", alone.stderr);
    assert_eq!(
        std::fs::read_dir(env.work().join("out")).unwrap().count(),
        0
    );
    let missing = env.gantry_with_input(["build", "-"], b"FROM scratch\nCOPY a /\n");
    assert!(missing.fails(1).contains("\"/a\": not found"));
    let alone = Web::start(|_, stream| respond(stream, "200 OK", &[], b"FROM scratch\nCOPY . /\n"));
    let url = alone.url("/some/Dockerfile");
    env.gantry(["build", "-q", "-o", "out", &url]).ok();
    let copied = std::fs::read_to_string(env.work().join("out/context")).unwrap();
    assert_eq!(copied, "FROM scratch\nCOPY . /\n");
    env.write("ctx.tgz", archive);
    env.gantry(["build", "-q", "-t", "file", "ctx.tgz"]).ok();
    assert_eq!(cat("file", "/a"), "from the archive");
    env.gantry(["build", "-q", "-t", "git", &server.url("one")])
        .ok();
    assert_eq!(cat("git", "/g"), "from the repository");

    let dockerfile = format!(
        "FROM base\nCOPY --from=more m /m\nADD {} /w\nADD {} /r/\n",
        web.url("/file"),
        server.url("one"),
    );
    let args = [
        "build",
        "-q",
        "-t",
        "named",
        "--build-context",
        "more=more",
        "--build-context",
        "base=docker-image://busybox",
        "-",
    ];
    let built = env.gantry_with_input(args, dockerfile.as_bytes());
    assert_eq!(built.code, 0, "{}", built.stderr);
    let all = env
        .gantry(["run", "--rm", "named", "cat", "/m", "/w", "/r/g"])
        .ok();
    assert_eq!(all, "named\nfrom the web\nfrom the repository");

    // Nothing of it is fetched again, and all of it is gone after a prune.
    drop(web.asked());
    let again = env.gantry_with_input(args, dockerfile.as_bytes());
    assert_eq!(
        (again.code, again.stdout),
        (0, built.stdout),
        "{}",
        again.stderr
    );
    let pruned = env.gantry(["builder", "prune", "--force"]).ok();
    assert!(
        pruned.contains("Total:") && !pruned.contains("Total:\t0B"),
        "{pruned}"
    );
    for (arguments, want) in [
        (["build", "-f", "-", "-"], "can't use stdin for both"),
        (
            ["build", "--build-context", "x=target:y", "ctx"],
            "not supported",
        ),
        (
            ["build", "--build-context", "x=/nonesuch", "ctx"],
            "neither a folder nor an address",
        ),
        (
            ["build", "-q", "-q", "https://e.org/x.git#--evil"],
            "not the name of a branch",
        ),
    ] {
        let refused = env.gantry(arguments);
        assert!(
            refused.code != 0 && refused.stderr.contains(want),
            "{arguments:?}: {}",
            refused.stderr
        );
    }
}
