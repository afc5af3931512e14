//! `--squash`: an image leaves with one layer above its base.

use gantry_build::report::titled;
use gantry_build::{BuiltTarget, Reporter};
use gantry_engine::Engine;

use crate::failure::Failure;

/// The target with squashed images. The steps keep their layers, for the next build.
pub(in crate::commands::builder) fn target(
    engine: &Engine,
    target: &BuiltTarget,
    reporter: &Reporter<'_>,
) -> Result<BuiltTarget, Failure> {
    let vertex = reporter.begin(&titled(target.title.as_deref(), "squashing layers"));
    let mut squashed = target.clone();
    for image in &mut squashed.images {
        let made = engine
            .images()
            .squashed(&image.id(), &image.config, image.base_layers);
        match made {
            Ok(config) => image.config = config,
            Err(error) => {
                reporter.failed(vertex, &error.to_string());
                return Err(error.into());
            }
        }
    }
    reporter.done(vertex);
    Ok(squashed)
}
