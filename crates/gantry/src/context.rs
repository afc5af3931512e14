//! What a command works with: the voice, the flags before it, and the engine once it is needed.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use gantry_engine::{Engine, Surroundings};

use crate::cli::global::GlobalArgs;
use crate::docker_config;
use crate::failure::Failure;
use crate::output::ui::Ui;

/// The surroundings of one command.
#[derive(Debug)]
pub(crate) struct Context {
    /// Speaks to the person.
    pub(crate) ui: Ui,
    root: Option<PathBuf>,
    run_root: Option<PathBuf>,
    docker_config: Option<PathBuf>,
    /// Who called, before any user namespace is entered.
    caller: rustix::process::Uid,
    engine: OnceCell<Engine>,
}

impl Context {
    /// The surroundings that the flags before the command and the environment make.
    pub(crate) fn new(ui: Ui, global: &GlobalArgs) -> Self {
        let chosen = |flag: &Option<PathBuf>, name: &str| flag.clone().or_else(|| variable(name));
        Self {
            ui,
            root: chosen(&global.root, "GANTRY_ROOT"),
            run_root: chosen(&global.run_root, "GANTRY_RUN"),
            docker_config: chosen(&global.config_dir, "DOCKER_CONFIG"),
            caller: rustix::process::geteuid(),
            engine: OnceCell::new(),
        }
    }

    /// `--root` or its variable, as they were given.
    pub(crate) fn chosen_root(&self) -> Option<PathBuf> {
        self.root.clone()
    }

    /// `--run-root` or its variable, as they were given.
    pub(crate) fn chosen_run_root(&self) -> Option<PathBuf> {
        self.run_root.clone()
    }

    /// The engine of the chosen installation, opened at the first call.
    pub(crate) fn engine(&self) -> Result<&Engine, Failure> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = Engine::open(
            self.root.clone(),
            self.run_root.clone(),
            self.surroundings(),
        )?;
        engine.enter()?;
        Ok(self.engine.get_or_init(|| engine))
    }

    /// Tells of what this command left out because it is damaged.
    pub(crate) fn tell_damaged(&self) {
        let left_out = self.engine.get().map(Engine::take_damaged);
        for damaged in left_out.unwrap_or_default() {
            self.ui.warning(&damaged.sentence);
            for hint in &damaged.hints {
                self.ui.hint(hint);
            }
        }
    }

    /// The proxy variables of Docker's `config.json`.
    pub(crate) fn proxies(&self) -> Result<BTreeMap<String, String>, Failure> {
        Ok(docker_config::proxies(
            self.surroundings().docker_config_file().as_deref(),
        )?)
    }

    /// What the engine is told of the caller's environment.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            root: self.caller.is_root(),
            home: variable("HOME"),
            config_home: variable("XDG_CONFIG_HOME"),
            data_home: variable("XDG_DATA_HOME"),
            runtime_dir: variable("XDG_RUNTIME_DIR"),
            docker_config: self.docker_config.clone(),
            network: NETWORK
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), std::env::var_os(name)?)))
                .collect(),
            uid: self.caller.as_raw(),
            person: number("SUDO_UID").zip(number("SUDO_GID")),
        }
    }
}

/// Variables that concern proxies and certificates.
const NETWORK: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

fn number(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
