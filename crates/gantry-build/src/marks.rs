//! Points of the tar of a layer from which its digest can go on, as they are kept.

use gantry_store::TarPoint;

/// A point of the tar of a layer, and the outline of all before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// So many steps are before it.
    pub(crate) steps: u32,
    pub(crate) outline: [u8; 32],
    pub(crate) point: TarPoint,
}

/// The points of one layer, in the order of its tar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marks(pub(crate) Vec<Mark>);

impl Marks {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As they are kept: steps (4 bytes), outline (32), length of the point (1), point.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for mark in &self.0 {
            let point = mark.point.as_bytes();
            bytes.extend_from_slice(&mark.steps.to_be_bytes());
            bytes.extend_from_slice(&mark.outline);
            bytes.extend(u8::try_from(point.len()));
            bytes.extend_from_slice(point);
        }
        bytes
    }

    /// As they were kept; `None` where they are not what was written.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut marks = Vec::new();
        while !bytes.is_empty() {
            let (steps, rest) = bytes.split_first_chunk()?;
            let (outline, rest) = rest.split_first_chunk()?;
            let (length, rest) = rest.split_first()?;
            let (point, rest) = rest.split_at_checked(usize::from(*length))?;
            marks.push(Mark {
                steps: u32::from_be_bytes(*steps),
                outline: *outline,
                point: TarPoint::from_bytes(point)?,
            });
            bytes = rest;
        }
        Some(Self(marks))
    }
}
