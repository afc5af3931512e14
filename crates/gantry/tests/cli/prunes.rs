//! Prunes of all sorts beside pulls and builds: they take nothing that is under way.

use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_testkit::environment::wait_for;
use gantry_testkit::web::{GitServer, Web, respond};
use gantry_testkit::{Answer, HeldRegistry, TestEnv};

use crate::{GANTRY, busybox};

const PRUNES: [&[&str]; 4] = [
    &["system", "prune", "-af"],
    &["image", "prune", "-af"],
    &["builder", "prune", "-af"],
    &["system", "prune", "-f"],
];

fn prune_all(env: &TestEnv) {
    for prune in PRUNES {
        env.gantry(prune).ok();
    }
}

fn ended(child: Child) -> Answer {
    child.wait_with_output().unwrap().into()
}

/// A registry with `made:1`, an image of three layers.
fn registry() -> HeldRegistry {
    let registry = HeldRegistry::start();
    let env = busybox();
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN head -c 300000 /dev/urandom >/a; cp /a /b\nRUN cp /a /c\n",
    );
    let name = format!("{}/made:1", registry.behind());
    env.gantry(["build", "-q", "-t", &name, "ctx"]).ok();
    env.gantry(["push", "-q", &name]).ok();
    registry
}

/// At many moments of a pull everything that nobody needs is taken away.
#[test]
fn root_a_prune_takes_nothing_of_a_pull_that_goes_on() {
    let registry = registry();
    let name = format!("{}/made:1", registry.address());
    let same = [
        "run",
        "--rm",
        &name,
        "sh",
        "-c",
        "cmp /a /b && cmp /a /c && echo same",
    ];
    for bytes in [200, 3_000, 200_000, 1_200_000, 1_500_000] {
        let env = TestEnv::new(GANTRY);
        registry.hold_after(bytes);
        let pull = env.spawn(["pull", "-q", &name]);
        registry.wait_held();
        prune_all(&env);
        registry.release();
        let pulled = ended(pull);
        assert_eq!(pulled.code, 0, "after {bytes} bytes: {}", pulled.stderr);
        assert_eq!(env.gantry(same).ok(), "same", "after {bytes} bytes");
        assert_eq!(env.gantry(["system", "check"]).code, 0);
    }
}

/// A pull that is killed in its middle leaves what the next prune takes; the next pull is whole.
#[test]
fn root_a_pull_that_is_killed_in_its_middle_leaves_nothing_to_a_prune() {
    let registry = registry();
    let name = format!("{}/made:1", registry.address());
    let env = TestEnv::new(GANTRY);
    for bytes in [3_000, 200_000, 1_500_000] {
        registry.hold_after(bytes);
        let mut pull = env.spawn(["pull", "-q", &name]);
        registry.wait_held();
        pull.kill().unwrap();
        pull.wait().unwrap();
        registry.release();
        prune_all(&env);
        for folder in ["ingest", "layers", "leases"] {
            let left = std::fs::read_dir(env.root().join(folder)).unwrap().count();
            assert_eq!(left, 0, "after {bytes} bytes, {folder}");
        }
    }
    env.gantry(["pull", "-q", &name]).ok();
    assert_eq!(env.gantry(["system", "check"]).code, 0);
}

/// While a build fetches its base and runs its steps, prunes run all the time.
#[test]
fn root_prunes_beside_a_build_take_nothing_that_it_needs() {
    let registry = registry();
    let env = busybox();
    env.write("ctx/file", "content");
    env.write(
        "ctx/Dockerfile",
        format!(
            "FROM {}/made:1 AS one\nCOPY file /file\nRUN cat /file >/one\nRUN cp /one /two\n\
             FROM busybox AS other\nRUN seq 3000 >/three\n\
             FROM one\nCOPY --from=other /three /\nRUN cmp /one /two && cmp /a /c && wc -l </three\n",
            registry.address()
        ),
    );
    // What is named by a tag alone stays as long as a container has it.
    env.gantry(["run", "-d", "busybox", "sleep", "1000"]).ok();
    registry.hold_after(400_000);
    let build = env.spawn(["build", "-q", "-t", "made", "ctx"]);
    registry.wait_held();
    prune_all(&env);
    let over = AtomicBool::new(false);
    let built = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                prune_all(&env);
            }
        });
        registry.release();
        let built = ended(build);
        over.store(true, Ordering::Relaxed);
        built
    });
    assert_eq!(built.code, 0, "{}", built.stderr);
    // The last of the prunes may have come after the build: the image has a name and no container.
    env.gantry(["build", "-q", "-t", "made", "ctx"]).ok();
    let shown = [
        "run",
        "--rm",
        "made",
        "sh",
        "-c",
        "cmp /a /b && cat /two && wc -l </three",
    ];
    assert_eq!(env.gantry(shown).ok(), "content3000");
    assert_eq!(env.gantry(["system", "check"]).code, 0);
}

/// What a build has fetched, contexts and files, stays while it waits for the last of it.
#[test]
fn root_prunes_take_nothing_that_a_build_has_fetched() {
    let env = busybox();
    env.write("more/m", "named\n");
    let packed = Command::new("tar")
        .args(["-C", "more", "-c", "."])
        .current_dir(env.work())
        .output();
    let archive = packed.unwrap().stdout;
    let server = GitServer::start();
    let repository = server.repository("one");
    repository.write("file", "repository\n");
    let waits = Arc::new(AtomicBool::new(true));
    let held = Arc::clone(&waits);
    let web = Web::start(move |asked, stream| {
        if asked.path == "/more.tar" {
            return respond(stream, "200 OK", &[], &archive);
        }
        wait_for("the prunes", || !held.load(Ordering::SeqCst));
        respond(stream, "200 OK", &[], b"web\n");
    });
    let dockerfile = format!(
        "FROM busybox\nCOPY file /a\nCOPY --from=more m /b\nADD {} /c/\nADD {} /d\n\
         RUN cat /a /b /c/file /d >/all\n",
        server.url("one"),
        web.url("/held"),
    );
    repository.write("Dockerfile", &dockerfile);
    drop(repository.commit());
    env.gantry(["run", "-d", "busybox", "sleep", "1000"]).ok();
    let more = format!("--build-context=more={}", web.url("/more.tar"));
    let context = server.url("one");
    let words = ["build", "-q", "-t", "made", &more, &context];
    let mut build = env.spawn(words);
    let mut asked = Vec::new();
    wait_for("the build asks for the last file", || {
        asked.extend(web.asked());
        asked.iter().any(|asked| asked.path == "/held") || build.try_wait().unwrap().is_some()
    });
    prune_all(&env);
    waits.store(false, Ordering::SeqCst);
    let built = ended(build);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let all = env.gantry(["run", "--rm", "made", "cat", "/all"]).ok();
    assert_eq!(all, "repository\nnamed\nrepository\nweb");
    // With nobody at it, all that was fetched goes.
    env.gantry(["builder", "prune", "-af"]).ok();
    assert_eq!(
        env.gantry(["builder", "du", "--format", "{{.ID}}"]).ok(),
        ""
    );
    assert_eq!(env.gantry(["system", "check"]).code, 0);
}
