//! Addresses and links on the default bridge.

use crate::busybox;

#[test]
fn root_links_tell_addresses_and_variables() {
    let env = busybox();
    env.gantry([
        "run", "-d", "--name", "db", "--expose", "5432", "-e", "PGX=1", "busybox", "sleep", "1000",
    ])
    .ok();
    let address = env
        .gantry(["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "db"])
        .ok();
    let told = env
        .gantry([
            "run",
            "--rm",
            "--link",
            "db:pg",
            "--name",
            "web",
            "busybox",
            "sh",
            "-c",
            "echo $PG_NAME $PG_PORT $PG_PORT_5432_TCP_ADDR $PG_ENV_PGX; grep -c pg /etc/hosts; \
             ping -c 1 -W 60 pg | grep -c '1 packets received'",
        ])
        .ok();
    assert_eq!(
        told,
        format!("/web/pg tcp://{address}:5432 {address} 1\n1\n1")
    );
    env.gantry([
        "run", "-d", "--name", "kept", "--link", "db", "busybox", "sleep", "1000",
    ])
    .ok();
    assert_eq!(
        env.gantry(["exec", "kept", "sh", "-c", "echo $DB_PORT"])
            .ok(),
        format!("tcp://{address}:5432")
    );
    assert_eq!(
        env.gantry(["inspect", "-f", "{{json .HostConfig.Links}}", "kept"])
            .ok(),
        r#"["/db:/kept/db"]"#
    );
    env.gantry(["stop", "-t", "0", "db"]).ok();
    for (flags, want) in [
        (
            &["--link", "db"][..],
            "Cannot link to a non running container: /db AS /",
        ),
        (
            &["--link", "nonesuch"],
            "could not get container for nonesuch",
        ),
        (&["--link", "a:b:c"], "bad format for links: a:b:c"),
        (
            &["--link", "db", "--network", "host"],
            "host type networking can't be used with links",
        ),
    ] {
        let mut args = vec!["run", "--rm"];
        args.extend(flags);
        args.extend(["busybox", "true"]);
        let refused = env.gantry(args).fails(125);
        assert!(refused.contains(want), "{refused}");
    }
}

#[test]
fn root_addresses_are_chosen_where_docker_lets_them() {
    let env = busybox();
    let mac = env.gantry([
        "run",
        "--rm",
        "--mac-address",
        "02:42:AC:11:00:99",
        "busybox",
        "cat",
        "/sys/class/net/eth0/address",
    ]);
    assert_eq!(mac.ok(), "02:42:ac:11:00:99");
    let further = env
        .gantry([
            "run",
            "--rm",
            "--link-local-ip",
            "169.254.7.7",
            "busybox",
            "ip",
            "-4",
            "addr",
            "show",
            "eth0",
        ])
        .ok();
    assert!(further.contains("inet 169.254.7.7/16"), "{further}");
    for (flag, value, want) in [
        ("--mac-address", "xx", "xx is not a valid mac address"),
        (
            "--ip",
            "172.17.0.9",
            "supported on user defined networks only",
        ),
        ("--network-alias", "x", "aliases"),
    ] {
        let refused = env
            .gantry(["run", "--rm", flag, value, "busybox", "true"])
            .fails(125);
        assert!(refused.contains(want), "{refused}");
    }
}
