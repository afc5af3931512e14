//! The files of definitions.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use super::origin::{HERE, Origin};
use crate::failure::{CommandError, Failure};
use crate::flags::environment;

/// Files that are read where none is named, as far as they are there.
const USUAL: [&str; 8] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "docker-bake.json",
    "docker-bake.hcl",
    "docker-bake.override.json",
    "docker-bake.override.hcl",
];

/// Most bytes of a file.
pub(super) const LARGEST: u64 = 8 << 20;

/// Whether a word is the address of definitions rather than a target.
pub(super) fn is_remote(word: &str) -> bool {
    let has_scheme = word.contains("://") && !word.starts_with(HERE);
    has_scheme || word.starts_with("git@") || word.starts_with("github.com/")
}

/// The files that were named, by flags or else by `BUILDX_BAKE_FILE`, or else the usual ones. Those
/// of a definition from elsewhere are looked for there, unless they begin with `cwd://`.
pub(super) fn read(names: &[String], origin: &Origin) -> Result<Vec<gantry_bake::File>, Failure> {
    let mut names = names.to_vec();
    if names.is_empty()
        && let Some(listed) = environment::caller("BUILDX_BAKE_FILE")
    {
        let separator = environment::caller("BUILDX_BAKE_PATH_SEPARATOR");
        let separator = separator.filter(|text| !text.is_empty());
        let listed = listed.split(separator.as_deref().unwrap_or(":"));
        names.extend(
            listed
                .map(str::trim)
                .filter(|name| !name.is_empty())
                .map(String::from),
        );
    }
    let mut files = Vec::new();
    if let Origin::File(file) = origin {
        files.push(file.clone());
    }
    if names.is_empty() {
        for name in USUAL {
            match origin {
                Origin::Here => files.extend(usual(name)?),
                Origin::Elsewhere { .. } => files.extend(origin.read(name)?),
                Origin::File(_) => {}
            }
        }
        if files.is_empty() {
            return Err(CommandError::NotFound(format!(
                "couldn't find a bake definition: there is neither docker-bake.hcl nor one of {}",
                USUAL
                    .iter()
                    .filter(|name| **name != "docker-bake.hcl")
                    .copied()
                    .collect::<Vec<_>>()
                    .join(", ")
            ))
            .into());
        }
    }
    for name in &names {
        let local = name.strip_prefix(HERE);
        if let (Origin::Elsewhere { address, .. }, None) = (origin, local)
            && name != "-"
        {
            let missing = || CommandError::NotFound(format!("there is no {name} at {address}"));
            files.push(origin.read(name)?.ok_or_else(missing)?);
            continue;
        }
        let name = local.unwrap_or(name);
        files.push(if name == "-" {
            whole(name, io::stdin().lock())?
        } else {
            whole(
                name,
                File::open(name).map_err(CommandError::file("open", name))?,
            )?
        });
    }
    Ok(files)
}

/// A file of this machine, if it is there.
fn usual(name: &str) -> Result<Option<gantry_bake::File>, Failure> {
    match File::open(name) {
        Ok(file) => Ok(Some(whole(name, file)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CommandError::file("open", name)(error).into()),
    }
}

fn whole(name: &str, from: impl Read) -> Result<gantry_bake::File, Failure> {
    let mut bytes = Vec::new();
    from.take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(CommandError::file("read", name))?;
    Ok(gantry_bake::File {
        name: name.to_owned(),
        bytes,
    })
}

/// A file of this machine that a definition names.
pub(super) fn local(path: &str) -> Result<Vec<u8>, Failure> {
    let file = File::open(path).map_err(CommandError::file("open", path))?;
    Ok(whole(path, file)?.bytes)
}

/// The variables of `.env`, which Compose files see.
pub(super) fn dotenv() -> Result<BTreeMap<String, String>, Failure> {
    let bytes = match std::fs::read(".env") {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(CommandError::file("read", ".env")(error).into()),
    };
    Ok(gantry_bake::dotenv(&String::from_utf8_lossy(&bytes)))
}
