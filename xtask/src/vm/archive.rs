//! The archive that a kernel begins with.

use std::io::Write;

use anyhow::{Context, Result};

/// A cpio archive in the "newc" format (kernel documentation, `initramfs-buffer-format.rst`).
pub(super) struct Archive<W> {
    out: W,
    number: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, number: 1 }
    }

    pub(super) fn add(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        let size = u32::try_from(content.len()).context("a file of more than 4 GB")?;
        let name_size = u32::try_from(name.len() + 1)?;
        let fields = [
            self.number,
            mode,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        self.number += 1;
        self.out.write_all(b"070701")?;
        for field in fields {
            write!(self.out, "{field:08X}")?;
        }
        self.out.write_all(name.as_bytes())?;
        self.out
            .write_all(&[0; 4][..1 + padding(110 + name.len() + 1)])?;
        self.out.write_all(content)?;
        self.out.write_all(&[0; 4][..padding(content.len())])?;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.add("TRAILER!!!", 0, &[])?;
        self.out.flush()?;
        Ok(())
    }
}

/// Zero bytes up to the next multiple of four.
const fn padding(length: usize) -> usize {
    (4 - length % 4) % 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_aligned() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.add("a", 0o100_644, b"xyz").unwrap();
        archive.add("dir", 0o040_755, b"").unwrap();
        archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.starts_with(b"070701"));
        let second = bytes
            .windows(6)
            .skip(1)
            .position(|w| w == b"070701")
            .unwrap()
            + 1;
        assert_eq!(second % 4, 0);
    }
}
