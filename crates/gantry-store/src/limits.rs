//! How much a layer may be before it is taken for an attack.

use std::fmt;

/// Bounds of what is accepted from outside while a layer is unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the uncompressed tar.
    pub tar_bytes: u64,
    /// Entries of the tar.
    pub entries: u64,
    /// Uncompressed bytes for every compressed byte, looked at beyond `ratio_floor`.
    pub ratio: u64,
    /// Uncompressed bytes below which the ratio does not matter.
    pub ratio_floor: u64,
    /// Device nodes (whiteouts are not counted).
    pub devices: u64,
    /// Bytes of a path.
    pub path_bytes: usize,
    /// Components of a path.
    pub path_depth: usize,
    /// Bytes of one PAX header, GNU long name or sparse map.
    pub header_bytes: usize,
    /// Data fragments of one sparse file.
    pub sparse_fragments: usize,
    /// Apparent size of one file.
    pub file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tar_bytes: 256 << 30,
            entries: 4_000_000,
            ratio: 250,
            ratio_floor: 1 << 30,
            devices: 4096,
            path_bytes: 4095,
            path_depth: 512,
            header_bytes: 1 << 20,
            sparse_fragments: 65_536,
            file_bytes: 16 << 40,
        }
    }
}

impl Limits {
    /// The same without bounds of how many entries and bytes there are: for layers that are here, of
    /// which that was decided when they came in, and for what is of our own making.
    #[must_use]
    pub fn of_any_size(self) -> Self {
        Self {
            tar_bytes: u64::MAX,
            entries: u64::MAX,
            file_bytes: u64::MAX,
            ..self
        }
    }
}

/// One of the [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::tar_bytes`].
    TarBytes,
    /// [`Limits::entries`].
    Entries,
    /// [`Limits::ratio`].
    Ratio,
    /// [`Limits::devices`].
    Devices,
    /// [`Limits::path_bytes`].
    PathBytes,
    /// [`Limits::path_depth`].
    PathDepth,
    /// [`Limits::header_bytes`].
    HeaderBytes,
    /// [`Limits::sparse_fragments`].
    SparseFragments,
    /// [`Limits::file_bytes`].
    FileBytes,
}

impl Limit {
    /// The key of this limit below `[limits]` in the configuration file.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::TarBytes => "layer-bytes",
            Self::Entries => "layer-entries",
            Self::Ratio => "compression-ratio",
            Self::Devices => "devices",
            Self::PathBytes => "path-bytes",
            Self::PathDepth => "path-depth",
            Self::HeaderBytes => "header-bytes",
            Self::SparseFragments => "sparse-fragments",
            Self::FileBytes => "file-bytes",
        }
    }

    /// The sentence that says how to raise it.
    #[must_use]
    pub fn hint(self) -> String {
        format!(
            "if you trust the source, raise `{}` below [limits] in config.toml",
            self.key()
        )
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TarBytes => "bytes of a layer",
            Self::Entries => "entries of a layer",
            Self::Ratio => "uncompressed bytes for a compressed one",
            Self::Devices => "device nodes of a layer",
            Self::PathBytes => "bytes of a path",
            Self::PathDepth => "components of a path",
            Self::HeaderBytes => "bytes of an extended header",
            Self::SparseFragments => "fragments of a sparse file",
            Self::FileBytes => "bytes of a file",
        })
    }
}
