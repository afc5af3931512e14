//! Every Dockerfile in `testdata/` and the tree it becomes, one snapshot each.

#![expect(
    clippy::disallowed_methods,
    reason = "the crate reads no files, its tests read their fixtures"
)]

use std::fmt::Write as _;
use std::path::Path;

use gantry_dockerfile::argument::Scope;
use gantry_dockerfile::ast::{
    ArgDeclaration, CommandLine, CopySource, Dockerfile, Healthcheck, Heredoc, KeyValue, MountSpec,
    Run, RunProgram,
};
use gantry_dockerfile::{
    Instruction, InstructionKind, SourceFile, Span, Stage, Word, diagnostic, expand_instruction,
    parse,
};

#[test]
fn trees() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".Dockerfile"))
        .collect();
    names.sort();
    assert!(names.len() >= 60, "only {} files", names.len());
    for name in names {
        let bytes = std::fs::read(folder.join(&name)).unwrap();
        let source = SourceFile::from_bytes(&name, bytes).unwrap();
        let dump = match parse(&source) {
            Ok(file) => {
                check_expansion(&file);
                dump(&file, &source)
            }
            Err(errors) => diagnostic::render_all(&errors, &source),
        };
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("../testdata/snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name.trim_end_matches(".Dockerfile"), dump));
    }
}

/// Whatever parses can be expanded without a panic.
fn check_expansion(file: &Dockerfile) {
    let scope = Scope::new([("PATH".to_owned(), "/bin".to_owned())]);
    for instruction in file.stages.iter().flat_map(|stage| &stage.instructions) {
        drop(expand_instruction(
            instruction,
            &scope,
            file.directives.escape,
        ));
    }
}

fn dump(file: &Dockerfile, source: &SourceFile) -> String {
    let mut out = String::new();
    let directives = &file.directives;
    for (name, value) in [("syntax", &directives.syntax), ("check", &directives.check)] {
        if let Some(value) = value {
            let _ = writeln!(out, "# {name} {:?}", value.value);
        }
    }
    if directives.escape.char() != '\\' {
        let _ = writeln!(out, "# escape {:?}", directives.escape.char());
    }
    for instruction in &file.meta_args {
        dump_instruction(&mut out, instruction, source, "");
    }
    for stage in &file.stages {
        dump_stage(&mut out, stage, source);
    }
    for warning in &file.warnings {
        let _ = writeln!(
            out,
            "{} warning: {}",
            lines(warning.span, source),
            warning.message
        );
    }
    out
}

fn lines(span: Span, source: &SourceFile) -> String {
    let (first, last) = source.lines(span);
    if first == last {
        first.to_string()
    } else {
        format!("{first}-{last}")
    }
}

fn dump_comments(out: &mut String, comments: &[String], indent: &str) {
    for comment in comments {
        let _ = writeln!(out, "{indent}# {comment}");
    }
}

fn dump_stage(out: &mut String, stage: &Stage, source: &SourceFile) {
    dump_comments(out, &stage.comments, "");
    let _ = write!(
        out,
        "{} {} {:?}",
        lines(stage.span, source),
        stage.keyword.value,
        stage.base.value
    );
    if let Some(platform) = &stage.platform {
        let _ = write!(out, " platform={:?}", platform.value);
    }
    if let (Some(keyword), Some(name)) = (&stage.as_keyword, &stage.name) {
        let _ = write!(out, " {} {:?}", keyword.value, name.value);
    }
    out.push('\n');
    for instruction in &stage.instructions {
        dump_instruction(out, instruction, source, "  ");
    }
}

fn dump_instruction(
    out: &mut String,
    instruction: &Instruction,
    source: &SourceFile,
    indent: &str,
) {
    dump_comments(out, &instruction.comments, indent);
    let _ = write!(
        out,
        "{indent}{} {}",
        lines(instruction.span, source),
        instruction.keyword.value
    );
    match &instruction.kind {
        InstructionKind::Run(run) => dump_run(out, run),
        InstructionKind::Copy(copy) => {
            dump_flag(out, "from", copy.from.as_ref());
            dump_flag(out, "chown", copy.chown.as_ref());
            dump_flag(out, "chmod", copy.chmod.as_ref());
            dump_switches(
                out,
                &[("link", Some(copy.link)), ("parents", Some(copy.parents))],
            );
            copy.exclude
                .iter()
                .for_each(|exclude| dump_flag(out, "exclude", Some(exclude)));
            dump_sources(out, &copy.sources, &copy.destination);
        }
        InstructionKind::Add(add) => {
            dump_flag(out, "chown", add.chown.as_ref());
            dump_flag(out, "chmod", add.chmod.as_ref());
            dump_flag(out, "checksum", add.checksum.as_ref());
            dump_switches(out, &[("link", Some(add.link))]);
            for (name, switch) in [("keep-git-dir", add.keep_git_dir), ("unpack", add.unpack)] {
                if let Some(switch) = switch {
                    let _ = write!(out, " {name}={switch}");
                }
            }
            add.exclude
                .iter()
                .for_each(|exclude| dump_flag(out, "exclude", Some(exclude)));
            dump_sources(out, &add.sources, &add.destination);
        }
        InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => {
            pairs.iter().for_each(|pair| dump_pair(out, pair))
        }
        InstructionKind::Arg(declarations) => declarations
            .iter()
            .for_each(|one| dump_declaration(out, one)),
        InstructionKind::Cmd(line) | InstructionKind::Entrypoint(line) => dump_line(out, line),
        InstructionKind::Expose(words)
        | InstructionKind::Volume(words)
        | InstructionKind::Shell(words) => {
            words.iter().for_each(|word| dump_word(out, word));
        }
        InstructionKind::User(word)
        | InstructionKind::Workdir(word)
        | InstructionKind::StopSignal(word)
        | InstructionKind::Maintainer(word) => dump_word(out, word),
        InstructionKind::Healthcheck(Healthcheck::None) => out.push_str(" NONE"),
        InstructionKind::Healthcheck(Healthcheck::Command(check)) => {
            let durations = [
                ("interval", check.interval),
                ("timeout", check.timeout),
                ("start-period", check.start_period),
                ("start-interval", check.start_interval),
            ];
            for (name, duration) in durations {
                if let Some(duration) = duration {
                    let _ = write!(out, " {name}={duration:?}");
                }
            }
            if let Some(retries) = check.retries {
                let _ = write!(out, " retries={retries}");
            }
            dump_line(out, &check.command);
        }
        InstructionKind::Onbuild(onbuild) => {
            let _ = writeln!(out, " trigger {:?}", onbuild.trigger);
            return dump_instruction(out, &onbuild.instruction, source, &format!("{indent}  "));
        }
    }
    out.push('\n');
}

fn dump_word(out: &mut String, word: &Word) {
    let _ = write!(out, " {:?}", word.value);
}

fn dump_flag(out: &mut String, name: &str, value: Option<&Word>) {
    if let Some(value) = value {
        let _ = write!(out, " {name}={:?}", value.value);
    }
}

fn dump_switches(out: &mut String, switches: &[(&str, Option<bool>)]) {
    for (name, _) in switches.iter().filter(|(_, switch)| *switch == Some(true)) {
        let _ = write!(out, " {name}");
    }
}

fn dump_line(out: &mut String, line: &CommandLine) {
    match line {
        CommandLine::Shell(script) => {
            let _ = write!(out, " shell {:?}", script.value);
        }
        CommandLine::Exec(words) => {
            out.push_str(" exec");
            words.iter().for_each(|word| dump_word(out, word));
        }
    }
}

fn dump_pair(out: &mut String, pair: &KeyValue) {
    let _ = write!(out, " {:?}={:?}", pair.key.value, pair.value.value);
    if pair.legacy {
        out.push_str(" (legacy)");
    }
}

fn dump_declaration(out: &mut String, declaration: &ArgDeclaration) {
    let _ = write!(out, " {:?}", declaration.name.value);
    if let Some(default) = &declaration.default {
        let _ = write!(out, "={:?}", default.value);
    }
}

fn dump_sources(out: &mut String, sources: &[CopySource], destination: &Word) {
    for source in sources {
        match source {
            CopySource::Path(path) => dump_word(out, path),
            CopySource::Inline(heredoc) => dump_heredoc(out, heredoc),
        }
    }
    let _ = write!(out, " -> {:?}", destination.value);
}

fn dump_heredoc(out: &mut String, heredoc: &Heredoc) {
    let tabs = if heredoc.strip_tabs { "-" } else { "" };
    let expand = if heredoc.expand { "" } else { " literal" };
    let _ = write!(
        out,
        " <<{tabs}{:?}{expand} {:?}",
        heredoc.name,
        heredoc.body()
    );
}

fn dump_run(out: &mut String, run: &Run) {
    for mount in &run.mounts {
        dump_mount(out, &mount.spec);
    }
    if run.network != gantry_dockerfile::ast::Network::Default {
        let _ = write!(out, " network={:?}", run.network);
    }
    if run.security != gantry_dockerfile::ast::Security::Sandbox {
        let _ = write!(out, " security={:?}", run.security);
    }
    for device in &run.devices {
        let _ = write!(
            out,
            " device={:?} required={}",
            device.name, device.required
        );
    }
    match run.program() {
        RunProgram::Shell(script) => {
            let _ = write!(out, " shell {script:?}");
        }
        RunProgram::Exec(arguments) => {
            let _ = write!(out, " exec {arguments:?}");
        }
        RunProgram::Script { name, content } => {
            let _ = write!(out, " script {name:?} {content:?}");
        }
    }
}

/// The options that are set, in one line.
fn dump_mount(out: &mut String, spec: &MountSpec) {
    let text = format!("{spec:?}");
    let inner = text
        .split_once('{')
        .map_or("", |(_, inner)| inner)
        .trim_end_matches([')', '}', ' ']);
    let kind = text.split('(').next().unwrap_or_default();
    let set = inner
        .split(", ")
        .filter(|field| !field.ends_with(": None") && !field.ends_with(": false"));
    let set: Vec<&str> = set.map(str::trim).collect();
    let _ = write!(
        out,
        " mount={kind}[{}]",
        set.join(", ").replace("Some(", "").replace(')', "")
    );
}
