//! Several targets and platforms in one build.

use gantry_build::{BuildRequest, Outcome, Reporter, build};
use gantry_store::Store;

use crate::Test;
use crate::environment::{Environment, Said, explain};

pub(crate) const TESTS: &[Test] = &[
    ("root_targets_share_equal_work", equal_work_is_done_once),
    ("root_targets_keep_contexts_apart", contexts_are_kept_apart),
    ("root_targets_for_platforms", platforms),
];

fn built(environment: &Environment, requests: &[BuildRequest]) -> (Outcome, Said) {
    let said = Said::default();
    let outcome = build(&environment.builder(), requests, &Reporter::new(&said));
    match outcome {
        Ok(outcome) => (outcome, said),
        Err(error) => panic!("{}\n{}", said.text(), explain(&error)),
    }
}

fn named(environment: &Environment, name: &str, dockerfile: &str) -> BuildRequest {
    BuildRequest {
        name: Some(name.to_owned()),
        ..environment.request(dockerfile)
    }
}

/// The content of a file in the last layer of a target.
fn read(store: &Store, outcome: &Outcome, target: usize, path: &str) -> String {
    let image = &outcome.targets[target].images[0];
    let tree = store.layers().tree(image.layers().last().unwrap());
    std::fs::read_to_string(tree.join(path)).unwrap()
}

fn equal_work_is_done_once() {
    let environment = Environment::new();
    let common = "FROM busybox AS common\nRUN echo $RANDOM > /common\n";
    let requests = ["a", "b"].map(|name| {
        let text = format!("{common}FROM common\nRUN echo {name} > /own; cat /common >> /own\n");
        named(&environment, name, &text)
    });
    let (outcome, said) = built(&environment, &requests);
    assert_eq!(
        (outcome.executed, outcome.cached),
        (3, 0),
        "{}",
        said.text()
    );
    let own = |number| read(&environment.store, &outcome, number, "own");
    let (first, second) = (own(0), own(1));
    assert_eq!(first.strip_prefix("a\n"), second.strip_prefix("b\n"));
    for name in [
        "[a internal] load build definition from Dockerfile",
        "[b internal] load build definition from Dockerfile",
        "[a common 2/2] RUN",
        "[b stage-1 1/1] RUN",
    ] {
        assert!(said.text().contains(name), "{name}: {}", said.text());
    }
    // Only what a client asks to run again is run again.
    let mut fresh = requests.clone();
    fresh[1].no_cache = true;
    fresh[1].dockerfile = environment.request("FROM busybox\nRUN true\n").dockerfile;
    let (outcome, _) = built(&environment, &fresh);
    assert_eq!((outcome.executed, outcome.cached), (1, 2));
    let (outcome, _) = built(&environment, &fresh);
    assert_eq!((outcome.executed, outcome.cached), (1, 2));
}

fn contexts_are_kept_apart() {
    let environment = Environment::new();
    environment.write("a/f", "of a");
    environment.write("b/f", "of b");
    let text = "FROM scratch\nCOPY f /f\n";
    let requests = ["a", "b"].map(|name| {
        let mut request = named(&environment, name, text);
        request.context = Some(environment.path(name).into());
        request
    });
    let (outcome, said) = built(&environment, &requests);
    assert_eq!(read(&environment.store, &outcome, 0, "f"), "of a");
    assert_eq!(read(&environment.store, &outcome, 1, "f"), "of b");
    assert!(
        said.text().contains("[b internal] load build context"),
        "{}",
        said.text()
    );
}

fn platforms() {
    let environment = Environment::new();
    environment.write("f", "content");
    let mut request = environment.request(
        "FROM --platform=$BUILDPLATFORM busybox AS build\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch\n\
         FROM scratch\nCOPY f /f\nCOPY --from=build /arch /arch\n",
    );
    request.platforms = ["linux/amd64", "linux/s390x", "linux/amd64"]
        .map(|text| text.parse().unwrap())
        .to_vec();
    let (outcome, said) = built(&environment, &[request]);
    let target = &outcome.targets[0];
    assert!(target.multi_platform);
    let [first, second] = target.images.as_slice() else {
        panic!("{target:?}")
    };
    assert_eq!(first.config.architecture, "amd64");
    assert_eq!(second.config.architecture, "s390x");
    // The same files are one layer; what each platform has made for it is its own.
    assert_eq!(first.layers()[0], second.layers()[0]);
    assert_ne!(first.layers()[1], second.layers()[1]);
    assert_eq!(outcome.executed, 5, "{}", said.text());
    assert!(
        said.text().contains("->s390x build 2/2] RUN echo s390x"),
        "{}",
        said.text()
    );
}
