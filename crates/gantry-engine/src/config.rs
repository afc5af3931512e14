//! What a person may configure: `/etc/gantry/config.toml` and `~/.config/gantry/config.toml`.
//!
//! The second wins over the first key by key, flags win over both. An unknown key is an error:
//! nothing that is written there is silently ignored.

mod builder;
mod limits;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use gantry_model::quantity::parse_bytes;
use gantry_model::userns::UsernsMode;
use gantry_network::{Subnet, UserProgram};
use gantry_store::Limits;
use gantry_sys::path::if_there;
use serde::Deserialize;

use crate::error::OpenError;

pub use builder::BuilderConfig;

/// The part of the caller's environment that the engine uses; read once, by the command line.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Whether the caller is root.
    pub root: bool,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `$XDG_DATA_HOME`.
    pub data_home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// `--config` or `$DOCKER_CONFIG`: the folder of Docker's `config.json`.
    pub docker_config: Option<PathBuf>,
    /// Variables that concern proxies and certificates (`HTTP_PROXY`, `NO_PROXY`,
    /// `SSL_CERT_FILE`, …), as they are.
    pub network: BTreeMap<String, OsString>,
    /// The caller's user id.
    pub uid: u32,
    /// User and group of the person behind the caller, who may have become root by sudo.
    pub person: Option<(u32, u32)>,
}

impl Surroundings {
    /// `$ROOT` where nobody chose one.
    #[must_use]
    pub fn default_root(&self) -> PathBuf {
        if self.root {
            return PathBuf::from("/var/lib/gantry");
        }
        let data = self
            .data_home
            .clone()
            .or_else(|| Some(self.home.as_ref()?.join(".local/share")));
        data.unwrap_or_else(std::env::temp_dir).join("gantry")
    }

    /// `$RUN` where nobody chose one.
    #[must_use]
    pub fn default_run_root(&self) -> PathBuf {
        if self.root {
            return PathBuf::from("/run/gantry");
        }
        match &self.runtime_dir {
            Some(folder) => folder.join("gantry"),
            None => std::env::temp_dir().join(format!("gantry-{}", self.uid)),
        }
    }

    /// Docker's `config.json`, if there may be one.
    #[must_use]
    pub fn docker_config_file(&self) -> Option<PathBuf> {
        let folder = self
            .docker_config
            .clone()
            .or_else(|| Some(self.home.as_ref()?.join(".docker")));
        folder.map(|folder| folder.join("config.json"))
    }

    fn files(&self) -> Vec<PathBuf> {
        let own = self
            .config_home
            .clone()
            .or_else(|| Some(self.home.as_ref()?.join(".config")));
        let own = own.map(|folder| folder.join("gantry/config.toml"));
        [Some(PathBuf::from("/etc/gantry/config.toml")), own]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// The configuration in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// `$ROOT`.
    pub root: Option<PathBuf>,
    /// `$RUN`.
    pub run_root: Option<PathBuf>,
    /// Registries by the name that references have (`docker.io`).
    pub registries: BTreeMap<String, Registry>,
    /// The default bridge network.
    pub network: Network,
    /// User namespace of containers that are not told one (`--userns`).
    pub userns: Option<String>,
    /// Logs of containers.
    pub log: Log,
    /// What layers and archives from outside may be.
    pub limits: Limits,
    /// The bounds of the build cache.
    pub builder: BuilderConfig,
    /// Folders of CDI specifications; the usual ones when empty.
    pub cdi_spec_dirs: Vec<PathBuf>,
    /// The image whose programs `debug` runs; a static busybox of the host when none is named.
    pub debug_image: Option<String>,
}

/// How one registry is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// Asked first, in this order: `http://host:port` or `https://host[:port][/prefix]`.
    pub mirrors: Vec<String>,
    /// Whether the registry itself is never asked.
    pub only_mirrors: bool,
    /// Whether plain HTTP and unknown certificates are accepted.
    pub insecure: bool,
    /// A further file of trusted certificates (PEM).
    pub ca_file: Option<PathBuf>,
}

/// The default bridge network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Network {
    /// Its subnet, `a.b.c.d/n`; chosen free of the host's routes when not given.
    pub subnet: Option<String>,
    /// Largest packet.
    pub mtu: Option<u32>,
    /// The program that carries a container's network without root, `pasta` or `slirp4netns`; the
    /// first of them that is installed when not given.
    pub rootless: Option<UserProgram>,
}

/// Logs of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Size in bytes at which a log is rotated.
    pub max_size: u64,
    /// Files that are kept, the current one included.
    pub max_files: u32,
    /// The log driver of containers that name none.
    pub driver: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            max_size: 20 << 20,
            max_files: 5,
            driver: "json-file".into(),
            options: BTreeMap::new(),
        }
    }
}

/// One file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Written {
    root: Option<PathBuf>,
    run_root: Option<PathBuf>,
    registries: BTreeMap<String, WrittenRegistry>,
    network: Network,
    userns: Option<String>,
    log: WrittenLog,
    limits: limits::WrittenLimits,
    builder: builder::WrittenBuilder,
    cdi_spec_dirs: Option<Vec<PathBuf>>,
    debug: WrittenDebug,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct WrittenDebug {
    image: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct WrittenRegistry {
    mirrors: Option<Vec<String>>,
    only_mirrors: Option<bool>,
    insecure: Option<bool>,
    ca_file: Option<PathBuf>,
}

impl Registry {
    fn apply(&mut self, written: WrittenRegistry) {
        if let Some(mirrors) = written.mirrors {
            self.mirrors = mirrors;
        }
        self.only_mirrors = written.only_mirrors.unwrap_or(self.only_mirrors);
        self.insecure = written.insecure.unwrap_or(self.insecure);
        self.ca_file = written.ca_file.or_else(|| self.ca_file.take());
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct WrittenLog {
    max_size: Option<String>,
    max_files: Option<u32>,
    driver: Option<String>,
    options: BTreeMap<String, String>,
}

impl Config {
    /// Reads the files that are there.
    ///
    /// # Errors
    /// [`OpenError`] naming the file.
    pub fn read(surroundings: &Surroundings) -> Result<Self, OpenError> {
        let mut config = Self::default();
        for path in surroundings.files() {
            match if_there(fs::read_to_string(&path)) {
                Ok(Some(text)) => config.apply(&text, &path)?,
                Ok(None) => {}
                Err(source) => return Err(OpenError::Read { path, source }),
            }
        }
        Ok(config)
    }

    /// Lays what one file says over what is there.
    fn apply(&mut self, text: &str, path: &Path) -> Result<(), OpenError> {
        let written: Written = toml::from_str(text).map_err(|source| OpenError::Parse {
            path: path.to_path_buf(),
            source: Box::new(source),
        })?;
        let invalid = |key: &str, value: &str, reason| OpenError::Value {
            path: path.to_path_buf(),
            key: key.to_owned(),
            value: value.to_owned(),
            reason,
        };
        for mirror in written
            .registries
            .values()
            .flat_map(|r| r.mirrors.iter().flatten())
        {
            if !mirror.starts_with("http://") && !mirror.starts_with("https://") {
                let reason = "a mirror starts with http:// or https://";
                return Err(invalid("registries.*.mirrors", mirror, reason));
            }
        }
        if let Some(size) = &written.log.max_size {
            self.log.max_size = match parse_bytes(size) {
                Ok(bytes) if bytes >= 4096 => bytes,
                _ => return Err(invalid("log.max-size", size, "it is a size of at least 4k")),
            };
        }
        if let Some(files) = written.log.max_files {
            if files == 0 {
                return Err(invalid("log.max-files", "0", "at least one file is kept"));
            }
            self.log.max_files = files;
        }
        if let Some(driver) = written.log.driver {
            self.log.driver = driver;
        }
        if let Some(folders) = written.cdi_spec_dirs {
            self.cdi_spec_dirs = folders;
        }
        self.debug_image = written.debug.image.or_else(|| self.debug_image.take());
        self.log.options.extend(written.log.options);
        written
            .limits
            .apply(&mut self.limits)
            .map_err(|(key, value, reason)| invalid(&format!("limits.{key}"), &value, reason))?;
        written
            .builder
            .apply(&mut self.builder)
            .map_err(|(key, value, reason)| invalid(&format!("builder.{key}"), &value, reason))?;
        self.root = written.root.or_else(|| self.root.take());
        self.run_root = written.run_root.or_else(|| self.run_root.take());
        if let Some(subnet) = &written.network.subnet
            && subnet.parse::<Subnet>().is_err()
        {
            return Err(invalid(
                "network.subnet",
                subnet,
                "a subnet is written a.b.c.d/n",
            ));
        }
        if let Some(mode) = &written.userns
            && mode.parse::<UsernsMode>().is_err()
        {
            let reason = "it is host, auto, keep-id or CONTAINER:HOST:SIZE";
            return Err(invalid("userns", mode, reason));
        }
        self.userns = written.userns.or_else(|| self.userns.take());
        for (name, registry) in written.registries {
            self.registries.entry(name).or_default().apply(registry);
        }
        self.network.subnet = written
            .network
            .subnet
            .or_else(|| self.network.subnet.take());
        self.network.mtu = written.network.mtu.or(self.network.mtu);
        self.network.rootless = written.network.rootless.or(self.network.rootless);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(texts: &[&str]) -> Result<Config, OpenError> {
        let mut config = Config::default();
        for text in texts {
            config.apply(text, Path::new("x.toml"))?;
        }
        Ok(config)
    }

    #[test]
    fn the_second_file_wins_key_by_key() {
        let config = applied(&[
            "root = \"/one\"\nrun-root = \"/run/one\"\n[log]\nmax-size = \"1m\"\nmax-files = 2\n\
             [limits]\ndevices = 1\nlayer-entries = 9\n\
             [registries.\"docker.io\"]\nmirrors = [\"http://a\"]\n[registries.\"b.io\"]\ninsecure = true\n",
            "root = \"/two\"\n[log]\nmax-size = \"2m\"\n[registries.\"docker.io\"]\nmirrors = [\"https://c/x\"]\n\
             [registries.\"b.io\"]\nonly-mirrors = true\n[limits]\ndevices = 7\n[debug]\nimage = \"tools\"\n",
        ])
        .unwrap();
        assert_eq!(config.root.as_deref(), Some(Path::new("/two")));
        assert_eq!(config.run_root.as_deref(), Some(Path::new("/run/one")));
        assert_eq!(config.debug_image.as_deref(), Some("tools"));
        assert_eq!((config.log.max_size, config.log.max_files), (2 << 20, 2));
        assert_eq!(config.registries["docker.io"].mirrors, ["https://c/x"]);
        assert_eq!((config.limits.devices, config.limits.entries), (7, 9));
        assert!(config.registries["b.io"].insecure && config.registries["b.io"].only_mirrors);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in [
            "rooot = \"/x\"",
            "[log]\nmax-size = \"tiny\"",
            "[log]\nmax-files = 0",
            "[registries.\"docker.io\"]\nmirrors = [\"a.b\"]",
            "[registries.\"docker.io\"]\nmirror = \"http://a\"",
            "root = ",
            "[network]\nsubnet = \"10.0.0.0\"",
            "[network]\nrootless = \"vpnkit\"",
            "[limits]\nlayer-bytes = \"0\"",
            "[limits]\nlayers = 5",
        ] {
            assert!(applied(&[text]).is_err(), "{text}");
        }
    }

    #[test]
    fn state_folders_follow_the_user() {
        let root = Surroundings {
            root: true,
            ..Surroundings::default()
        };
        assert_eq!(root.default_root(), Path::new("/var/lib/gantry"));
        assert_eq!(root.default_run_root(), Path::new("/run/gantry"));
        let user = Surroundings {
            home: Some("/home/u".into()),
            runtime_dir: Some("/run/user/7".into()),
            ..Surroundings::default()
        };
        assert_eq!(
            user.default_root(),
            Path::new("/home/u/.local/share/gantry")
        );
        assert_eq!(user.default_run_root(), Path::new("/run/user/7/gantry"));
    }
}
