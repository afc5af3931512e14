//! A registry of Docker's own make beside the private dockerd.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::{fs, io};

use anyhow::{Context, Result, bail};

use super::peer::Bench;
use crate::packages;

const PORT: u16 = 5017;

/// `command` where it reaches the registry.
pub(crate) fn beside(bench: &Bench, command: &Command) -> Command {
    bench.beside_docker(command).expect("docker was found")
}

/// Runs until it is ended.
pub(crate) struct Registry {
    process: Child,
    data: PathBuf,
}

impl Registry {
    /// `None` where dockerd or docker-registry is not on the `PATH`.
    pub(crate) fn start(bench: &Bench) -> Result<Option<Self>> {
        if bench.docker().is_none() || packages::find("docker-registry").is_none() {
            return Ok(None);
        }
        let folder = bench.folder.path().join("registry");
        fs::create_dir_all(&folder)?;
        let configuration = folder.join("config.yml");
        let data = folder.join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n\
             http: {{addr: \"127.0.0.1:{PORT}\"}}\n",
            data.display()
        );
        fs::write(&configuration, text)?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&configuration);
        let process = beside(bench, &command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start docker-registry")?;
        let mut registry = Self { process, data };
        for _ in 0..200 {
            let mut probe = Command::new("bash");
            probe.args(["-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{PORT}")]);
            let mut probe = beside(bench, &probe);
            if probe.stderr(Stdio::null()).status()?.success() {
                return Ok(Some(registry));
            }
            if registry.process.try_wait()?.is_some() {
                bail!("docker-registry ended at once");
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        registry.end()?;
        bail!("docker-registry does not listen")
    }

    /// The name of an image in it.
    pub(crate) fn image(name: &str) -> String {
        format!("127.0.0.1:{PORT}/bench/{name}")
    }

    /// Forgets every image: it looks for all it has on the disk.
    pub(crate) fn empty(&self) -> Result<()> {
        match fs::remove_dir_all(&self.data) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn end(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}
