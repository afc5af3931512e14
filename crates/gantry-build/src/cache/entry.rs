//! What a record says of a step that ran, with a checksum: 32 bytes of digest over key and text,
//! then the text.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Key, Layer};

/// Bytes of a checksum.
const CHECKSUM: usize = 32;

/// What a record says of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// What it made.
    pub(crate) layer: Layer,
    /// Its name as progress showed it.
    pub(crate) name: String,
    /// Milliseconds that it took.
    pub(crate) took: u64,
    /// Keys in hexadecimal of the steps it stands on or copies from.
    pub(crate) parents: Vec<String>,
    /// What `stat` said of the layer's files; none where that could not be known.
    pub(crate) seal: Option<String>,
}

impl Entry {
    /// As it is kept under a key.
    pub(super) fn encode(&self, key: &[u8]) -> Vec<u8> {
        let text = serde_json::to_vec(self).expect("texts and numbers are JSON");
        signed(key, &text)
    }

    /// As it was kept under a key; `None` where it is not what was written.
    pub(crate) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        serde_json::from_slice(checked(key, value)?).ok()
    }

    /// How long the step took.
    pub(crate) fn took(&self) -> Duration {
        Duration::from_millis(self.took)
    }
}

/// The value of a record that leads to another.
pub(super) fn encode_alias(alias: &[u8], key: &Key) -> Vec<u8> {
    signed(alias, &key.0)
}

/// The key that a record leads to; `None` where it is not what was written.
pub(crate) fn decode_alias(alias: &[u8], value: &[u8]) -> Option<Key> {
    Some(Key(checked(alias, value)?.try_into().ok()?))
}

pub(super) fn signed(key: &[u8], text: &[u8]) -> Vec<u8> {
    [&checksum(key, text)[..], text].concat()
}

pub(super) fn checked<'v>(key: &[u8], value: &'v [u8]) -> Option<&'v [u8]> {
    let (sum, text) = value.split_at_checked(CHECKSUM)?;
    (checksum(key, text) == sum).then_some(text)
}

fn checksum(key: &[u8], text: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key).update(text);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use gantry_model::Digest;

    use super::*;

    #[test]
    fn a_flipped_bit_is_noticed_wherever_it_is() {
        let entry = Entry {
            layer: Layer {
                diff_id: Digest::from_bytes([7; 32]),
                created: Some("2020-01-01T00:00:00Z".into()),
            },
            name: "[2/2] RUN make".into(),
            took: 1200,
            parents: vec!["ab".into()],
            seal: None,
        };
        let kept = entry.encode(b"key");
        assert_eq!(Entry::decode(b"key", &kept), Some(entry));
        assert_eq!(Entry::decode(b"kez", &kept), None);
        for at in 0..kept.len() {
            let mut flipped = kept.clone();
            flipped[at] ^= 1;
            assert_eq!(Entry::decode(b"key", &flipped), None, "{at}");
            assert_eq!(Entry::decode(b"key", &kept[..at]), None, "{at}");
        }
        let alias = encode_alias(b"other", &Key([3; 32]));
        assert_eq!(decode_alias(b"other", &alias), Some(Key([3; 32])));
        assert_eq!(decode_alias(b"key", &alias), None);
    }
}
