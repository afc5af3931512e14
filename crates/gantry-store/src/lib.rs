//! The one store of Gantry: blobs, unpacked layers, images and tags, build records.
//!
//! Everything that the builder, the engine and the registry front keep lives here, below one
//! root folder, shared by any number of processes without a daemon:
//!
//! * [`Blobs`]: manifests and configurations, byte for byte, verified while they stream in;
//! * [`Layers`]: layers unpacked under their diff ID as overlayfs wants them, each with the
//!   recipe that gives its tar back byte for byte;
//! * [`Images`] and [`Records`]: what refers to them, in an SQLite database;
//! * [`Lease`], [`Store::collect`], [`Store::check`], [`Store::usage`]: what keeps, takes away,
//!   verifies and measures them;
//! * [`tar`], [`unpack`], [`pack`]: the pieces, usable on any reader and any directory.
//!
//! Every change is written aside in `ingest/`, renamed, then recorded in one transaction: a
//! process killed at any instruction leaves the old state or the new one, and garbage that the
//! next collection finds.
//!
//! This crate never knows HTTP, registries, Dockerfiles or containers.

pub mod blobs;
pub mod check;
pub mod collect;
pub mod compression;
mod database;
pub mod error;
pub mod images;
mod ingest;
pub mod layers;
pub mod lease;
pub mod limits;
pub mod pack;
mod recency;
pub mod records;
#[cfg(test)]
mod sample;
mod store;
pub mod tar;
mod tree;
pub mod unpack;
pub mod usage;

pub use blobs::{BlobWriter, Blobs};
pub use check::{CheckOptions, CheckReport, Finding};
pub use collect::{CollectPolicy, Collected, Roots};
pub use error::StoreError;
pub use images::{
    DamagedImage, Image, ImageList, ImageNames, Images, Index, IndexMember, Membership, NewImage,
    RepoDigest,
};
pub use layers::{
    DraftTar, LayerBlob, LayerDraft, LayerInfo, Layers, Lowers, TarPoint, UnpackOptions, Whole,
};
pub use lease::Lease;
pub use limits::Limits;
pub use pack::{GoesOn, PackError};
pub use recency::Recency;
pub use records::{Record, RecordHead, Records};
pub use store::Store;
pub use unpack::UnpackError;
pub use usage::{LayerUse, Usage};
