//! Networks.

pub(crate) mod inspect;
pub(crate) mod ls;
