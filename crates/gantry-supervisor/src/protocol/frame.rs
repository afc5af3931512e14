//! Frames on the wire.

use serde::de::DeserializeOwned;

use super::{MAX_CONTROL, MAX_STREAM};

/// Bytes of a frame's header.
pub const HEADER: usize = 8;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes for the process.
    Stdin,
    /// Output; a terminal's too.
    Stdout,
    /// Error output.
    Stderr,
    /// A [`super::Request`] or [`super::Reply`] as JSON.
    Control,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Stdin),
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            16 => Some(Self::Control),
            _ => None,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Control => 16,
        }
    }

    fn limit(self) -> usize {
        match self {
            Self::Control => MAX_CONTROL,
            _ => MAX_STREAM,
        }
    }
}

/// One frame, borrowed from the decoder that read it.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it carries.
    pub kind: Kind,
    /// The bytes.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// The message of a control frame.
    ///
    /// # Errors
    /// [`FrameError::Message`] when the payload is not that message.
    pub fn message<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        serde_json::from_slice(self.payload).map_err(|error| FrameError::Message {
            reason: error.to_string(),
        })
    }
}

/// Bytes that are no frame of this protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// An unknown kind of frame.
    #[error("unknown kind {kind} of frame on the supervisor's socket")]
    Kind {
        /// The byte.
        kind: u8,
    },
    /// A frame longer than its kind may be.
    #[error("frame of {length} bytes on the supervisor's socket is longer than allowed")]
    Length {
        /// The length it gives.
        length: usize,
    },
    /// A control message that is none.
    #[error("malformed message on the supervisor's socket: {reason}")]
    Message {
        /// What the parser says.
        reason: String,
    },
}

/// The header of a frame of `length` bytes.
///
/// # Panics
/// When `length` is beyond the limit of a control message; senders split streams before.
#[must_use]
pub fn header(kind: Kind, length: usize) -> [u8; HEADER] {
    let length = u32::try_from(length).expect("senders keep frames within MAX_CONTROL");
    let [a, b, c, d] = length.to_be_bytes();
    [kind.byte(), 0, 0, 0, a, b, c, d]
}

/// Puts frames together from what arrives in pieces.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    taken: usize,
}

impl Decoder {
    /// Adds bytes that arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
        } else if self.taken > MAX_STREAM {
            self.buffer.drain(..self.taken);
            self.taken = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes held that are not handed out yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// Gives back memory when nothing is pending.
    pub fn release(&mut self) {
        if self.pending() == 0 && self.buffer.capacity() > 0 {
            self.buffer = Vec::new();
            self.taken = 0;
        }
    }

    /// The next whole frame.
    ///
    /// # Errors
    /// [`FrameError`] when the bytes are no frame; the connection is of no use any more.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let rest = &self.buffer[self.taken..];
        let Some(&[kind, _, _, _, a, b, c, d]) = rest.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let Some(kind) = Kind::from_byte(kind) else {
            return Err(FrameError::Kind { kind });
        };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > kind.limit() {
            return Err(FrameError::Length { length });
        }
        if rest.len() < HEADER + length {
            return Ok(None);
        }
        let start = self.taken + HEADER;
        self.taken = start + length;
        Ok(Some(Frame {
            kind,
            payload: &self.buffer[start..self.taken],
        }))
    }
}
