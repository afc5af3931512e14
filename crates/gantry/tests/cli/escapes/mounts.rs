//! Attacks on the mounting of a container's file systems.

use super::{Hostile, begun, harmless, host, image};

/// CVE-2021-30465: a container exchanges the place at which another one mounts, while it does.
#[test]
fn root_cve_2021_30465_a_mount_does_not_land_outside() {
    let env = Hostile::new();
    let marker = env.write("marker", "host");
    let marker = marker.to_str().unwrap();
    env.gantry([
        "run",
        "--rm",
        "-v",
        "shared:/s",
        "hostile",
        "sh",
        "-c",
        "mkdir -p /s/place/deeper && ln -s / /s/link",
    ])
    .ok();
    let attack = begun(
        &env,
        &[
            "run",
            "--rm",
            "-i",
            "-v",
            "shared:/s",
            "hostile",
            "/attacker",
            "swap",
            "/s/place",
            "/s/link",
        ],
    );
    let look = format!(
        "[ -e /s/place{marker} ] && echo ESCAPED; [ -e /s/place/deeper{marker} ] && echo ESCAPED; [ -e {marker} ] && echo ESCAPED; true"
    );
    for _ in 0..25 {
        let answer = env.gantry([
            "run",
            "--rm",
            "-v",
            "shared:/s",
            "-v",
            "other:/s/place",
            "-v",
            "third:/s/place/deeper",
            "hostile",
            "sh",
            "-c",
            &look,
        ]);
        assert!(!answer.stdout.contains("ESCAPED"), "{answer:?}");
    }
    harmless(attack);
}

/// CVE-2019-19921, CVE-2023-27561 and CVE-2023-28642: an image whose /proc or /sys is a link to a
/// volume of the attacker's is refused, so that no mask lands elsewhere.
#[test]
fn root_cve_2023_27561_and_28642_proc_is_no_link() {
    let env = Hostile::new();
    for (name, lines) in [
        ("absolute", "RUN true\nCOPY links/ /"),
        ("relative", "COPY links2/ /"),
    ] {
        for (folder, target) in [("links", "/fake"), ("links2", "fake")] {
            let folder = env.work().join(folder);
            std::fs::create_dir_all(folder.join("fake")).unwrap();
            for link in ["proc", "sys"] {
                let link = folder.join(link);
                std::fs::remove_file(&link).ok();
                std::os::unix::fs::symlink(target, link).unwrap();
            }
        }
        image(&env, name, lines);
        let answer = env.gantry(["run", "--rm", "-v", "fake:/fake", name, "true"]);
        assert!(matches!(answer.code, 125..=127), "{answer:?}");
        assert!(
            answer.stderr.contains("/proc") || answer.stderr.contains("/sys"),
            "{answer:?}"
        );
    }
}

/// CVE-2025-31133: what hides files is /dev/null of the container, which an attacker exchanges
/// for a link to a file of the kernel's; and CVE-2025-52565, the same with /dev/console.
#[test]
fn root_cve_2025_31133_and_52565_dev_in_the_attackers_hands() {
    let env = Hostile::new();
    let pattern = host("/proc/sys/kernel/core_pattern");
    env.gantry([
        "run", "--rm", "-v", "dev:/d", "hostile", "sh", "-c",
        "cd /d && mkdir -p pts shm mqueue && touch null console good && mknod zero c 1 5 && \
         ln -s /proc/sys/kernel/core_pattern evil && ln -s /proc/sysrq-trigger evil2 && ln -s evil2 ptmx",
    ])
    .ok();
    let swap = |name: &str| {
        begun(
            &env,
            &[
                "run",
                "--rm",
                "-i",
                "-v",
                "dev:/d",
                "hostile",
                "/attacker",
                "swap",
                &format!("/d/{name}"),
                "/d/evil",
            ],
        )
    };
    let attacks = [swap("null"), swap("console")];
    // The names in /dev are not read: between two looks at one of them the attacker may put a
    // link there, which leads to the container's own view of the file alone.
    let look = "for f in /proc/kcore /proc/keys /proc/timer_list; do
            grep -qs core $f && echo ESCAPED $f
        done
        mount | grep -E '^proc on (/proc/(kcore|keys|timer_list)|/dev/.*) ' && echo ESCAPED; true";
    for round in 0..25 {
        let terminal = if round % 2 == 0 { "-t" } else { "-i" };
        let answer = env.gantry([
            "run", "--rm", terminal, "-v", "dev:/dev", "hostile", "sh", "-c", look,
        ]);
        assert!(!answer.stdout.contains("ESCAPED"), "{answer:?}");
    }
    for attack in attacks {
        harmless(attack);
    }
    assert_eq!(host("/proc/sys/kernel/core_pattern"), pattern);
}

/// CVE-2025-52881: what the runtime writes below /proc (labels, kernel parameters) goes to
/// another file than it thinks, by a mount of the attacker's. No mount goes there.
#[test]
fn root_cve_2025_52881_no_mount_below_proc() {
    let env = Hostile::new();
    env.write("files/x", "");
    let folder = env.work().join("files");
    let folder = folder.to_str().unwrap();
    for target in [
        "/proc",
        "/proc/self/attr",
        "/proc/sys/net",
        "/proc/sys",
        "/proc/1",
        "/proc/../proc/sys",
    ] {
        for source in [folder, "volume"] {
            let answer = env.gantry([
                "run",
                "--rm",
                "-v",
                &format!("{source}:{target}"),
                "hostile",
                "true",
            ]);
            assert!(
                matches!(answer.code, 125..=127),
                "{source} on {target}: {answer:?}"
            );
        }
    }
    // A link of the image's does not lead there either.
    for (name, link) in [
        ("a", "/proc/sys"),
        ("b", "../proc/sys"),
        ("c1", "/x/../proc/self"),
    ] {
        image(&env, name, &format!("RUN ln -s {link} /link"));
        let answer = env.gantry(["run", "--rm", "-v", "volume:/link/net", name, "true"]);
        assert!(matches!(answer.code, 125..=127), "{link}: {answer:?}");
    }
    // And a parameter arrives where it should, whatever /proc shows.
    let set = env.gantry([
        "run",
        "--rm",
        "--sysctl",
        "net.ipv4.ip_default_ttl=77",
        "--tmpfs",
        "/proc/scsi",
        "hostile",
        "cat",
        "/proc/sys/net/ipv4/ip_default_ttl",
    ]);
    assert!(set.code != 0 || set.stdout == "77\n", "{set:?}");
    assert_ne!(host("/proc/sys/net/ipv4/ip_default_ttl").trim(), "77");
}
