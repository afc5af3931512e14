//! Package managers.

use super::{Look, Script};
use crate::ast::{InstructionKind, MountSpec};
use crate::diagnostic::Diagnostic;
use crate::fix::Fix;
use crate::lint::Rule;
use crate::lint::shell::{Command, Joint, ShellWord};

/// Options of apt that take the next word as their value.
const APT_VALUED: [&str; 6] = ["-o", "-t", "-c", "-a", "--option", "--target-release"];

pub(super) fn check(look: &mut Look<'_>) {
    let mut found = Vec::new();
    let shipped = look.ancestry();
    let last_install = last_install(look);
    let pip_keeps_nothing = has_variable(look, "PIP_NO_CACHE_DIR");
    for index in 0..look.stages.len() {
        for (step, script) in look.scripts(index) {
            apt(script, &mut found);
            if shipped.contains(&index) {
                let needed_later = last_install > Some(step.instruction.span.start);
                lists(script, needed_later, &mut found);
                caches(script, pip_keeps_nothing, &mut found);
            }
        }
    }
    look.found.append(&mut found);
}

/// What apt is told to do, with the word that says so.
pub(super) fn apt_action(command: &Command) -> Option<&ShellWord> {
    matches!(command.name(), "apt-get" | "apt" | "aptitude")
        .then(|| command.subcommand(&APT_VALUED))
        .flatten()
}

/// Whether apt is told to bring packages in.
fn brings_in(action: &ShellWord) -> bool {
    matches!(
        action.text.as_str(),
        "install"
            | "upgrade"
            | "dist-upgrade"
            | "full-upgrade"
            | "build-dep"
            | "satisfy"
            | "source"
    )
}

fn apt(script: &Script<'_>, found: &mut Vec<Diagnostic>) {
    let actions = || {
        let all = script.commands.iter();
        all.filter_map(|command| Some((command, apt_action(command)?)))
    };
    let update = actions().find(|(_, action)| action.text == "update");
    if let Some((command, _)) = update
        && !actions().any(|(_, action)| brings_in(action))
    {
        let message =
            "The lists stay in the cache while later installs change; install in the same RUN";
        found.push(Rule::AptUpdateAlone.at(message, command.span()));
    }
    for (at, command) in script.commands.iter().enumerate() {
        let Some(action) = apt_action(command) else {
            continue;
        };
        let asks =
            brings_in(action) || matches!(action.text.as_str(), "remove" | "purge" | "autoremove");
        let answered = at
            .checked_sub(1)
            .and_then(|before| script.commands.get(before))
            .is_some_and(|before| before.joint == Joint::Pipe);
        if asks && action.text != "source" && !answered && !command.arguments().iter().any(says_yes)
        {
            let message = format!(
                "{} {} asks a question that nobody answers",
                command.name(),
                action.text
            );
            let fix = Fix::insert(action.span.end, " -y");
            found.push(
                Rule::AptWithoutYes
                    .at(message, command.span())
                    .with_fix(Some(fix)),
            );
        }
        let keeps_out = |word: &ShellWord| {
            word.text == "--no-install-recommends" || word.text.contains("Install-Recommends")
        };
        if action.text == "install" && !command.arguments().iter().any(keeps_out) {
            let message =
                "Recommended packages are installed too; --no-install-recommends keeps them out";
            found.push(Rule::AptRecommends.at(message, command.span()));
        }
    }
}

/// Whether an option of apt answers its question.
fn says_yes(word: &ShellWord) -> bool {
    let text = word.text.as_str();
    let short = text.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
    matches!(text, "--yes" | "--assume-yes" | "--force-yes")
        || text.contains("Assume-Yes")
        || short.is_some_and(|letters| letters.contains('y') || letters.contains("qq"))
}

/// Where the last instruction begins that lets apt bring in packages, which needs the lists.
fn last_install(look: &Look<'_>) -> Option<usize> {
    let all = (0..look.stages.len()).flat_map(|index| look.scripts(index));
    let installs = |script: &Script<'_>| {
        let mut commands = script.commands.iter();
        commands.any(|command| apt_action(command).is_some_and(brings_in))
    };
    all.filter(|(_, script)| installs(script))
        .map(|(step, _)| step.instruction.span.start)
        .max()
}

/// Whether a path of the script's layer is taken away again or never part of it.
pub(super) fn is_kept_out(script: &Script<'_>, folders: &[&str]) -> bool {
    let below = |path: &str| {
        folders.iter().any(|folder| {
            path.starts_with(folder)
                || folder.starts_with(path.trim_end_matches('/')) && path.len() > 1
        })
    };
    let removed = script.commands.iter().any(|command| {
        matches!(command.name(), "rm" | "find" | "rmdir")
            && command.arguments().iter().any(|word| below(&word.text))
    });
    let mounted = script.run.mounts.iter().any(|mount| match &mount.spec {
        MountSpec::Cache(cache) => below(&cache.target),
        MountSpec::Tmpfs(tmpfs) => below(&tmpfs.target),
        _ => false,
    });
    removed || mounted
}

fn lists(script: &Script<'_>, needed_later: bool, found: &mut Vec<Diagnostic>) {
    let update = script
        .commands
        .iter()
        .find(|command| apt_action(command).is_some_and(|action| action.text == "update"));
    let Some(update) = update else {
        return;
    };
    if is_kept_out(script, &["/var/lib/apt"]) {
        return;
    }
    let message =
        "The lists of apt stay in the layer; end the RUN with rm -rf /var/lib/apt/lists/*";
    let chained = script
        .commands
        .split_last()
        .is_some_and(|(_, before)| before.iter().all(|command| command.joint == Joint::And));
    let fix = (chained && script.takes_more && !needed_later)
        .then(|| Fix::insert(script.span.end, " && rm -rf /var/lib/apt/lists/*"));
    found.push(
        Rule::PackageCacheKept
            .at(message, update.span())
            .with_fix(fix),
    );
}

fn caches(script: &Script<'_>, pip_keeps_nothing: bool, found: &mut Vec<Diagnostic>) {
    let runs = |name: &str, word: &str| {
        let mut all = script.commands.iter();
        all.any(|command| command.name() == name && command.has(word))
    };
    for command in &script.commands {
        let name = command.name();
        let action = action(command);
        let text = action.map_or("", |word| word.text.as_str());
        let option =
            |option: &str| action.map(|word| Fix::insert(word.span.end, format!(" {option}")));
        let (message, fix) = match (name, text) {
            ("apk", "add")
                if !command.has("--no-cache")
                    && !is_kept_out(script, &["/var/cache/apk", "/etc/apk/cache"]) =>
            {
                (
                    "apk keeps its index in the layer; --no-cache does not",
                    option("--no-cache"),
                )
            }
            (
                "dnf" | "yum" | "microdnf" | "tdnf",
                "install" | "update" | "upgrade" | "groupinstall",
            ) if !runs(name, "clean")
                && !is_kept_out(
                    script,
                    &["/var/cache/dnf", "/var/cache/yum", "/var/cache/libdnf5"],
                ) =>
            {
                (
                    "Its cache stays in the layer; end the RUN with its clean all",
                    None,
                )
            }
            ("zypper", "install" | "in") if !runs(name, "clean") => (
                "Its cache stays in the layer; end the RUN with zypper clean",
                None,
            ),
            ("pip" | "pip3" | "python" | "python3", "install")
                if !command.has("--no-cache-dir")
                    && !pip_keeps_nothing
                    && !is_kept_out(script, &["/root/.cache", "~/.cache"]) =>
            {
                (
                    "pip keeps what it fetches in the layer; --no-cache-dir does not",
                    option("--no-cache-dir"),
                )
            }
            ("npm", "install" | "i" | "ci")
                if !runs("npm", "cache") && !is_kept_out(script, &["/root/.npm", "~/.npm"]) =>
            {
                (
                    "npm keeps what it fetches in the layer; end the RUN with npm cache clean --force, or mount /root/.npm as a cache",
                    None,
                )
            }
            ("yarn", "install")
                if !runs("yarn", "cache")
                    && !is_kept_out(
                        script,
                        &["/usr/local/share/.cache", "/root/.yarn", "/root/.cache"],
                    ) =>
            {
                (
                    "yarn keeps what it fetches in the layer; end the RUN with yarn cache clean",
                    None,
                )
            }
            _ => continue,
        };
        found.push(
            Rule::PackageCacheKept
                .at(message, command.span())
                .with_fix(fix),
        );
    }
}

/// What a package manager is told to do; that of `python -m pip` is pip's.
fn action(command: &Command) -> Option<&ShellWord> {
    if !command.name().starts_with("python") {
        return command.subcommand(&[]);
    }
    let mut arguments = command.arguments().iter();
    let mut runs_pip = false;
    for word in arguments.by_ref() {
        if std::mem::replace(&mut runs_pip, word.text == "-m") && word.text != "pip" {
            return None;
        }
        if word.text == "pip" {
            return arguments.find(|word| !word.text.starts_with('-'));
        }
    }
    None
}

/// Whether the image's stages set a variable anywhere.
fn has_variable(look: &Look<'_>, name: &str) -> bool {
    look.made_of()
        .iter()
        .any(|step| match &step.instruction.kind {
            InstructionKind::Env(pairs) => pairs.iter().any(|pair| pair.key.value == name),
            InstructionKind::Arg(all) => all.iter().any(|one| one.name.value == name),
            _ => false,
        })
}
