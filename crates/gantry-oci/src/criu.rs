//! criu, the program that writes running processes to disk and brings them back, by the messages
//! that `criu swrk` takes on a socket (its `rpc.proto`, criu 3.15 and later).

mod message;
mod options;
mod session;

use std::path::PathBuf;

pub use options::{CgroupMode, CriuFlag};
pub(crate) use options::{Kind, Options};
pub(crate) use session::{Place, Session};

use crate::error::OciError;

/// What a checkpoint and a restore have in common.
#[derive(Debug, Clone, Default)]
pub struct CriuRequest {
    /// The program; the `criu` of the search path by default.
    pub program: Option<PathBuf>,
    /// The folder of the checkpoint.
    pub images: PathBuf,
    /// The folder of criu's own files; that of the checkpoint by default.
    pub work: Option<PathBuf>,
    /// What is asked for beyond the usual.
    pub flags: Vec<CriuFlag>,
    /// What is kept of the cgroups below the container's and their limits.
    pub cgroups: Option<CgroupMode>,
    /// Leave the network out: who restores it sets up another.
    pub empty_network: bool,
}

impl CriuRequest {
    /// The program's path. `action` is what it is wanted for.
    pub(crate) fn program(&self, action: &'static str) -> Result<PathBuf, OciError> {
        if let Some(program) = &self.program {
            let found = std::fs::metadata(program);
            found.map_err(OciError::file("find criu at", program))?;
            return Ok(program.clone());
        }
        let folders = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&folders)
            .map(|folder| folder.join("criu"))
            .find(|path| path.is_file())
            .ok_or(OciError::MissingProgram {
                action,
                program: "criu",
            })
    }
}
