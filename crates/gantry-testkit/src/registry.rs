//! Debian's `docker-registry` on a loopback port.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::environment::wait_for;

/// A registry of one's own; dropping it ends it and removes what it holds.
#[derive(Debug)]
pub struct TestRegistry {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl TestRegistry {
    /// Starts an empty one.
    ///
    /// # Panics
    /// When Debian's package `docker-registry` is not installed.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("loopback has a free port")
            .port();
        let address = format!("127.0.0.1:{port}");
        let configuration = folder.path().join("config.yml");
        let storage = folder.path().join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
             delete: {{enabled: true}}\nhttp: {{addr: {address}}}\n",
            storage.display()
        );
        fs::write(&configuration, text).expect("a file can be written");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the package docker-registry is installed");
        let registry = Self {
            process,
            address,
            _folder: folder,
        };
        wait_for("the registry listens", || {
            TcpStream::connect(&registry.address).is_ok()
        });
        registry
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for TestRegistry {
    fn drop(&mut self) {
        self.process.kill().expect("the registry can be ended");
        self.process.wait().expect("the registry can be waited for");
    }
}
