//! Fixes: what they write parses, has no more of what they mend, and is not mended again.

#![expect(
    clippy::unwrap_used,
    reason = "a file that does not parse is a failed test"
)]

use gantry_dockerfile::diagnostic::Code;
use gantry_dockerfile::lint::{Settings, Surroundings, check};
use gantry_dockerfile::{Diagnostic, SourceFile, fix, parse};
use proptest::prelude::*;

/// Lines of which many call for a fix, in odd spellings.
const LINES: [&str; 39] = [
    "FROM scratch AS Build",
    "from busybox:1 as x",
    "FROM --platform=$TARGETPLATFORM busybox:1",
    "FROM --platform=\"$TARGETPLATFORM\"  busybox:1 aS Y",
    "maintainer somebody <a@b.c>",
    "MAINTAINER \"quoted\"",
    "ENV a b c",
    "ENV a \"b\"",
    "env path /a:$PATH",
    "LABEL k v",
    "ENV a=b",
    "EXPOSE 80/TCP 53/Udp",
    "EXPOSE 127.0.0.1:80:81/TCP",
    "EXPOSE \"80/TCP\"",
    "CMD [\"sh\", \"-c\", \"httpd -f\"]",
    "cmd [\"bash\",\"-c\",\"a && b\"]",
    "CMD httpd -f",
    "Entrypoint [\"a\"]",
    "HEALTHCHECK CMD true",
    "RUN apt-get install curl",
    "RUN apt-get update && apt-get install \\\n  # why\n\n  curl",
    "RUN apt-get update; apt-get install curl git",
    "RUN apt-get update && apt-get install -y curl # why",
    "RUN apt-get update && apt-get install -y 'curl",
    "RUN apt-get update && apt-get install -y $(list",
    "RUN apk add \\\n\n  curl",
    "RUN apk add curl && pip install x",
    "RUN <<EOF\napk add x\napt-get install y\nEOF",
    "RUN python3 -m pip install -r x",
    "RUN a \\\n\n\n  b \\\n \n  c",
    "ADD a.json b.txt /x/",
    "add . /x",
    "ADD <<E /x\na\nE",
    "ADD a.tar /x",
    "COPY a /b",
    "SHELL [\"/bin/bash\", \"-c\"]",
    "ONBUILD ADD a.json /x",
    "# a comment",
    "",
];

fn complaints(source: &SourceFile) -> Vec<Diagnostic> {
    let file = parse(source).unwrap();
    check(&file, source, &Surroundings::of(&[]), &Settings::default())
}

/// The text after as many rounds as there is anything to mend.
fn mended(text: &str) -> String {
    let mut text = text.to_owned();
    for _ in 0..20 {
        let found = complaints(&SourceFile::new("Dockerfile", text.as_str()));
        let (next, made) = fix::apply(&text, &found);
        if made == 0 {
            return text;
        }
        text = next;
    }
    panic!("fixes make room for fixes without end in:\n{text}");
}

fn holds(text: &str) {
    let source = SourceFile::new("Dockerfile", text);
    let before = complaints(&source);
    let fixed = mended(text);
    let after = complaints(&SourceFile::new("Dockerfile", fixed.as_str()));
    assert!(after.iter().all(|one| one.fix.is_none()), "{fixed}");
    // What could be mended is gone; what could not is neither more nor less.
    let count = |all: &[Diagnostic], code: Code| all.iter().filter(|one| one.code == code).count();
    for one in before.iter().filter(|one| one.fix.is_some()) {
        let left = before
            .iter()
            .filter(|other| other.code == one.code && other.fix.is_none());
        assert!(
            count(&after, one.code) <= left.count(),
            "{:?}\n{fixed}",
            one.code
        );
    }
    let stages = |text: &str| {
        let file = parse(&SourceFile::new("Dockerfile", text)).unwrap();
        file.stages.len()
    };
    assert_eq!(stages(text), stages(&fixed), "{fixed}");
}

#[test]
fn every_line_alone() {
    for line in LINES
        .iter()
        .filter(|line| !line.to_lowercase().starts_with("from"))
    {
        holds(&format!("FROM busybox:1\n{line}\n"));
        holds(&format!(
            "FROM busybox:1\r\n{}\r\n",
            line.replace('\n', "\r\n")
        ));
        holds(&format!("FROM busybox:1\n{line}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_lines_together(chosen in prop::collection::vec(0..LINES.len(), 1..12)) {
        let mut text = "FROM busybox:1\n".to_owned();
        for line in chosen {
            text.push_str(LINES[line]);
            text.push('\n');
        }
        holds(&text);
    }
}
