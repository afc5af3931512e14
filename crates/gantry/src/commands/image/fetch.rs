//! Fetching an image with its progress shown: for `pull`, and for `run` and `build` on the way.

use gantry_engine::images::{LayerPhase, LayerProgress, PullOptions, Pulled, Transfer};
use gantry_model::{Digest, Platform, Reference};

use crate::context::Context;
use crate::failure::Failure;
use crate::flags::value::wrong;
use crate::output::progress::transfer::{Item, TransferDisplay};

/// What is to be fetched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The image.
    pub(crate) reference: &'a Reference,
    /// Platforms as written; the host's without.
    pub(crate) platform: Option<&'a str>,
    /// Whether all platforms are wanted.
    pub(crate) all_platforms: bool,
    /// Whether nothing is shown.
    pub(crate) quiet: bool,
}

/// Fetches it, and says on stderr how far it is.
pub(crate) fn fetch(context: &Context, wanted: Wanted<'_>) -> Result<Pulled, Failure> {
    let options = PullOptions {
        platforms: platforms(wanted.platform)?,
        all_platforms: wanted.all_platforms,
    };
    let shown = Shown::new(wanted.quiet, Heading::Pull);
    let images = context.engine()?.images();
    let pulled = images.pull(wanted.reference, &options, &shown);
    shown.display.finish();
    Ok(pulled?)
}

/// The platform that `--platform` names.
pub(crate) fn platform(text: Option<&str>) -> Result<Option<Platform>, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    Ok(Some(text.parse().map_err(wrong("--platform", text))?))
}

/// The platforms that `--platform` names, with commas between.
pub(crate) fn platforms(text: Option<&str>) -> Result<Vec<Platform>, Failure> {
    let names = text.unwrap_or_default().split(',');
    let named = names.filter(|name| !name.trim().is_empty());
    named
        .map(|name| Ok(name.trim().parse().map_err(wrong("--platform", name))?))
        .collect()
}

/// What a pull came to, in Docker's words.
pub(crate) fn summary(reference: &Reference, pulled: &Pulled) -> String {
    let status = status(&reference.familiar(), pulled.newer);
    format!("Digest: {}\n{status}", pulled.digest)
}

/// Whether anything of `name` is new, in Docker's words.
pub(crate) fn status(name: &str, newer: bool) -> String {
    match newer {
        true => format!("Status: Downloaded newer image for {name}"),
        false => format!("Status: Image is up to date for {name}"),
    }
}

/// Shows what becomes known of a transfer.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The display.
    pub(crate) display: TransferDisplay,
    heading: Heading,
}

/// The line above the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heading {
    /// Of a pull.
    Pull,
    /// Of a push.
    Push,
    /// None.
    Nothing,
}

impl Shown {
    /// A display that begins with `heading`.
    pub(crate) fn new(quiet: bool, heading: Heading) -> Self {
        Self {
            display: TransferDisplay::new(quiet),
            heading,
        }
    }
}

impl Transfer for Shown {
    fn begin(&self, tag: &str, from: &str, layers: &[Digest]) {
        match self.heading {
            Heading::Pull => self.display.line(&format!("{tag}: Pulling from {from}")),
            Heading::Push => {
                self.display
                    .line(&format!("The push refers to repository [{from}]"));
            }
            Heading::Nothing => {}
        }
        for layer in layers {
            self.display.item(Item {
                id: layer.short(),
                phase: LayerPhase::Waiting.text().to_owned(),
                current: 0,
                total: None,
            });
        }
    }

    fn layer(&self, progress: LayerProgress) {
        self.display.item(Item {
            id: progress.id.short(),
            phase: progress.phase.text().to_owned(),
            current: progress.current,
            total: progress.total,
        });
    }

    fn warning(&self, text: &str) {
        self.display.line(&format!("WARNING: {text}"));
    }
}
