//! The keys that leave a container running: `--detach-keys`, and finding them in what is typed.

/// Docker's default: ctrl-p, ctrl-q.
const DEFAULT: [u8; 2] = [0x10, 0x11];

/// A sequence of keys; empty when detaching is turned off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self {
            keys: DEFAULT.to_vec(),
            matched: 0,
        }
    }
}

impl DetachKeys {
    /// What `--detach-keys` says: single characters, or `ctrl-` and one of `a-z @ [ \ ] ^ _`,
    /// with commas between.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let keys = text
            .split(',')
            .map(|key| key_code(key).ok_or_else(|| format!("Unknown character: '{key}'")))
            .collect::<Result<_, _>>()?;
        Ok(Self { keys, matched: 0 })
    }

    /// Goes through what was typed. What is not part of the sequence is added to `pass`; the
    /// answer is whether the sequence is complete, the rest of `typed` is then left out.
    pub(crate) fn scan(&mut self, typed: &[u8], pass: &mut Vec<u8>) -> bool {
        for &byte in typed {
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return true;
                }
                continue;
            }
            // What looked like the sequence was none: it goes on, and this key may begin anew.
            pass.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(self.keys.first() == Some(&byte));
            if self.matched == 0 {
                pass.push(byte);
            }
        }
        false
    }
}

fn key_code(key: &str) -> Option<u8> {
    if let [byte] = key.as_bytes() {
        return byte.is_ascii().then_some(*byte);
    }
    let [byte] = key.strip_prefix("ctrl-")?.as_bytes() else {
        return None;
    };
    match byte.to_ascii_lowercase() {
        b @ b'a'..=b'z' => Some(b - b'a' + 1),
        b'@' => Some(0),
        b'[' => Some(27),
        b'\\' => Some(28),
        b']' => Some(29),
        b'^' => Some(30),
        b'_' => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_parse() {
        assert_eq!(DetachKeys::parse("").unwrap().keys, [16, 17]);
        assert_eq!(DetachKeys::parse("ctrl-a,d").unwrap().keys, [1, b'd']);
        assert_eq!(
            DetachKeys::parse("ctrl-@,ctrl-[,ctrl-_").unwrap().keys,
            [0, 27, 31]
        );
        for bad in ["ctrl-", "ctrl-1", "ab", "a,,b", "é"] {
            assert!(DetachKeys::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sequence_is_found_across_reads() {
        let mut keys = DetachKeys::default();
        let mut pass = Vec::new();
        assert!(!keys.scan(b"ab\x10", &mut pass));
        assert_eq!(pass, b"ab");
        assert!(keys.scan(b"\x11rest", &mut pass));
        assert_eq!(pass, b"ab");
    }

    #[test]
    fn half_a_sequence_is_passed_on() {
        let mut keys = DetachKeys::default();
        let mut pass = Vec::new();
        assert!(!keys.scan(b"\x10x\x10", &mut pass));
        assert!(!keys.scan(b"\x10y", &mut pass));
        assert_eq!(pass, b"\x10x\x10\x10y");
    }
}
