//! The name of the base image.

use std::str::FromStr;

use gantry_model::Reference;

use super::Look;
use crate::lint::Rule;
use crate::resolve::Base;

pub(super) fn check(look: &mut Look<'_>) {
    for stage in &look.stages {
        let (Base::External, Some(base)) = (stage.kind, &stage.base) else {
            continue;
        };
        if (look.surroundings.named_context)(base) {
            continue;
        }
        let Ok(reference) = Reference::from_str(base) else {
            continue;
        };
        if reference.digest().is_some() {
            continue;
        }
        let span = stage.stage.base.span;
        // What is written, since a missing tag is read as the latest one.
        let last = base.rsplit('/').next().unwrap_or_default();
        let complaint = match last.split_once(':') {
            None => Rule::LatestTag.at(
                format!("The base image {base} has no tag, which means its latest version"),
                span,
            ),
            Some((_, "latest")) => Rule::LatestTag.at(
                format!("The base image {base} is another one with every release"),
                span,
            ),
            Some(_) => Rule::TagWithoutDigest.at(
                format!("The tag of the base image {base} can be moved; a digest cannot"),
                span,
            ),
        };
        look.found.push(complaint);
    }
}
