//! Where definitions come from, and what the paths in them mean then: those of a definition from
//! elsewhere are in what it came with, but for `cwd://`, which is the folder of the command.

use std::path::{Component, Path, PathBuf};

use gantry_build::{BuildRequest, ContextSource, Fetched, FetchedFolder};

use super::files::{LARGEST, is_remote};
use crate::commands::builder::build::{lent, make};
use crate::context::Context;
use crate::failure::{CommandError, Failure};
use crate::flags::environment;
use crate::output::progress::build::Mode;

/// What the folder of the command is called.
pub(super) const HERE: &str = "cwd://";

/// Where definitions come from.
#[derive(Debug)]
pub(super) enum Origin {
    /// This machine.
    Here,
    /// A file at an address: its paths are of this machine.
    File(gantry_bake::File),
    /// A repository or an archive at an address.
    Elsewhere {
        /// The address.
        address: String,
        /// What was there.
        folder: FetchedFolder,
    },
}

/// Where a path of a definition leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'t> {
    /// To this machine.
    Here(&'t str),
    /// Into what was fetched: relative, without `..`.
    Fetched(PathBuf),
    /// To an address, an image or another target.
    Elsewhere(&'t str),
    /// Out of what was fetched.
    Outside,
}

impl Origin {
    /// Fetches what is at an address, with what the variables of buildx lend git.
    pub(super) fn fetch(context: &Context, mode: Mode, address: &str) -> Result<Self, Failure> {
        let source = ContextSource::parse(address).map_err(Failure::invalid)?;
        if !matches!(source, ContextSource::Remote(_)) {
            return Err(Failure::invalid(format!(
                "{address:?} is neither a target nor an address that definitions come from: these \
                 begin with https://, git:// or ssh://; a file of this machine is named by -f"
            )));
        }
        let mut request = BuildRequest::new(source);
        let mut secrets = Vec::new();
        for name in ["GIT_AUTH_TOKEN", "GIT_AUTH_HEADER"] {
            let variable = format!("BUILDX_BAKE_{name}");
            if environment::caller(&variable).is_some() {
                secrets.push(format!("id={name},env={variable}"));
            }
        }
        request.secrets = lent::secrets(&secrets, &environment::caller)?;
        let agent = match environment::caller("BUILDX_BAKE_GIT_SSH") {
            Some(path) => Some(format!("default={path}")),
            None => environment::caller(lent::AGENT).map(|_| "default".to_owned()),
        };
        let agents: Vec<String> = agent.into_iter().collect();
        request.ssh = lent::agents(&agents, &environment::caller)?;
        Ok(match make::fetched(context, mode, &request)? {
            Fetched::File(bytes) => Self::File(gantry_bake::File {
                name: address.to_owned(),
                bytes,
            }),
            Fetched::Folder(folder) => Self::Elsewhere {
                address: address.to_owned(),
                folder,
            },
        })
    }

    /// Reads a file of what was fetched; `None` where there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<gantry_bake::File>, Failure> {
        let Self::Elsewhere { folder, .. } = self else {
            return Ok(None);
        };
        let bytes = folder.read(name, LARGEST + 1);
        let bytes = bytes.map_err(CommandError::file("read", name))?;
        Ok(bytes.map(|bytes| gantry_bake::File {
            name: name.to_owned(),
            bytes,
        }))
    }

    /// Where a context leads.
    pub(super) fn place<'t>(&'t self, text: &'t str) -> Place<'t> {
        if let Some(path) = text.strip_prefix(HERE) {
            return Place::Here(if path.is_empty() { "." } else { path });
        }
        let named = ["target:", "docker-image:", "oci-layout:"];
        if is_remote(text) || named.iter().any(|prefix| text.starts_with(prefix)) {
            return Place::Elsewhere(text);
        }
        let Self::Elsewhere { address, .. } = self else {
            return Place::Here(text);
        };
        match inside(text) {
            None => Place::Outside,
            Some(path) if path.as_os_str().is_empty() => Place::Elsewhere(address),
            Some(path) => Place::Fetched(path),
        }
    }

    /// The same as a builder has it; `None` for what is no folder that was fetched.
    pub(super) fn source(&self, text: &str) -> Result<Option<ContextSource>, Failure> {
        let Self::Elsewhere { address, folder } = self else {
            return Ok(None);
        };
        let wrong = |why: String| {
            Failure::invalid(format!(
                "context {text:?} of a definition at {address}: {why}"
            ))
        };
        match self.place(text) {
            Place::Fetched(path) => {
                let source = folder.context(&path);
                source.map(Some).map_err(|error| wrong(error.to_string()))
            }
            Place::Outside => Err(wrong("it leads out of what is there".to_owned())),
            Place::Here(_) | Place::Elsewhere(_) => Ok(None),
        }
    }
}

/// A path as one of a folder that it does not leave: relative, in its shortest form.
fn inside(text: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in Path::new(text).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir if !path.pop() => return None,
            _ => {}
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_machine() {
        for (text, place) in [
            ("app", Place::Here("app")),
            ("cwd://", Place::Here(".")),
            ("cwd://x/y", Place::Here("x/y")),
            ("target:web", Place::Elsewhere("target:web")),
            ("docker-image://a", Place::Elsewhere("docker-image://a")),
            (
                "https://x.org/y.git",
                Place::Elsewhere("https://x.org/y.git"),
            ),
        ] {
            assert_eq!(Origin::Here.place(text), place, "{text}");
        }
        assert_eq!(Origin::Here.source("../..").unwrap(), None);
    }

    #[test]
    fn paths_stay_inside() {
        for (text, path) in [
            (".", Some("")),
            ("./a/../b//c", Some("b/c")),
            ("/a", Some("a")),
            ("a/..", Some("")),
            ("..", None),
            ("a/../../b", None),
        ] {
            assert_eq!(inside(text), path.map(PathBuf::from), "{text}");
        }
    }
}
