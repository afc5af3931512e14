//! Streams become lines.

use super::{MAX_LINE, Stream};

/// A line, or a part of a very long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Without its newline.
    pub(super) text: &'a [u8],
    /// Whether a newline ended it; parts of a line and the rest of a stream have none.
    pub(super) whole: bool,
    pub(super) stream: Stream,
}

/// Cuts two streams into lines.
#[derive(Debug, Default)]
pub(super) struct LineCutter {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl LineCutter {
    /// Takes bytes of a stream; an unfinished line waits for its rest.
    pub(super) fn push(
        &mut self,
        stream: Stream,
        mut bytes: &[u8],
        mut line: impl FnMut(Line<'_>),
    ) {
        let mut pending = std::mem::take(self.pending(stream));
        while !bytes.is_empty() {
            let newline = bytes.iter().position(|&byte| byte == b'\n');
            let piece = &bytes[..newline.unwrap_or(bytes.len())];
            let room = MAX_LINE - pending.len();
            if piece.len() >= room {
                pending.extend_from_slice(&piece[..room]);
                bytes = &bytes[room..];
                let cut = character_end(&pending);
                line(Line {
                    text: &pending[..cut],
                    whole: false,
                    stream,
                });
                pending.drain(..cut);
                continue;
            }
            if newline.is_none() {
                pending.extend_from_slice(piece);
                break;
            }
            bytes = &bytes[piece.len() + 1..];
            let whole = true;
            if pending.is_empty() {
                line(Line {
                    text: piece,
                    whole,
                    stream,
                });
            } else {
                pending.extend_from_slice(piece);
                line(Line {
                    text: &pending,
                    whole,
                    stream,
                });
                pending.clear();
            }
        }
        if !pending.is_empty() {
            *self.pending(stream) = pending;
        }
    }

    /// The unfinished line of a stream that ended.
    pub(super) fn end(&mut self, stream: Stream, line: impl FnOnce(Line<'_>)) {
        let rest = std::mem::take(self.pending(stream));
        if !rest.is_empty() {
            line(Line {
                text: &rest,
                whole: false,
                stream,
            });
        }
    }

    fn pending(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

/// Where to cut so that no character is torn: before an unfinished sequence at the end.
fn character_end(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(4)..];
    match std::str::from_utf8(tail) {
        Err(error) if error.error_len().is_none() => {
            bytes.len() - (tail.len() - error.valid_up_to())
        }
        // The tail may begin inside a character: look at what follows its continuation bytes.
        Err(_) => {
            let skip = tail.iter().take_while(|&&byte| byte & 0xc0 == 0x80).count();
            match std::str::from_utf8(&tail[skip..]) {
                Err(error) if error.error_len().is_none() => {
                    bytes.len() - (tail.len() - skip - error.valid_up_to())
                }
                _ => bytes.len(),
            }
        }
        Ok(_) => bytes.len(),
    }
}
