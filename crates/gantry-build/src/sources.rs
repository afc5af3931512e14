//! The images that a Dockerfile names, each resolved once, several at a time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use gantry_model::Reference;

use crate::base::{BaseImages, PullPolicy, PullStatus};
use crate::lower::{ImageFailure, ImageRequest, Images, NamedImage};
use crate::report::Reporter;

/// Images of one build.
pub(crate) struct Sources<'s> {
    bases: &'s dyn BaseImages,
    policy: PullPolicy,
    reporter: &'s Reporter<'s>,
    known: Mutex<HashMap<ImageRequest, Result<NamedImage, ImageFailure>>>,
}

impl<'s> Sources<'s> {
    pub(crate) fn new(
        bases: &'s dyn BaseImages,
        policy: PullPolicy,
        reporter: &'s Reporter<'s>,
    ) -> Self {
        Self {
            bases,
            policy,
            reporter,
            known: Mutex::new(HashMap::new()),
        }
    }

    fn resolve(&self, request: &ImageRequest) -> Result<NamedImage, ImageFailure> {
        let reference: Reference = request.name.parse().map_err(ImageFailure::Name)?;
        let vertex = self
            .reporter
            .begin(&format!("[internal] load metadata for {reference}"));
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
            .resolve(&reference, &request.platform, self.policy, &status)
        {
            Ok(image) => {
                self.reporter.done(vertex);
                let mut name = reference.to_string();
                if let (None, Some(digest)) = (reference.digest(), image.manifest) {
                    name.push_str(&format!("@{digest}"));
                }
                Ok(NamedImage {
                    reference: name,
                    image,
                })
            }
            Err(error) => {
                self.reporter.failed(vertex, &error.to_string());
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
                .insert(request.clone(), result);
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
        match known.remove(request) {
            Some(Ok(image)) => {
                known.insert(request.clone(), Ok(image.clone()));
                Ok(image)
            }
            Some(failed) => failed,
            None => {
                drop(known);
                let image = self.resolve(request)?;
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(request.clone(), Ok(image.clone()));
                Ok(image)
            }
        }
    }
}
