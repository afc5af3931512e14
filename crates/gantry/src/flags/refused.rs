//! Docker's flags that Gantry does not have yet: recognised, and refused by name.

/// Flag and why, for `run` and `create`.
const CONTAINER: &[(&str, &str)] = &[
    (
        "--ip",
        "user specified IP address is supported on user defined networks only",
    ),
    (
        "--ip6",
        "user specified IP address is supported on user defined networks only",
    ),
    (
        "--net-alias",
        "aliases need networks of your own, which are not there yet",
    ),
    (
        "--network-alias",
        "aliases need networks of your own, which are not there yet",
    ),
    (
        "--use-api-socket",
        "there is no API socket, there is no daemon",
    ),
];

/// The same for `build`.
const BUILD: &[(&str, &str)] = &[("--policy", "policies are not there yet")];

/// The same for the flags before the command.
const GLOBAL: &[(&str, &str)] = &[
    ("--context", "there is no daemon, so there are no contexts"),
    ("-c", "there is no daemon, so there are no contexts"),
    ("--host", "there is no daemon to connect to"),
    ("-H", "there is no daemon to connect to"),
    ("--tls", "there is no daemon to connect to"),
    ("--tlscacert", "there is no daemon to connect to"),
    ("--tlscert", "there is no daemon to connect to"),
    ("--tlskey", "there is no daemon to connect to"),
    ("--tlsverify", "there is no daemon to connect to"),
];

/// And for the other commands: spelling's last word, flag, why.
const OTHERS: &[(&str, &str, &str)] = &[
    (
        "rm",
        "--link",
        "links are Docker's legacy way and are not there",
    ),
    (
        "rm",
        "-l",
        "links are Docker's legacy way and are not there",
    ),
    (
        "ls",
        "--cluster",
        "cluster volumes are Swarm's, which is not part of Gantry",
    ),
    (
        "version",
        "--kubeconfig",
        "no cluster is asked for its version",
    ),
];

/// Why `flag` of the command spelt `spelling` is refused, if it is.
pub(crate) fn reason(spelling: &str, flag: &str) -> Option<String> {
    let verb = spelling.rsplit(' ').next().unwrap_or(spelling);
    let flag = flag.split('=').next().unwrap_or(flag);
    let listed = |table: &[(&str, &'static str)]| {
        table
            .iter()
            .find(|(name, _)| *name == flag)
            .map(|(_, why)| *why)
    };
    let why = match verb {
        "run" | "create" if !spelling.starts_with("volume") => listed(CONTAINER),
        "build" => listed(BUILD),
        "" => listed(GLOBAL),
        _ => OTHERS
            .iter()
            .find(|(v, f, _)| *v == verb && *f == flag)
            .map(|(.., why)| *why),
    }?;
    Some(format!("flag {flag} is not supported: {why}"))
}

/// Why a command of Docker's is not there, if it is one.
pub(crate) fn command(words: &[&str]) -> Option<&'static str> {
    const COMMANDS: &[(&str, &str)] = &[
        ("compose", "Compose is not there yet"),
        ("config", "Swarm is not part of Gantry"),
        ("context", "there is no daemon, so there are no contexts"),
        ("node", "Swarm is not part of Gantry"),
        ("plugin", "there are no plugins"),
        ("search", "Docker Hub is not searched"),
        ("secret", "Swarm is not part of Gantry"),
        ("service", "Swarm is not part of Gantry"),
        ("stack", "Swarm is not part of Gantry"),
        ("swarm", "Swarm is not part of Gantry"),
        ("trust", "content trust is not there yet"),
    ];
    const NETWORK: &str = "networks of your own are not there yet, bridge, host and none are";
    match words {
        [
            "network",
            "create" | "connect" | "disconnect" | "rm" | "remove" | "prune",
            ..,
        ] => {
            return Some(NETWORK);
        }
        ["buildx" | "builder", verb, ..] => return of_buildx(verb),
        _ => {}
    }
    let name = match words {
        ["container", verb, ..] => verb,
        [word, ..] => word,
        [] => return None,
    };
    COMMANDS
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, why)| *why)
}

/// Why a command of the buildx plugin is not there, and what is in its place.
fn of_buildx(verb: &str) -> Option<&'static str> {
    const ONE: &str = "there is one builder, default, it is built in and needs no set-up: leave \
                       the command out";
    Some(match verb {
        "create" | "rm" | "stop" | "use" => ONE,
        "install" | "uninstall" => "gantry build is the builder itself: leave the command out",
        "dial-stdio" => "there is no daemon to connect to",
        "history" => {
            "builds are not recorded: --metadata-file and --progress=rawjson keep what a build \
             says, --explain tells why its steps ran"
        }
        "debug" => "gantry build --on-failure=shell opens a shell where a step failed",
        "dap" => {
            "debuggers cannot be attached: gantry build --on-failure=shell opens a shell where a \
             step failed"
        }
        "policy" => "policies are not there yet",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_refused_by_name() {
        assert_eq!(
            reason("run", "--use-api-socket=true").as_deref(),
            Some(
                "flag --use-api-socket is not supported: there is no API socket, there is no daemon"
            )
        );
        assert!(reason("container create", "--ip").is_some());
        assert!(reason("volume create", "--ip").is_none());
        assert!(reason("run", "--output").is_none());
        assert!(reason("buildx build", "--policy").is_some());
        assert!(reason("run", "--nonsense").is_none());
    }

    #[test]
    fn nothing_is_both_refused_and_there() {
        for command in crate::cli::table::COMMANDS {
            let clap = crate::cli::parse::prepare(command);
            for spelling in command.spellings {
                for long in clap.get_arguments().filter_map(clap::Arg::get_long) {
                    assert_eq!(
                        reason(spelling, &format!("--{long}")),
                        None,
                        "{spelling} --{long}"
                    );
                }
            }
        }
    }

    #[test]
    fn commands_are_refused_by_name() {
        assert!(command(&["swarm", "init"]).is_some());
        assert!(command(&["network", "create"]).is_some());
        assert!(command(&["network", "ls"]).is_none());
        assert!(command(&["buildx", "create"]).is_some());
        assert!(command(&["builder", "history"]).is_some());
        assert!(command(&["buildx", "swarm"]).is_none());
        assert!(command(&["run"]).is_none());
    }
}
