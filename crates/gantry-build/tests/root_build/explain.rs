//! Why steps run again: what is told is what was changed.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use gantry_build::explain::{Aspect, Change, Explanation, Outcome, Reason, What};

use crate::Test;
use crate::environment::Environment;

pub(crate) const TESTS: &[Test] = &[
    ("root_explain_names_what_changed", names_what_changed),
    ("root_explain_arguments_and_instructions", arguments),
    ("root_explain_what_the_cache_lost", lost),
    ("root_explain_a_build_that_fails", failing),
];

const TEXT: &str = "FROM busybox\nARG V=1\nCOPY . /src\nRUN ls /src\nRUN true\n";

fn explained(environment: &Environment, text: &str) -> Explanation {
    environment.build(text).said.explanation()
}

fn file(path: &str, change: Change, aspects: &[Aspect]) -> Reason {
    Reason::File {
        path: path.to_owned(),
        change,
        aspects: aspects.to_vec(),
    }
}

fn parent(step: &str) -> Reason {
    Reason::Parent {
        step: step.to_owned(),
    }
}

fn outcomes(explanation: &Explanation) -> Vec<Outcome> {
    explanation.steps.iter().map(|step| step.outcome).collect()
}

fn names_what_changed() {
    let environment = Environment::new();
    for name in ["a", "b", "d/c"] {
        environment.write(name, "1");
    }
    symlink("a", environment.path("l")).unwrap();
    let first = explained(&environment, TEXT);
    assert_eq!(first.compared_with, None);
    assert_eq!(first.steps[1].reasons, [Reason::FirstBuild]);
    let same = explained(&environment, TEXT);
    assert!(same.compared_with.is_some());
    assert_eq!(
        outcomes(&same),
        [Outcome::Base, Outcome::Hit, Outcome::Hit, Outcome::Hit]
    );
    assert_eq!(same.first_divergent, None);
    environment.write("a", "2");
    fs::remove_file(environment.path("b")).unwrap();
    environment.write("new", "");
    let mode = Permissions::from_mode(0o600);
    fs::set_permissions(environment.path("d/c"), mode).unwrap();
    fs::remove_file(environment.path("l")).unwrap();
    symlink("new", environment.path("l")).unwrap();
    let changed = explained(&environment, TEXT);
    let (was, is) = ("0644".to_owned(), "0600".to_owned());
    let mode = Aspect::Mode { was, is };
    let (was, is) = ("a".to_owned(), "new".to_owned());
    let link = Aspect::Link { was, is };
    assert_eq!(
        changed.steps[1].reasons,
        [
            file("a", Change::Changed, &[Aspect::Content]),
            file("b", Change::Removed, &[]),
            file("d/c", Change::Changed, &[mode]),
            file("l", Change::Changed, &[link]),
            file("new", Change::Added, &[]),
        ]
    );
    assert_eq!(changed.steps[2].reasons, [parent("[2/4] COPY . /src")]);
    assert_eq!(changed.steps[3].reasons, [parent("[3/4] RUN ls /src")]);
    assert_eq!(changed.first_divergent, Some(1));
    // Compared with the nearest of all earlier builds, not with the last one.
    fs::remove_file(environment.path("new")).unwrap();
    environment.write("b", "1");
    environment.write("a", "1");
    let text = TEXT.replace("COPY . /src", "COPY d /src");
    let moved = explained(&environment, &text);
    assert!(
        matches!(&moved.steps[1].reasons[..], [Reason::Instruction { was }, ..] if was == "COPY . /src"),
        "{:?}",
        moved.steps[1]
    );
}

fn arguments() {
    let environment = Environment::new();
    environment.write("a", "1");
    explained(&environment, TEXT);
    let mut request = environment.request(TEXT);
    let secret = "hunter2hunter2";
    request.build_args.insert("V".into(), secret.into());
    let (built, said) = environment.build_request(&request);
    built.unwrap();
    let explanation = said.explanation();
    let argument = Reason::Setting {
        what: What::Argument,
        name: "V".into(),
        change: Change::Changed,
        was: None,
        is: None,
    };
    // The first of the two gave the same as before, so that the second follows nothing.
    for step in [2, 3] {
        assert_eq!(
            explanation.steps[step].reasons,
            std::slice::from_ref(&argument)
        );
    }
    assert!(!format!("{explanation:?}").contains(secret));
    let longer = TEXT.replace("RUN true", "ENV E=1\nUSER 1\nRUN false || true\nRUN :");
    let steps = explained(&environment, &longer).steps;
    let reasons = &steps[3].reasons;
    assert!(
        matches!(&reasons[..], [
            Reason::Instruction { was },
            Reason::Setting { what: What::User, is: Some(is), .. },
            Reason::Setting { what: What::Variable, change: Change::Added, .. },
        ] if was == "RUN true" && is == "1"),
        "{reasons:?}"
    );
    assert_eq!(steps[4].reasons, [Reason::NewInstruction]);
}

fn lost() {
    let environment = Environment::new();
    environment.write("a", "1");
    let built = environment.build(TEXT);
    let layer = environment.store.layers().tree(&built.result.layers[1]);
    fs::remove_dir_all(layer.parent().unwrap()).unwrap();
    let again = explained(&environment, TEXT);
    assert_eq!(again.steps[1].reasons, [Reason::Forgotten]);
    assert_eq!(again.steps[2].outcome, Outcome::Hit);
    let mut request = environment.request(TEXT);
    request.no_cache = true;
    let (built, said) = environment.build_request(&request);
    built.unwrap();
    let refused = said.explanation();
    assert_eq!(refused.steps[1].reasons, [Reason::Refused]);
    assert_eq!(refused.steps[3].reasons, [Reason::Refused]);
}

fn failing() {
    let environment = Environment::new();
    environment.write("a", "1");
    explained(&environment, TEXT);
    let text = TEXT
        .replace("RUN ls", "RUN false; ls -l")
        .replace(';', " &&");
    let (failed, said) = environment.build_request(&environment.request(&text));
    failed.unwrap_err();
    let explanation = said.explanation();
    assert_eq!(
        outcomes(&explanation),
        [
            Outcome::Base,
            Outcome::Hit,
            Outcome::Unfinished,
            Outcome::Unfinished
        ]
    );
}
