//! Directives, continuations, comments, documents within the file.

use super::*;

#[test]
fn directives() {
    let file = parsed(
        "\u{feff}# syntax=docker/dockerfile:1\n# escape=`\n# check=skip=all\n\nFROM a\nRUN x `\n  y\n",
    );
    assert_eq!(file.directives.escape, Escape::Backtick);
    assert_eq!(
        file.directives.syntax.as_ref().unwrap().value,
        "docker/dockerfile:1"
    );
    assert_eq!(file.directives.check.as_ref().unwrap().value, "skip=all");
    assert_eq!(file.stages[0].instructions[0].text, "RUN x   y");

    for text in [
        "# a comment first\n# escape=`\nFROM a\nRUN x `\nRUN y\n",
        "\n# escape=`\nFROM a\nRUN x `\nRUN y\n",
        "# unknown=1\n# escape=`\nFROM a\nRUN x `\nRUN y\n",
        "FROM a\n# escape=`\nRUN x `\nRUN y\n",
    ] {
        let file = parsed(text);
        assert_eq!(file.directives.escape, Escape::Backslash, "{text}");
        assert_eq!(file.stages[0].instructions.len(), 2, "{text}");
    }
}

#[test]
fn continuations_and_comments() {
    let cases = [
        ("RUN a \\\n  b\n", "RUN a   b"),
        ("RUN a \\  \n b", "RUN a  b"),
        ("RUN a\\\nb", "RUN ab"),
        ("RUN a \\\n# comment\n  b", "RUN a   b"),
        ("RUN a \\\n   # indented comment \\\n  b", "RUN a   b"),
        ("RUN a \\\n\n\n  b", "RUN a   b"),
        ("RUN a \\\r\n  b\r\n", "RUN a   b"),
        ("RUN a \\\n", "RUN a"),
        ("RUN a \\", "RUN a"),
        ("RUN a \\\\\n", "RUN a \\\\"),
        ("RUN a \\\\\\\n", "RUN a \\\\\\"),
        ("   RUN a", "RUN a"),
        ("\tRUN\ta", "RUN\ta"),
        ("\\\nRUN a", "RUN a"),
        ("\\\n\\\nRUN a", "RUN a"),
        ("RUN a # no comment", "RUN a # no comment"),
        ("RU\\\nN a", "RUN a"),
        ("RUN a \\\n\\\n  b", "RUN a   b"),
        ("run a", "run a"),
    ];
    for (text, expected) in cases {
        assert_eq!(instruction(text).text, expected, "{text:?}");
    }
}

#[test]
fn empty_lines_in_continuations_warn_once_each() {
    let file = parsed("FROM a\nRUN x \\\n\n  y \\\n\n  z\nRUN a \\\n\n b\n");
    let messages: Vec<_> = file
        .warnings
        .iter()
        .map(|warning| warning.message.as_str())
        .collect();
    assert_eq!(messages, ["Empty continuation line"; 2]);
}

#[test]
fn comments_above() {
    let file = parsed("# one\n# two\nFROM a AS b\n# gone\n\n# kept\nRUN x\nRUN y\n");
    assert_eq!(file.stages[0].comments, ["one", "two"]);
    assert_eq!(file.stages[0].instructions[0].comments, ["kept"]);
    assert!(file.stages[0].instructions[1].comments.is_empty());
}

#[test]
fn run_heredocs() {
    let script = run("RUN <<EOF\necho a\necho b\nEOF\n");
    assert_eq!(
        script.program(),
        RunProgram::Shell("echo a\necho b\n".into())
    );
    let stripped = run("RUN <<-EOF\n\techo a\n\t\techo b\n\tEOF\n");
    assert_eq!(
        stripped.program(),
        RunProgram::Shell("echo a\necho b\n".into())
    );
    let python = run("RUN <<'EOF'\n#!/usr/bin/env python\nprint(1)\nEOF\n");
    assert_eq!(
        python.program(),
        RunProgram::Script {
            name: "EOF".into(),
            content: "#!/usr/bin/env python\nprint(1)\n".into()
        }
    );
    let piped = run("RUN cat <<A > /x && cat 3<<-B\na\nA\n\tb\n\tB\n");
    assert_eq!(
        piped.program(),
        RunProgram::Shell("cat <<A > /x && cat 3<<-B\na\nA\n\tb\nB".into())
    );
    assert_eq!(piped.heredocs[1].descriptor, 3);
    let flagged = run("RUN --mount=type=cache,target=/x <<EOF\necho\nEOF\n");
    assert_eq!(flagged.program(), RunProgram::Shell("echo\n".into()));
    let exec = run("RUN [\"cat\", \"<<EOF\"]\n");
    assert_eq!(
        exec.program(),
        RunProgram::Exec(vec!["cat".into(), "<<EOF".into()])
    );
    let crlf = run("RUN <<EOF\r\necho a\r\nEOF\r\n");
    assert_eq!(crlf.program(), RunProgram::Shell("echo a\r\n".into()));
    let comments = run("RUN <<EOF\n# kept\n\necho \\\nx\nEOF");
    assert_eq!(
        comments.program(),
        RunProgram::Shell("# kept\n\necho \\\nx\n".into())
    );
    let empty = run("RUN <<EOF\nEOF");
    assert_eq!(empty.program(), RunProgram::Shell(String::new()));
}

#[test]
fn instructions_go_on_after_heredocs() {
    let file = parsed("FROM a\nRUN <<EOF\nFROM b\nEOF\nCOPY <<x <<y /d/\n1\nx\n2\ny\nCMD z\n");
    assert_eq!(file.stages.len(), 1);
    let names: Vec<_> = file.stages[0]
        .instructions
        .iter()
        .map(|one| one.kind.name())
        .collect();
    assert_eq!(names, ["RUN", "COPY", "CMD"]);
    let source = source("FROM a\nRUN <<EOF\nFROM b\nEOF\nCOPY <<x <<y /d/\n1\nx\n2\ny\nCMD z\n");
    assert_eq!(
        source.slice(file.stages[0].instructions[0].span),
        "RUN <<EOF\nFROM b\nEOF"
    );
}
