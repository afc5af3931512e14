//! Attacks on `cp`, by a container that has the other end of the copy in its hands.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use super::{Hostile, begun, harmless, image};

/// CVE-2018-15664: a running container exchanges a directory for a link that leads to the host's
/// root, while a copy goes in or out through it.
#[test]
fn root_cve_2018_15664_a_copy_does_not_leave_by_a_link() {
    let env = Hostile::new();
    env.write("secret/key", "of the host");
    let victim = env.work().join("secret");
    let key = victim.join("key");
    env.gantry(["run", "-d", "--name", "c1", "hostile", "sleep", "1000"])
        .ok();
    // What a look-up that left the container would find is the host's own path.
    let inside = victim.to_str().unwrap();
    env.gantry([
        "exec",
        "c1",
        "sh",
        "-c",
        &format!("mkdir -p /place{inside} && echo inside > /place{inside}/key && ln -s / /link"),
    ])
    .ok();
    let attack = begun(
        &env,
        &["exec", "-i", "c1", "/attacker", "swap", "/place", "/link"],
    );
    env.write("mine", "from the attacker");
    for round in 0..40 {
        let out = env.work().join(format!("out{round}"));
        env.gantry([
            "cp",
            &format!("c1:/place{inside}/key"),
            out.to_str().unwrap(),
        ]);
        let got = std::fs::read_to_string(&out).unwrap_or_default();
        assert!(!got.contains("of the host"), "{got}");
        env.gantry(["cp", "mine", &format!("c1:/place{inside}/key")]);
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "of the host");
    }
    harmless(attack);
}

/// CVE-2019-14271: the helper of `cp` loads libraries of the container. Nothing of the container
/// is loaded or executed here, and a program that a copy brings out is not made executable by
/// anybody.
#[test]
fn root_cve_2019_14271_nothing_of_the_container_is_loaded() {
    let env = Hostile::new();
    let mark = env.work().join("loaded");
    env.write(
        "nss.c",
        format!(
            "#include <fcntl.h>\n__attribute__((constructor)) static void run(void) {{ open({:?}, O_CREAT | O_WRONLY, 0600); }}\n",
            mark
        ),
    );
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "nss.so", "nss.c"])
        .current_dir(env.work())
        .status()
        .unwrap();
    assert!(compiled.success());
    let folders = "/lib /lib64 /usr/lib /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu";
    image(
        &env,
        "nss",
        &format!(
            "COPY nss.so /nss.so\nRUN for d in {folders}; do mkdir -p $d; for n in files dns compat systemd; do cp /nss.so $d/libnss_$n.so.2; done; done; \
             for n in c.so.6 nss_files.so; do cp /nss.so /lib/$n; done; printf 'passwd: files\\nhosts: files dns\\n' > /etc/nsswitch.conf; printf '/nss.so\\n' > /etc/ld.so.preload"
        ),
    );
    env.gantry(["run", "-d", "--name", "c1", "nss", "sleep", "1000"])
        .ok();
    env.gantry(["create", "--name", "stopped", "nss"]).ok();
    for container in ["c1", "stopped"] {
        env.gantry(["cp", &format!("{container}:/etc/passwd"), "out"])
            .ok();
        env.gantry(["cp", "-a", "out", &format!("{container}:/tmp/in")])
            .ok();
    }
    assert!(!mark.exists());
}

/// CVE-2021-41089: a link in the way has the permissions of files of the host changed.
#[test]
fn root_cve_2021_41089_permissions_of_the_host_stay() {
    let env = Hostile::new();
    let file = env.write("kept/file", "x");
    let folder = file.parent().unwrap().to_path_buf();
    let mode = |path: &std::path::Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&file, 0o600);
    mode(&folder, 0o700);
    for name in ["c1", "stopped"] {
        env.gantry(["create", "--name", name, "hostile", "sleep", "1000"])
            .ok();
    }
    env.gantry(["start", "c1"]).ok();
    env.write("in/deeper/file", "attacker");
    mode(&env.work().join("in"), 0o777);
    mode(&env.work().join("in/deeper/file"), 0o4777);
    symlink(&folder, env.work().join("link")).unwrap();
    for name in ["c1", "stopped"] {
        // The same path inside is a link to the folder of the host's.
        env.gantry(["cp", "link", &format!("{name}:/deeper")]).ok();
        for target in ["/", "/deeper", "/deeper/"] {
            env.gantry(["cp", "in/.", &format!("{name}:{target}")]);
            env.gantry(["cp", "-a", "in/deeper", &format!("{name}:{target}")]);
        }
    }
    let now =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((now(&file), now(&folder)), (0o600, 0o700));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "x");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

/// A program that the container's root marked runs as the owner of the copy, who is root here,
/// for everybody of the host.
#[test]
fn root_what_is_copied_out_gives_nobody_powers() {
    let env = Hostile::new();
    let make = "mkdir /d; for f in /d/program /program; do echo x >$f; chmod 6755 $f; done";
    env.gantry(["run", "--name", "c1", "hostile", "sh", "-c", make])
        .ok();
    for (source, program) in [("/d", "out/program"), ("/program", "single")] {
        let out = program.split('/').next().unwrap();
        env.gantry(["cp", "-a", &format!("c1:{source}"), out]).ok();
        let copy = std::fs::metadata(env.work().join(program)).unwrap();
        assert_eq!(copy.permissions().mode() & 0o7777, 0o755, "{source}");
    }
    // As an archive it is what it is.
    let archive = env.gantry(["cp", "c1:/program", "-"]).ok();
    assert!(archive.contains("0006755"), "{archive}");
}
