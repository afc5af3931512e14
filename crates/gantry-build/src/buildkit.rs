//! How BuildKit names steps, so that caches of either builder serve both.
//!
//! BuildKit's cache knows a step by the SHA-256 of its operation (a JSON text, [`operation`]) and,
//! for each input, by the step that made it or by the digest of the files that are looked at
//! ([`content`]). [`records`] looks steps up in what a cache has. The names are those that BuildKit
//! has had since 0.13; whatever it would name otherwise, or Gantry does otherwise, has no name here.
//!
//! Nothing in here is computed unless a cache was imported that has such records, or one is written.

mod content;
mod operation;
mod records;
mod text;

pub(crate) use content::{Content, Part, Selection};
pub(crate) use operation::{
    Bound, Contents, Origin, Vertex, of_content, of_directory, of_file, of_image, of_run,
};
pub(crate) use records::{Known, KnownInput, Records};
