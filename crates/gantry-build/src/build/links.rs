//! Contexts that are other requests of the same build (`target:NAME`).

use crate::error::BuildError;
use crate::lower::{Named, Subject, context_name};
use crate::request::{BuildRequest, NamedContext};

/// Tells each subject which other subjects its names stand for: that of its own platform, or the
/// only one.
pub(super) fn connect(
    requests: &[BuildRequest],
    subjects: &mut [Subject<'_>],
) -> Result<(), BuildError> {
    for at in 0..subjects.len() {
        let settings = &subjects[at].settings;
        let (own, platform) = (settings.request, settings.target_platform.clone());
        for (name, context) in &requests[own].named_contexts {
            let NamedContext::Target(target) = context else {
                continue;
            };
            let made: Vec<usize> = (0..subjects.len())
                .filter(|other| {
                    let request = &requests[subjects[*other].settings.request];
                    request.name.as_ref() == Some(target)
                })
                .collect();
            let same = made
                .iter()
                .find(|other| subjects[**other].settings.target_platform == platform);
            let linked = match (same, made.as_slice()) {
                (Some(same), _) => *same,
                (None, [only]) => *only,
                (None, []) => return Err(wrong(target, "the name of another target")),
                (None, _) => return Err(wrong(target, "built for the platform that needs it")),
            };
            if subjects[linked].settings.request == own {
                return Err(wrong(target, "another target than the one that names it"));
            }
            let named = &mut subjects[at].settings.named;
            named.insert(context_name(name), Named::Target(linked));
        }
    }
    Ok(())
}

fn wrong(target: &str, wanted: &'static str) -> BuildError {
    BuildError::Argument {
        name: "build context",
        value: format!("target:{target}"),
        wanted,
    }
}
