//! The images that a Dockerfile names, each resolved once, several at a time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gantry_model::Platform;

use crate::base::{BaseImages, PullPolicy, PullStatus};
use crate::error::chain;
use crate::lower::{ImageFailure, ImageName, ImageRequest, Images, NamedImage};
use crate::report::Reporter;

/// What makes one image another.
type Key = (ImageName, Platform, PullPolicy);

fn key(request: &ImageRequest) -> Key {
    let ImageRequest {
        name,
        platform,
        policy,
        frame: _,
    } = request;
    (name.clone(), platform.clone(), *policy)
}

/// Images of one build.
pub(crate) struct Sources<'s> {
    bases: &'s dyn BaseImages,
    reporter: &'s Reporter<'s>,
    known: Mutex<HashMap<Key, Result<NamedImage, ImageFailure>>>,
}

impl<'s> Sources<'s> {
    pub(crate) fn new(bases: &'s dyn BaseImages, reporter: &'s Reporter<'s>) -> Self {
        Self {
            bases,
            reporter,
            known: Mutex::new(HashMap::new()),
        }
    }

    fn resolve(&self, request: &ImageRequest) -> Result<NamedImage, ImageFailure> {
        let source = request.name.source()?;
        let vertex = self
            .reporter
            .begin(&format!("{} load metadata for {source}", request.frame));
        let status = |status: PullStatus| {
            self.reporter.bytes(
                vertex,
                &status.id,
                status.current,
                status.total,
                status.done,
            );
        };
        match self
            .bases
            .resolve(&source, &request.platform, request.policy, &status)
        {
            Ok(image) => {
                self.reporter.done(vertex);
                let mut name = source.to_string();
                if let (false, Some(digest)) = (name.contains('@'), image.manifest) {
                    name.push_str(&format!("@{digest}"));
                }
                Ok(NamedImage {
                    reference: name,
                    image,
                })
            }
            Err(error) => {
                self.reporter.failed(vertex, &chain(&error));
                Err(ImageFailure::Fetch(error))
            }
        }
    }
}

impl Images for Sources<'_> {
    fn prefetch(&self, requests: &[ImageRequest]) {
        let fetch = |request: &ImageRequest| {
            let result = self.resolve(request);
            self.known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(key(request), result);
        };
        let Some((first, others)) = requests.split_first() else {
            return;
        };
        std::thread::scope(|scope| {
            for request in others {
                scope.spawn(|| fetch(request));
            }
            fetch(first);
        });
    }

    fn image(&self, request: &ImageRequest) -> Result<NamedImage, ImageFailure> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.remove(&key(request)) {
            Some(Ok(image)) => {
                known.insert(key(request), Ok(image.clone()));
                Ok(image)
            }
            Some(failed) => failed,
            None => {
                drop(known);
                let image = self.resolve(request)?;
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(key(request), Ok(image.clone()));
                Ok(image)
            }
        }
    }
}
