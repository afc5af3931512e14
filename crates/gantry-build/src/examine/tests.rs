//! What is taken for a Dockerfile that could be built, and what not.

use super::examine;
use crate::base::{BaseImage, BaseImageError, BaseImages, BaseSource, PullPolicy, PullStatus};
use crate::error::BuildError;
use crate::progress::Silent;
use crate::report::Reporter;
use crate::request::{BuildRequest, DockerfileSource};

/// A store without images.
struct Nothing;

impl BaseImages for Nothing {
    fn resolve(
        &self,
        _source: &BaseSource,
        _platform: &gantry_model::Platform,
        _policy: PullPolicy,
        _status: &(dyn Fn(PullStatus) + Sync),
    ) -> Result<BaseImage, BaseImageError> {
        Err(BaseImageError::new(BuildError::Canceled))
    }
}

/// Each line of the table was given to BuildKit (Docker Engine 28.5) as `--call=outline`; the
/// first word says whether it took it.
#[test]
fn buildkit_takes_and_refuses_the_same_files() {
    let table = include_str!("../../testdata/acceptance.txt");
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in table.lines() {
        let (expected, text) = line.split_once(' ').unwrap();
        let text: String = serde_json::from_str(text).unwrap();
        let mut request = BuildRequest::new(std::path::PathBuf::new());
        request.context = None;
        request.dockerfile = Some(DockerfileSource::Inline {
            name: "Dockerfile".to_owned(),
            bytes: text.clone().into_bytes(),
        });
        let outline = examine(&request, None, &Reporter::new(&Silent))
            .and_then(|examination| examination.outline(&Nothing));
        if outline.is_ok() != (expected == "accept") {
            wrong.push(format!("{expected} {text:?}: {outline:?}"));
        }
        count += 1;
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(count > 250, "{count}");
}
