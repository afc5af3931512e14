//! The verdicts, the outlines and the stages are BuildKit's.

use std::fmt::Write;

use gantry_dockerfile::diagnostic::Code;
use gantry_dockerfile::lint;
use gantry_testkit::dockerfiles::{self, RealFile, Verdict, expectations};

use crate::{Everything, examined};

const EXPECTED: &str = include_str!("../../testdata/dockerfiles.txt");
const INTENDED: &str = include_str!("../../testdata/dockerfiles-intended.txt");

fn verdict(file: &RealFile) -> Verdict {
    let mut verdict = Verdict::default();
    let examination = match examined(file.given()) {
        Ok(examination) => examination,
        Err(error) => {
            verdict.check(Some((None, &error.to_string())));
            verdict.answers("outline", false);
            verdict.answers("targets", false);
            return verdict;
        }
    };
    let source = &examination.source;
    let check = examination.check(&Everything);
    let error = check.error.as_ref();
    verdict.check(error.map(|e| (e.lines.map(|lines| lines.0), e.message.as_str())));
    if let Ok(file) = &examination.parsed {
        for warning in &check.warnings {
            if let Code::Lint(rule) = warning.code {
                verdict.rule(rule.name(), lint::lines(file, source, warning).0);
            }
        }
    }
    let line = |span| source.lines(span).0;
    let outline = examination.outline(&Everything);
    verdict.answers("outline", outline.is_ok());
    if let Ok(outline) = outline {
        for argument in &outline.arguments {
            let value = argument.value.as_deref().filter(|value| !value.is_empty());
            verdict.argument(line(argument.span), &argument.name, value);
        }
        for (kind, list) in [("secret", &outline.secrets), ("ssh", &outline.agents)] {
            for lent in list {
                verdict.lent(kind, line(lent.span), &lent.name, lent.required);
            }
        }
    }
    let targets = examination.targets();
    verdict.answers("targets", targets.is_ok());
    for target in targets.unwrap_or_default() {
        let (name, platform) = (target.name.as_deref(), target.platform.as_deref());
        verdict.stage(line(target.span), name, &target.base, platform);
    }
    verdict
}

/// Whether two verdicts are the same: the sentences of refusals are Gantry's own, a refusal may
/// say its line where the other one does not, and complaints stand in the order of the file.
fn alike(expected: &str, got: &str) -> bool {
    let [expected, got] = [expected, got].map(|text| {
        let lines = text.lines().filter(|line| !line.starts_with("intended "));
        let mut lines: Vec<&str> = lines.collect();
        lines.sort_unstable();
        lines
    });
    expected.len() == got.len()
        && std::iter::zip(expected, got).all(|(expected, got)| {
            match (refused_at(expected), refused_at(got)) {
                (Some(expected), Some(got)) => expected == got || expected == "-" || got == "-",
                _ => expected == got,
            }
        })
}

/// The line of `check refuses LINE …`.
fn refused_at(line: &str) -> Option<&str> {
    line.strip_prefix("check refuses ")?.split(' ').next()
}

#[test]
fn buildkit_says_the_same_of_real_files() {
    let expected = expectations(EXPECTED);
    let intended = expectations(INTENDED);
    let files = dockerfiles::all();
    let mut wrong = String::new();
    let mut different = 0;
    for file in &files {
        let wanted = intended.get(&file.sha256).or(expected.get(&file.sha256));
        let wanted = wanted.unwrap_or_else(|| panic!("no verdict on {}", file.origin));
        let got = verdict(file).known_to(wanted);
        if !alike(wanted, &got) {
            different += 1;
            let head = format!("=== {} {}", file.sha256, file.origin);
            writeln!(wrong, "{head}\n--- expected\n{wanted}--- got\n{got}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}{different} differ");
    assert!(files.len() >= 200, "{}", files.len());
    assert_eq!(
        files.len(),
        expected.len(),
        "verdicts on files that are not there"
    );
    for digest in intended.keys() {
        assert!(expected.contains_key(digest), "{digest} is nobody's");
    }
}
