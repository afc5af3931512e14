//! The licences of all dependencies against the allow list of `deny.toml`.
//!
//! cargo-deny does the same and more, but has to be installed; this needs nothing.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{cargo, say};

pub(crate) fn run() -> Result<()> {
    let text =
        fs::read_to_string(cargo::root().join("deny.toml")).context("cannot read deny.toml")?;
    let allowed = allowed(&text)?;
    let metadata = cargo::metadata()?;
    let mut faults = Vec::new();
    let packages = metadata["packages"].as_array().context("no packages")?;
    for package in packages {
        let licence = package["license"].as_str().unwrap_or("none");
        if !permitted(licence, &allowed) {
            faults.push(format!(
                "{} {}: {licence}",
                text_of(package, "name"),
                text_of(package, "version")
            ));
        }
        if !matches!(
            package["source"].as_str(),
            None | Some("registry+https://github.com/rust-lang/crates.io-index")
        ) {
            faults.push(format!(
                "{}: comes from {}",
                text_of(package, "name"),
                package["source"]
            ));
        }
    }
    if !faults.is_empty() {
        bail!("not permitted by deny.toml:\n{}", faults.join("\n"));
    }
    say(&format!(
        "licences: {} packages, all permitted",
        packages.len()
    ));
    Ok(())
}

fn text_of<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or("?")
}

/// The quoted strings of the `allow = [ … ]` list of the licences section.
fn allowed(deny: &str) -> Result<BTreeSet<String>> {
    let (_, section) = deny
        .split_once("[licenses]")
        .context("deny.toml has no [licenses]")?;
    let (_, list) = section
        .split_once("allow = [")
        .context("[licenses] has no allow list")?;
    let (list, _) = list.split_once(']').context("the allow list has no end")?;
    Ok(list
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect())
}

/// Whether an SPDX expression can be satisfied by the allowed licences.
fn permitted(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    either(&mut words, allowed) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut any = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        any |= all(words, allowed);
    }
    any
}

fn all(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut every = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        every &= one(words, allowed);
    }
    every
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    match words.next() {
        Some("(") => {
            let inside = either(words, allowed);
            words.next_if_eq(&")").is_some() && inside
        }
        Some(licence) => {
            if words.next_if_eq(&"WITH").is_some() {
                let exception = words.next().unwrap_or_default();
                return allowed.contains(&format!("{licence} WITH {exception}"));
            }
            allowed.contains(licence)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_follow_spdx() {
        let allowed: BTreeSet<String> = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
            .map(str::to_owned)
            .into();
        for (expression, want) in [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("MIT/Apache-2.0", true),
            ("(MIT OR GPL-3.0) AND Apache-2.0", true),
            ("(MIT AND GPL-3.0) OR Apache-2.0 WITH LLVM-exception", true),
            ("GPL-3.0 WITH LLVM-exception", false),
            ("", false),
            ("MIT OR", true),
            ("(MIT", false),
        ] {
            assert_eq!(permitted(expression, &allowed), want, "{expression}");
        }
    }
}
