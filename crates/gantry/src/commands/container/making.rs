//! What `run` and `create` have in common: the specification, the image, the cidfile.

use std::fs::File;
use std::io::Write;

use gantry_engine::containers::ContainerError;
use gantry_engine::images::PullPolicy;
use gantry_model::reference::ReferenceError;
use gantry_model::{ContainerId, ContainerSpec, Platform, Reference};

use crate::commands::image::fetch::{self, Heading, Shown, Wanted, fetch, summary};
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
    let caller = Caller {
        folder: &std::env::current_dir,
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

/// Does `make` once the image is here: before a pull where it may be, after one where it was not.
pub(crate) fn with_image<T>(
    context: &Context,
    flags: &ContainerFlags,
    image: &str,
    mut make: impl FnMut() -> Result<T, ContainerError>,
) -> Result<T, Failure> {
    if flags.pull == "always" {
        let reference = named(image)?;
        pull(context, flags, &reference)?;
    } else if let Some(platform) = fetch::platform(flags.platform.as_deref())? {
        of_platform(context, flags, image, &platform)?;
    }
    match make() {
        Err(ContainerError::NoImage { .. }) if flags.pull == "missing" => {
            let reference = named(image)?;
            let shown = reference.familiar();
            context
                .ui
                .status(&format!("Unable to find image '{shown}' locally"));
            pull(context, flags, &reference)?;
            Ok(make()?)
        }
        other => Ok(other?),
    }
}

fn named(image: &str) -> Result<Reference, Failure> {
    image
        .parse()
        .map_err(|error: ReferenceError| Failure::invalid(error.to_string()))
}

/// Pulls; what came of it is status here, not data.
fn pull(context: &Context, flags: &ContainerFlags, reference: &Reference) -> Result<(), Failure> {
    let platform = flags.platform.as_deref();
    let pulled = fetch(
        context,
        Wanted {
            reference,
            platform,
            all_platforms: false,
            quiet: flags.quiet,
        },
    )?;
    if !flags.quiet {
        context.ui.status(&summary(reference, &pulled));
    }
    Ok(())
}

/// Makes sure that the image that is here is for that platform.
fn of_platform(
    context: &Context,
    flags: &ContainerFlags,
    image: &str,
    platform: &Platform,
) -> Result<(), Failure> {
    let policy = match flags.pull.as_str() {
        "never" => PullPolicy::Never,
        _ => PullPolicy::Missing,
    };
    let shown = Shown::new(flags.quiet, Heading::Pull);
    let images = context.engine()?.images();
    let found = images.resolve_or_pull(image, Some(platform), policy, &shown);
    shown.display.finish();
    found?;
    Ok(())
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
