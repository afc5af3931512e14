//! The systemd unit that starts containers with the system.

use std::path::{Path, PathBuf};

use gantry_engine::Surroundings;
use gantry_engine::containers::ContainerView;
use gantry_model::restart::RestartPolicy;

use crate::context::Context;

/// Its name.
pub(crate) const NAME: &str = "gantry.service";
/// Where packages put units.
const PACKAGED: [&str; 3] = [
    "/etc/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];

/// What a unit starts.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    /// The binary.
    pub(crate) program: PathBuf,
    /// `--root`, where somebody chose one.
    pub(crate) root: Option<PathBuf>,
    /// `--run-root`, likewise.
    pub(crate) run_root: Option<PathBuf>,
    /// Whether it is a user's own.
    pub(crate) user: bool,
}

/// The unit. When the system goes down, the supervisors get SIGTERM and end their containers.
pub(crate) fn text(installation: &Installation) -> String {
    let mut command = quoted(&installation.program);
    for (flag, path) in [
        (" --root ", &installation.root),
        (" --run-root ", &installation.run_root),
    ] {
        if let Some(path) = path {
            command.push_str(flag);
            command.push_str(&quoted(path));
        }
    }
    let target = if installation.user {
        "default.target"
    } else {
        "multi-user.target"
    };
    format!(
        "[Unit]\nDescription=Containers of Gantry that run from boot to shutdown\n\
         Wants=network-online.target\nAfter=network-online.target local-fs.target\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={command} system boot\n\
         # A container has its own time to stop; nothing else is in this unit's cgroup.\n\
         KillMode=control-group\nTimeoutStopSec=infinity\nTasksMax=infinity\nDelegate=yes\n\n\
         [Install]\nWantedBy={target}\n"
    )
}

/// A path as a unit takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('%', "%%");
    if text.contains([' ', '"', '\'', '\\']) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        text
    }
}

/// Where the unit belongs.
pub(crate) fn folder(surroundings: &Surroundings) -> Option<PathBuf> {
    if surroundings.root {
        return Some(PathBuf::from(PACKAGED[0]));
    }
    let config = surroundings
        .config_home
        .clone()
        .or_else(|| Some(surroundings.home.as_ref()?.join(".config")))?;
    Some(config.join("systemd/user"))
}

/// The folder of what the system starts.
pub(crate) fn wants(user: bool) -> &'static str {
    if user {
        "default.target.wants"
    } else {
        "multi-user.target.wants"
    }
}

/// Whether units of this user are started with the system.
pub(crate) fn lingers() -> bool {
    let name = std::env::var_os("USER").unwrap_or_default();
    !name.is_empty() && Path::new("/var/lib/systemd/linger").join(name).exists()
}

/// Whether the containers of this installation come back after a boot.
fn is_enabled(context: &Context) -> bool {
    let surroundings = context.surroundings();
    let Some(folder) = folder(&surroundings) else {
        return false;
    };
    let link = folder.join(wants(!surroundings.root)).join(NAME);
    // A link to a unit that is gone starts nothing.
    let Ok(unit) = std::fs::read_to_string(link) else {
        return false;
    };
    let chosen = |root: Option<PathBuf>| root.is_none_or(|root| unit.contains(&quoted(&root)));
    chosen(context.chosen_root()) && (surroundings.root || lingers())
}

/// What is to be said of containers that are to run for ever and will not.
pub(crate) fn advice(context: &Context, views: &[ContainerView]) -> Option<String> {
    let names: Vec<&str> = views
        .iter()
        .filter(|view| is_meant_to_last(view))
        .map(name)
        .collect();
    let [first, rest @ ..] = names.as_slice() else {
        return None;
    };
    if is_enabled(context) {
        return None;
    }
    let who = match rest.len() {
        0 => format!("{first} does"),
        1 => format!("{first} and {} do", rest[0]),
        more => format!("{first} and {more} others do"),
    };
    Some(format!(
        "{who} not start again after a reboot: gantry system boot --install"
    ))
}

fn name(view: &ContainerView) -> &str {
    &view.record.name
}

fn is_meant_to_last(view: &ContainerView) -> bool {
    match view.record.spec.restart {
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !view.state.stopped_by_user,
        RestartPolicy::No | RestartPolicy::OnFailure { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_names_the_folders_that_were_chosen() {
        let mut installation = Installation {
            program: "/usr/local/bin/gantry".into(),
            root: None,
            run_root: None,
            user: false,
        };
        let unit = text(&installation);
        assert!(unit.contains("\nExecStart=/usr/local/bin/gantry system boot\n"));
        assert!(unit.ends_with("WantedBy=multi-user.target\n"));
        installation.root = Some("/srv/a b/100%".into());
        installation.user = true;
        let unit = text(&installation);
        assert!(
            unit.contains(
                "ExecStart=/usr/local/bin/gantry --root \"/srv/a b/100%%\" system boot\n"
            ),
            "{unit}"
        );
        assert!(unit.ends_with("WantedBy=default.target\n"));
    }
}
