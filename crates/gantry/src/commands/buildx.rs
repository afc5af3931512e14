//! What the buildx plugin has beside building: the one builder there is, and images of registries.

pub(crate) mod imagetools;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod version;

use gantry_engine::system::binfmt::RunBy;

use crate::context::Context;
use crate::failure::Failure;

/// The platforms that this machine builds for: its own, and those it has emulators for.
fn platforms(context: &Context) -> Result<Vec<String>, Failure> {
    let all = context.engine()?.system().emulations()?;
    let own = gantry_model::Platform::host().to_string();
    let others = all
        .into_iter()
        .filter(|one| matches!(one.by, RunBy::Processor | RunBy::Handler(_)))
        .map(|one| format!("linux/{}", one.architecture))
        .filter(|name| *name != own);
    Ok(std::iter::once(own.clone()).chain(others).collect())
}
