//! What `run` and `create` have in common: the specification, the image, the cidfile.

use std::fs::File;
use std::io::Write;

use gantry_engine::containers::ContainerError;
use gantry_model::reference::ReferenceError;
use gantry_model::{ContainerId, ContainerSpec, Reference};

use crate::commands::image::fetch::{Wanted, fetch};
use crate::context::Context;
use crate::failure::{CommandError, Failure};
use crate::flags::container::ContainerFlags;
use crate::flags::environment;
use crate::flags::spec::{self, Caller};

/// The specification that flags and words ask for; proxies of Docker's configuration included.
pub(crate) fn specification(
    context: &Context,
    flags: &ContainerFlags,
    operands: &[String],
) -> Result<ContainerSpec, Failure> {
    let Some((image, command)) = operands.split_first() else {
        return Err(Failure::invalid("an image is needed"));
    };
    let folder =
        std::env::current_dir().map_err(CommandError::file("find", "the working folder"))?;
    let caller = Caller {
        folder: &folder,
        environment: &environment::caller,
    };
    let mut spec = spec::container(flags, image, command, caller)?;
    let proxies = context.proxies()?;
    if !proxies.is_empty() {
        let own = std::mem::take(&mut spec.env);
        spec.env = proxies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        spec.env.extend(own);
    }
    Ok(spec)
}

/// Does `make`, and once more after a pull when the image was not here.
pub(crate) fn with_image<T>(
    context: &Context,
    flags: &ContainerFlags,
    image: &str,
    mut make: impl FnMut() -> Result<T, ContainerError>,
) -> Result<T, Failure> {
    let pull = || -> Result<(), Failure> {
        let reference: Reference = image
            .parse()
            .map_err(|error: ReferenceError| Failure::invalid(error.to_string()))?;
        fetch(
            context,
            Wanted {
                reference: &reference,
                platform: flags.platform.as_deref(),
                quiet: flags.quiet,
            },
        )
        .map(drop)
    };
    if flags.pull == "always" {
        pull()?;
    }
    match make() {
        Err(ContainerError::NoImage { .. }) if flags.pull == "missing" => {
            let shown = image
                .parse::<Reference>()
                .map_or_else(|_| image.to_owned(), |r| r.familiar());
            context
                .ui
                .status(&format!("Unable to find image '{shown}' locally"));
            pull()?;
            Ok(make()?)
        }
        other => Ok(other?),
    }
}

/// The file that gets the id; taken before the container is made, as it must not be there.
#[derive(Debug)]
pub(crate) struct CidFile {
    file: File,
    path: String,
}

impl CidFile {
    /// Makes the file.
    pub(crate) fn create(path: Option<&str>) -> Result<Option<Self>, Failure> {
        let Some(path) = path.filter(|path| !path.is_empty()) else {
            return Ok(None);
        };
        match File::create_new(path) {
            Ok(file) => Ok(Some(Self { file, path: path.to_owned() })),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(CommandError::Conflict(format!(
                    "container ID file found, make sure the other container isn't running or delete {path}"
                ))
                .into())
            }
            Err(error) => Err(CommandError::file("make the container ID file", path)(error).into()),
        }
    }

    /// Writes the id.
    pub(crate) fn write(mut self, id: &ContainerId) -> Result<(), Failure> {
        let write = CommandError::file("write the container ID file", &self.path);
        Ok(self.file.write_all(id.as_str().as_bytes()).map_err(write)?)
    }

    /// Removes a file that got no id.
    pub(crate) fn abandon(self) {
        // An empty file left behind is found and named by the next command.
        drop(std::fs::remove_file(&self.path));
    }
}
