//! Where the files of `gantry build` come from: standard input, archives, the net, names.

use gantry_testkit::TestEnv;
use gantry_testkit::web::{GitServer, Web, respond};

in_both_modes! {
    a_build_takes_its_files_from_anywhere,
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
