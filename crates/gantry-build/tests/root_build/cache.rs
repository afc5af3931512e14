//! What makes a step run again, and what does not.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use crate::Test;
use crate::environment::Environment;

pub(crate) const TESTS: &[Test] = &[
    ("root_cache_follows_content", follows_content),
    ("root_cache_of_copies_from_stages", from_stages),
    ("root_cache_survives_and_heals", heals),
    ("root_cache_can_be_refused", no_cache),
    ("root_cache_one_step_of_two_builds_runs_once", once),
    ("root_cache_learns_from_copies_that_read_first", learning),
];

fn follows_content() {
    let environment = Environment::new();
    environment.write("a", "1");
    environment.write("d/b", "2");
    environment.write("ignored", "x");
    environment.write(".dockerignore", "ignored\n");
    let text = "FROM busybox\nARG V=1\nCOPY . /src\nRUN echo $V; ls /src\n";
    let executed = |what: &str| {
        let built = environment.build(text);
        (what.to_owned(), built.result.executed)
    };
    let check = |what: &str, want: usize| assert_eq!(executed(what), (what.to_owned(), want));
    check("first", 2);
    check("nothing", 0);
    fs::File::open(environment.path("a"))
        .unwrap()
        .set_modified(SystemTime::now() - Duration::from_secs(1000))
        .unwrap();
    check("touched", 0);
    environment.write("a", "1");
    check("written with the same content", 0);
    environment.write("ignored", "y");
    check("an ignored file changed", 0);
    environment.write("a", "2");
    check("content changed", 2);
    environment.write("a", "1");
    check("content changed back", 0);
    fs::set_permissions(environment.path("a"), Permissions::from_mode(0o600)).unwrap();
    check("mode changed", 2);
    fs::set_permissions(environment.path("a"), Permissions::from_mode(0o644)).unwrap();
    fs::rename(environment.path("d/b"), environment.path("d/c")).unwrap();
    check("renamed", 2);
    fs::rename(environment.path("d/c"), environment.path("d/b")).unwrap();
    symlink("a", environment.path("l")).unwrap();
    check("link added", 2);
    fs::remove_file(environment.path("l")).unwrap();
    check("link removed", 0);
    let mut request = environment.request(text);
    request.build_args.insert("V".into(), "2".into());
    assert_eq!(
        environment.build_request(&request).0.unwrap().executed,
        1,
        "argument changed"
    );
    // Flags are part of what a copy does; the spelling of a source is not.
    let built = environment.build("FROM busybox\nARG V=1\nCOPY ./ /src\nRUN echo $V; ls /src\n");
    assert_eq!(built.result.executed, 0);
    let built =
        environment.build("FROM busybox\nARG V=1\nCOPY --chown=1:1 . /src\nRUN echo $V; ls /src\n");
    assert_eq!(built.result.executed, 2);
}

fn from_stages() {
    let environment = Environment::new();
    environment.write("a", "1");
    environment.write("b", "1");
    let text =
        "FROM busybox AS s\nCOPY a /a\nCOPY b /b\nFROM busybox\nCOPY --from=s /a /c\nRUN cat /c\n";
    assert_eq!(environment.build(text).result.executed, 4);
    assert_eq!(environment.build(text).result.executed, 0);
    // The stage changes, the file that is copied from it does not.
    environment.write("b", "2");
    assert_eq!(environment.build(text).result.executed, 1);
    assert_eq!(environment.build(text).result.executed, 0);
    environment.write("a", "2");
    assert_eq!(environment.build(text).result.executed, 4);
}

fn heals() {
    let environment = Environment::new();
    environment.write("a", "1");
    let text = "FROM busybox\nCOPY a /a\nRUN echo x > /x\n";
    let built = environment.build(text);
    let layer = environment.store.layers().tree(&built.result.layers[1]);
    fs::remove_dir_all(layer.parent().unwrap()).unwrap();
    let again = environment.build(text);
    assert_eq!(again.result.executed, 1, "{}", again.said.text());
    assert_eq!(again.last(), ["644 0:0 x f=x"]);
}

fn no_cache() {
    let environment = Environment::new();
    environment.write("a", "1");
    let mut request = environment.request("FROM busybox\nCOPY a /a\nRUN true\n");
    assert_eq!(environment.build_request(&request).0.unwrap().executed, 2);
    request.no_cache = true;
    assert_eq!(environment.build_request(&request).0.unwrap().executed, 2);
    request.no_cache = false;
    assert_eq!(environment.build_request(&request).0.unwrap().executed, 0);
}

fn once() {
    let environment = Environment::new();
    let text = "FROM busybox\nRUN sleep 0.3 && echo $RANDOM > /x\n";
    let results: Vec<_> = std::thread::scope(|scope| {
        let builds: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| environment.build(text).result))
            .collect();
        builds
            .into_iter()
            .map(|build| build.join().unwrap())
            .collect()
    });
    assert_eq!(
        results.iter().map(|result| result.executed).sum::<usize>(),
        1
    );
    assert!(
        results
            .iter()
            .all(|result| result.image_id == results[0].image_id)
    );
}

/// Where nothing can be known, content is read by the copy alone; what it learnt is as good.
fn learning() {
    let environment = Environment::new();
    environment.write("d/f", "F");
    environment.write("d/g", "over");
    environment.write("e/g", "G");
    fs::hard_link(environment.path("d/f"), environment.path("d/z")).unwrap();
    let status = std::process::Command::new("tar")
        .current_dir(environment.path(""))
        .args(["cf", "t.tar", "e"])
        .status();
    assert!(status.unwrap().success());
    let text = "FROM busybox AS a\nCOPY d e /x/\nADD t.tar /y/\nFROM busybox\nCOPY --from=a /x /w/\nCOPY --from=a /y/e/g /v\n";
    let first = environment.build(text);
    assert_eq!((first.result.executed, first.result.cached), (4, 0));
    let again = environment.build(text);
    assert_eq!((again.result.executed, again.result.cached), (0, 4));
    assert_eq!(again.result.layers, first.result.layers);
    // The same content in another place, and a change of what is a file of two names.
    let moved = environment.build(&text.replace("COPY d e /x/", "COPY ./d ./e /x/"));
    assert_eq!((moved.result.executed, moved.result.cached), (0, 4));
    environment.write("d/z", "other");
    let changed = environment.build(text);
    assert_eq!((changed.result.executed, changed.result.cached), (4, 0));
    let mut request = environment.request(text);
    request.no_cache = true;
    environment.write("d/z", "third");
    let refused = environment.build_request(&request).0.unwrap();
    assert_eq!((refused.executed, refused.cached), (4, 0));
    let again = environment.build(text);
    assert_eq!((again.result.executed, again.result.cached), (0, 4));
    assert_eq!(again.result.layers, refused.layers);
}
