//! Dockerfiles that other people wrote are taken, refused and complained about as by BuildKit, and
//! damage to them is no more than a mistake in a file.
//!
//! `testdata/dockerfiles.txt` was written by Docker Engine 28.5 (`cargo xtask conformance record
//! dockerfiles`), a busybox standing for every base image. Where Gantry means to differ,
//! `testdata/dockerfiles-intended.txt` has another verdict, and a line `intended` that says why.

mod damage;
mod verdict;

use gantry_build::{
    BaseImage, BaseImageError, BaseImages, BaseSource, BuildError, BuildRequest, DockerfileSource,
    Examination, PullPolicy, Reporter, examine,
};
use gantry_model::image::ImageConfig;
use gantry_model::{Digest, Platform};

/// A store in which every image is, with an empty configuration.
struct Everything;

impl BaseImages for Everything {
    fn resolve(
        &self,
        _source: &BaseSource,
        platform: &Platform,
        _policy: PullPolicy,
        _status: &(dyn Fn(gantry_build::base::PullStatus) + Sync),
    ) -> Result<BaseImage, BaseImageError> {
        Ok(BaseImage {
            id: Digest::from_bytes([0; 32]),
            manifest: None,
            config: ImageConfig {
                os: platform.os.clone(),
                architecture: platform.architecture.clone(),
                ..ImageConfig::default()
            },
        })
    }
}

/// A file without a context.
fn examined(bytes: Vec<u8>) -> Result<Examination, BuildError> {
    let mut request = BuildRequest::new(std::path::PathBuf::new());
    request.context = None;
    request.dockerfile = Some(DockerfileSource::Inline {
        name: "Dockerfile".to_owned(),
        bytes,
    });
    examine(
        &request,
        None,
        &Reporter::new(&gantry_build::progress::Silent),
    )
}
