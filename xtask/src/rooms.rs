//! The rooms of a crate: its modules import each other in no circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{cargo, say};

/// The crates that keep to it.
const HELD: [&str; 7] = [
    "gantry-build",
    "gantry-http",
    "gantry-model",
    "gantry-oci",
    "gantry-registry",
    "gantry-systemd",
    "xtask",
];

/// What each module imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn run() -> Result<()> {
    for name in HELD {
        let folder = match name {
            "xtask" => cargo::root().join("xtask/src"),
            _ => cargo::root().join("crates").join(name).join("src"),
        };
        let mut imports = Imports::new();
        read(&folder, None, &mut imports)?;
        if let Some(circle) = circle(&imports) {
            bail!(
                "{name}: modules import each other in a circle: {}",
                circle.join(" -> ")
            );
        }
    }
    say("rooms: no circle among the modules of a crate that is held to it");
    Ok(())
}

/// Reads the files of a folder. Those on top are modules each; what is deeper belongs to `module`.
fn read(folder: &Path, module: Option<&str>, imports: &mut Imports) -> Result<()> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .collect::<std::io::Result<Vec<_>>>()?;
    for entry in entries {
        let path = entry.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let own = module.unwrap_or(&stem);
        if path.is_dir() {
            read(&path, Some(own), imports)?;
        } else if path.extension().is_some_and(|kind| kind == "rs")
            && !["lib", "main"].contains(&own)
            && stem != "tests"
        {
            let text = std::fs::read_to_string(&path)?;
            let found = imports.entry(own.to_owned()).or_default();
            found.extend(imported(&text).filter(|name| name != own));
        }
    }
    Ok(())
}

/// The modules that a text names from the root of its crate; its tests do not count.
fn imported(text: &str) -> impl Iterator<Item = String> {
    let text = text.split("\n#[cfg(test)]\nmod tests {").next();
    text.unwrap_or_default()
        .split("crate::")
        .skip(1)
        .map(|rest| {
            let is_of_name = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
            rest.chars().take_while(is_of_name).collect()
        })
}

/// Modules of which each imports the next, and the last is the first.
fn circle(imports: &Imports) -> Option<Vec<&str>> {
    let mut done = BTreeSet::new();
    let mut way = Vec::new();
    imports
        .keys()
        .find_map(|module| follow(module, imports, &mut done, &mut way))
}

fn follow<'i>(
    module: &'i str,
    imports: &'i Imports,
    done: &mut BTreeSet<&'i str>,
    way: &mut Vec<&'i str>,
) -> Option<Vec<&'i str>> {
    if let Some(at) = way.iter().position(|passed| *passed == module) {
        let mut circle = way[at..].to_vec();
        circle.push(module);
        return Some(circle);
    }
    if !done.insert(module) {
        return None;
    }
    way.push(module);
    let next = imports.get(module).into_iter().flatten();
    let found = next
        .filter(|next| imports.contains_key(*next))
        .find_map(|next| follow(next, imports, done, way));
    way.pop();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found() {
        let house = |arrows: &[(&str, &[&str])]| -> Imports {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let arrows = arrows.iter();
            arrows
                .map(|(from, to)| ((*from).to_owned(), owned(to)))
                .collect()
        };
        let straight = house(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &["std"])]);
        assert_eq!(circle(&straight), None);
        let round = house(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]);
        assert_eq!(circle(&round).unwrap(), ["b", "c", "b"]);
    }

    #[test]
    fn tests_do_not_count() {
        let text = "use crate::graph::Node;\nfn a() { crate::tree::join() }\n\
                    #[cfg(test)]\nmod tests {\n    use crate::request::X;\n}\n";
        assert_eq!(imported(text).collect::<Vec<_>>(), ["graph", "tree"]);
    }
}
