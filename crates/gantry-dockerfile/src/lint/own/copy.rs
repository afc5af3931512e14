//! `COPY` and `ADD`.

use super::{Look, Script};
use crate::ast::{Add, CopySource, Instruction, InstructionKind};
use crate::fix::Fix;
use crate::lint::Rule;
use crate::lint::shell::Command;

pub(super) fn check(look: &mut Look<'_>) {
    let mut found = Vec::new();
    for stage in &look.stages {
        for step in &stage.steps {
            if let InstructionKind::Add(add) = &step.instruction.kind
                && serves_as_copy(add)
            {
                let keyword = &step.instruction.keyword;
                let copy = if keyword.value == keyword.value.to_lowercase() {
                    "copy"
                } else {
                    "COPY"
                };
                let message = "ADD fetches and unpacks; COPY does what is needed here";
                found.push(
                    Rule::AddInsteadOfCopy
                        .at(message, keyword.span)
                        .with_fix(Some(Fix::replace(keyword.span, copy))),
                );
            }
        }
        let everything = stage
            .steps
            .iter()
            .position(|step| copies_everything(step.instruction));
        let Some(at) = everything else {
            continue;
        };
        let tool = |step: &super::Step<'_>| step.script.as_ref().and_then(installs);
        let before: Vec<&str> = stage.steps[..at].iter().filter_map(tool).collect();
        let behind = stage.steps[at..].iter().find_map(tool);
        if let Some(tool) = behind.filter(|tool| !before.contains(tool)) {
            let message = format!(
                "Everything is copied before {tool} installs the dependencies, so that every change installs them again"
            );
            found.push(Rule::CopyBeforeInstall.at(message, stage.steps[at].instruction.span));
        }
    }
    look.found.append(&mut found);
    ignore_file(look);
}

/// Nothing of what `ADD` can do more is asked for, and no source can be an archive.
fn serves_as_copy(add: &Add) -> bool {
    let plain = |source: &CopySource| match source {
        CopySource::Inline(_) => true,
        CopySource::Path(path) => is_plain(&path.value),
    };
    add.keep_git_dir.is_none()
        && add.checksum.is_none()
        && add.unpack.is_none()
        && add.sources.iter().all(plain)
}

fn is_plain(path: &str) -> bool {
    const ARCHIVES: [&str; 10] = [
        "tar", "tgz", "gz", "bz2", "tbz", "tbz2", "xz", "txz", "zst", "tzst",
    ];
    let path = path.trim_matches(['"', '\'']);
    if path.contains("://") || path.starts_with("git@") || path.contains(['$', '*', '?', '[']) {
        return false;
    }
    if path == "." || path.ends_with('/') {
        return true;
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').is_some_and(|(stem, ending)| {
        let is_ending = !ending.is_empty() && ending.bytes().all(|b| b.is_ascii_alphabetic());
        !stem.is_empty() && is_ending && !ARCHIVES.contains(&ending.to_lowercase().as_str())
    })
}

/// Whether an instruction copies the whole context.
fn copies_everything(instruction: &Instruction) -> bool {
    let sources = match &instruction.kind {
        InstructionKind::Copy(copy) if copy.from.is_none() => &copy.sources,
        InstructionKind::Add(add) => &add.sources,
        _ => return false,
    };
    sources
        .iter()
        .any(|source| matches!(source, CopySource::Path(path) if matches!(path.as_str(), "." | "./" | "/")))
}

/// The tool by which a script installs what a list in the context names.
fn installs(script: &Script<'_>) -> Option<&'static str> {
    script.commands.iter().find_map(installer)
}

fn installer(command: &Command) -> Option<&'static str> {
    let subcommand = command.subcommand(&["-C", "--prefix", "--cwd", "-p", "--project"]);
    let subcommand = subcommand.map_or("", |word| word.text.as_str());
    let has_list = command
        .arguments()
        .iter()
        .any(|word| word.text.starts_with("-r") || word.text.starts_with("--requirement"));
    match (command.name(), subcommand) {
        ("npm", "install" | "i" | "ci") => Some("npm"),
        ("yarn", "install" | "") => Some("yarn"),
        ("pnpm", "install" | "i") => Some("pnpm"),
        ("bun", "install" | "i") => Some("bun"),
        ("pip" | "pip3", "install") if has_list => Some("pip"),
        ("python" | "python3", _) if command.has("pip") && has_list => Some("pip"),
        ("poetry", "install") => Some("poetry"),
        ("uv", "sync") => Some("uv"),
        ("bundle", "install") => Some("bundle"),
        ("composer", "install") => Some("composer"),
        ("go", "mod") if command.has("download") => Some("go"),
        ("cargo", "fetch") => Some("cargo"),
        ("dotnet", "restore") => Some("dotnet"),
        ("mix", "deps.get") => Some("mix"),
        _ => None,
    }
}

/// Names at the top of the context that hardly belong into an image.
const UNWANTED: [&str; 14] = [
    ".git",
    ".hg",
    ".svn",
    ".env",
    ".aws",
    ".ssh",
    ".npmrc",
    ".venv",
    "venv",
    "__pycache__",
    "node_modules",
    "id_rsa",
    "id_ed25519",
    ".DS_Store",
];

fn ignore_file(look: &mut Look<'_>) {
    let Some(context) = look.surroundings.context else {
        return;
    };
    let there: Vec<&str> = UNWANTED
        .into_iter()
        .filter(|name| context.names.iter().any(|known| known == name) && !(context.ignored)(name))
        .collect();
    let instructions = look
        .file
        .stages
        .iter()
        .flat_map(|stage| &stage.instructions);
    let first = instructions
        .into_iter()
        .find(|instruction| copies_everything(instruction));
    if let (Some(copy), false) = (first, there.is_empty()) {
        let message = format!(
            "{} of the context {} copied too; name {} in .dockerignore",
            there.join(", "),
            if there.len() == 1 { "is" } else { "are" },
            if there.len() == 1 { "it" } else { "them" },
        );
        look.found
            .push(Rule::DockerignoreIncomplete.at(message, copy.span));
    }
}
