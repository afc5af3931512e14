//! Any text: no panic, and spans that fit it.

use super::*;

#[test]
fn spans_of_words() {
    let text = "FROM a AS b\nENV k=\"v w\" \\\n  x=y\nEXPOSE 80 443/tcp\n";
    let source = source(text);
    let file = parse(&source).unwrap();
    assert_eq!(source.slice(file.stages[0].base.span), "a");
    assert_eq!(
        source.slice(file.stages[0].name.as_ref().unwrap().span),
        "b"
    );
    let InstructionKind::Env(pairs) = &file.stages[0].instructions[0].kind else {
        panic!()
    };
    assert_eq!(source.slice(pairs[0].value.span), "\"v w\"");
    assert_eq!(source.slice(pairs[1].key.span), "x");
    assert_eq!(
        source.position(pairs[1].key.span.start),
        crate::source::Position { line: 3, column: 3 }
    );
    let InstructionKind::Expose(ports) = &file.stages[0].instructions[1].kind else {
        panic!()
    };
    assert_eq!(source.slice(ports[1].span), "443/tcp");
}

#[test]
fn monstrous_files() {
    let long_line = format!("FROM a\nRUN echo {}\n", "x".repeat(20 << 20));
    assert_eq!(parsed(&long_line).stages[0].instructions.len(), 1);
    let mut heredocs = "FROM a\nCOPY".to_owned();
    for _ in 0..100_000 {
        heredocs.push_str(" <<E");
    }
    heredocs.push_str(" /d/\n");
    heredocs.push_str(&"E\n".repeat(100_000));
    let file = parsed(&heredocs);
    let InstructionKind::Copy(copy) = &file.stages[0].instructions[0].kind else {
        panic!()
    };
    assert_eq!(copy.sources.len(), 100_000);
    let mut many = "FROM a\n".to_owned();
    for number in 0..50_000 {
        let _ = writeln!(many, "RUN <<E\n{number}\nE");
    }
    assert_eq!(parsed(&many).stages[0].instructions.len(), 50_000);
    let continued = format!("FROM a\nRUN x{}", " \\\n".repeat(1_000_000));
    assert_eq!(parsed(&continued).stages[0].instructions.len(), 1);
    let nested = format!("FROM a\nRUN {}", "[".repeat(1 << 20));
    assert_eq!(parsed(&nested).stages[0].instructions.len(), 1);
    let words = format!("FROM a\nEXPOSE {}", "1 ".repeat(1 << 20));
    assert_eq!(parsed(&words).stages[0].instructions.len(), 1);
    let onbuild = format!("FROM a\n{}", "ONBUILD ".repeat(1 << 20));
    assert!(parse(&source(&onbuild)).is_err());
    let mounts = format!("FROM a\nRUN {}", "--mount=target=/x ".repeat(10_000));
    assert_eq!(run_of(&parsed(&mounts)).mounts.len(), 10_000);
}

fn run_of(file: &Dockerfile) -> &Run {
    match &file.stages[0].instructions[0].kind {
        InstructionKind::Run(run) => run,
        other => panic!("{other:?}"),
    }
}

/// Pieces of which most texts are nearly Dockerfiles.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "FROM a",
        "FROM b AS c",
        "\n",
        "\n",
        "\r\n",
        " ",
        "RUN ",
        "COPY ",
        "ADD ",
        "ENV ",
        "ARG ",
        "ONBUILD ",
        "CMD ",
        "LABEL ",
        "HEALTHCHECK ",
        "EXPOSE ",
        "--from=",
        "--mount=type=cache,",
        "target=/x",
        "<<EOF",
        "<<-'E'",
        "EOF",
        "E",
        "\\\n",
        "\\",
        "`",
        "# c",
        "#escape=`\n",
        "\u{feff}",
        "[\"",
        "\"]",
        "\"",
        "'",
        "$x",
        "${x:-",
        "}",
        "=",
        "é",
        "\0",
        "--",
        ",",
        "CMD",
        "/a",
        "\t",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn check_spans(text: &str) -> Result<(), TestCaseError> {
    let source = source(text);
    match parse(&source) {
        Ok(file) => {
            for stage in &file.stages {
                prop_assert!(text.get(stage.span.start..stage.span.end).is_some());
                prop_assert!(
                    text.get(stage.base.span.start..stage.base.span.end)
                        .is_some()
                );
                for instruction in &stage.instructions {
                    let span = instruction.span;
                    prop_assert!(
                        text.get(span.start..span.end)
                            .is_some_and(|slice| !slice.is_empty())
                    );
                    prop_assert!(text[span.start..].starts_with(&instruction.keyword.value[..1]));
                }
            }
            for warning in &file.warnings {
                prop_assert!(text.get(warning.span.start..warning.span.end).is_some());
            }
        }
        Err(errors) => {
            prop_assert!(!errors.is_empty());
            for error in &errors {
                prop_assert!(
                    text.get(error.span.start..error.span.end).is_some(),
                    "{error:?}"
                );
                prop_assert!(error.render(&source).ends_with('\n'));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn near_files_do_not_panic(text in pieces()) {
        check_spans(&text)?;
    }

    #[test]
    fn any_text_does_not_panic(text in "\\PC{0,80}") {
        check_spans(&text)?;
        check_spans(&format!("FROM a\n{text}"))?;
    }

    #[test]
    fn any_bytes_are_refused_or_parsed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        match SourceFile::from_bytes("Dockerfile", bytes) {
            Ok(source) => drop(parse(&source)),
            Err(invalid) => prop_assert!(invalid.diagnostic.render(&invalid.source).contains("not UTF-8")),
        }
    }
}
