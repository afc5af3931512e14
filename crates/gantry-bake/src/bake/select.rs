//! Which targets are meant: names, groups, patterns.

use gantry_dockerfile::wildcard::Pattern;

use super::OverridesByName;
use super::config::{Config, each_once};
use crate::error::{BakeError, Result};
use crate::surroundings::Surroundings;
use crate::target::overrides;

/// The names that were asked for, patterns resolved. Points in names of services became `_`.
pub(super) fn names(config: &Config, asked: &[String]) -> Result<Vec<String>> {
    if asked.is_empty() {
        return Ok(vec!["default".to_owned()]);
    }
    let mut names = Vec::new();
    for asked in asked {
        let asked = asked.replace('.', "_");
        if !asked.contains(['*', '?', '[', ']']) {
            names.push(asked);
            continue;
        }
        let groups = config.groups.iter().map(|(name, _)| name);
        let targets = config.targets.iter().map(|(name, _)| name);
        let before = names.len();
        names.extend(
            groups
                .chain(targets)
                .filter(|name| matches(&asked, name))
                .cloned(),
        );
        if names.len() == before {
            let message = format!("could not find any target matching {asked:?}");
            return Err(BakeError::new(message));
        }
    }
    each_once(&mut names);
    Ok(names)
}

/// What `--set` sets, by target.
pub(super) fn overrides(
    config: &Config,
    texts: &[String],
    surroundings: &Surroundings,
) -> Result<OverridesByName> {
    let mut all = OverridesByName::new();
    for text in texts {
        let Some(setting) = overrides::parse(text, surroundings)? else {
            continue;
        };
        let pattern = &setting.pattern;
        let exact = config.target(pattern).is_some();
        let names: Vec<&String> = config
            .targets
            .iter()
            .map(|(name, _)| name)
            .filter(|name| {
                if exact {
                    *name == pattern
                } else {
                    matches(pattern, name)
                }
            })
            .collect();
        if names.is_empty() {
            let message = format!("could not find any target matching '{pattern}'");
            let known = config.targets.iter().map(|(name, _)| name.as_str());
            return Err(BakeError::new(message).suggesting(pattern, known));
        }
        for name in names {
            setting.note(all.entry(name.clone()).or_default());
        }
    }
    Ok(all)
}

/// The targets and the groups that a name stands for.
pub(super) fn expand(config: &Config, name: &str) -> (Vec<String>, Vec<String>) {
    let (mut targets, mut groups) = (Vec::new(), Vec::new());
    // Names still to be looked at, the next one last.
    let mut waiting = vec![name.to_owned()];
    while let Some(name) = waiting.pop() {
        match config.group(&name) {
            Some(group) if !groups.contains(&name) => {
                waiting.extend(group.targets.iter().rev().cloned());
                groups.push(name);
            }
            Some(_) => {}
            None => targets.push(name),
        }
    }
    each_once(&mut targets);
    (targets, groups)
}

/// Whether a pattern matches a name: `*`, `?` and `[a-z]`. What is malformed matches nothing.
fn matches(pattern: &str, name: &str) -> bool {
    Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(name))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, wanted) in [
            ("*", "anything", true),
            ("app-*", "app-1", true),
            ("app-*", "lib-1", false),
            ("*-1", "app-1-1", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[", "[", false),
            ("**b*", "aabaa", true),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
