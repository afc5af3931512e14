//! Images and containers that try to take more than is theirs, and commands that race.

use std::process::Command;

use gantry_testkit::TestEnv;

use crate::{GANTRY, busybox};

/// An image whose root has one more file, of this size, at this path.
fn with_file(env: &TestEnv, name: &str, path: &str, bytes: u64) {
    let folder = env.work().join(name);
    let file = folder.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::File::create(&file)
        .unwrap()
        .set_len(bytes)
        .unwrap();
    let dockerfile = format!("FROM busybox\nCOPY {path} /{path}\n");
    std::fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
    env.gantry(["build", "-q", "-t", name, folder.to_str().unwrap()])
        .ok();
}

#[test]
fn root_a_huge_passwd_costs_no_memory() {
    let env = TestEnv::with_busybox(GANTRY);
    with_file(&env, "huge", "etc/passwd", 32 << 20);
    // By number no name is needed; by name it is told that there is none to be found.
    let limited = |args: &str| {
        let script = format!("ulimit -v 400000; exec \"$0\" {args}");
        let output = Command::new("sh")
            .args(["-c", &script, GANTRY])
            .env("GANTRY_ROOT", env.root())
            .env("GANTRY_RUN", env.run_root())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (code, said) = limited("run --rm -u 1000 huge id -u");
    assert!(
        (code, said.as_str()) == (0, "1000\n") || (code == 125 && said.contains("/etc/passwd")),
        "{code} {said}"
    );
    let (code, said) = limited("run --rm -u somebody huge id -u");
    assert!(
        code == 125 && (said.contains("somebody") || said.contains("passwd")),
        "{code} {said}"
    );
}

#[test]
fn root_a_fork_bomb_stays_below_its_limit_and_ends_with_its_container() {
    let env = busybox();
    env.gantry([
        "run",
        "-d",
        "--name",
        "bomb",
        "--pids-limit",
        "60",
        "busybox",
        "sh",
        "-c",
        // A shell that cannot fork ends, so the first process forks once, before the bomb is
        // there, and what fills the limit and stays begins before the bomb does.
        "b() { b | b & }; \
         ((while :; do sleep 1000 & done) & while :; do b; done) 2>/dev/null & \
         exec sleep 1000",
    ])
    .ok();
    let count = |format| {
        env.gantry(["stats", "--no-stream", "--format", format, "bomb"])
            .ok()
    };
    let pids: u64 = count("{{.PIDs}}").parse().unwrap();
    assert!((1..=60).contains(&pids), "{pids}");
    env.gantry(["rm", "-f", "bomb"]).ok();
}

#[test]
fn root_a_flood_of_output_costs_bounded_memory_and_disk() {
    let env = busybox();
    env.configure("[log]\nmax-size = \"1m\"\nmax-files = 2\n");
    let id = env
        .gantry([
            "run",
            "-d",
            "--name",
            "flood",
            "busybox",
            "sh",
            "-c",
            "head -c 9000000 /dev/zero | tr '\\0' 'x'; yes | head -c 3000000; echo; echo last",
        ])
        .ok();
    assert_eq!(env.gantry(["wait", "flood"]).ok(), "0");
    assert_eq!(env.gantry(["logs", "-n", "1", "flood"]).ok(), "last");
    let log = env.root().join("containers").join(&id).join("log");
    let bytes: u64 = std::fs::read_dir(log)
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 4 << 20, "{bytes} bytes of log");
}

#[test]
fn root_racing_commands_agree_about_one_container() {
    let env = busybox();
    std::thread::scope(|scope| {
        let work: [&[&str]; 5] = [
            &[
                "run",
                "-d",
                "--name",
                "one",
                "-v",
                "/anonymous",
                "busybox",
                "sleep",
                "0.01",
            ],
            &["rm", "-f", "-v", "one"],
            &["container", "prune", "-f"],
            &["ps", "-a"],
            &["start", "one"],
        ];
        for words in work {
            let env = &env;
            scope.spawn(move || {
                for _ in 0..12 {
                    let answer = env.gantry(words);
                    let said = answer.stderr.to_lowercase();
                    // Each may find the container in any state; none may find something broken.
                    let broken = [
                        "panicked",
                        "os error",
                        "cannot read",
                        "cannot write",
                        "damaged",
                    ];
                    assert!(
                        !broken.iter().any(|word| said.contains(word)),
                        "{words:?}: {answer:?}"
                    );
                }
            });
        }
    });
    env.gantry(["rm", "-f", "-v", "one"]);
    env.gantry(["container", "prune", "-f"]).ok();
    assert_eq!(env.gantry(["ps", "-aq"]).ok(), "");
    env.gantry(["volume", "prune", "-f"]).ok();
    assert_eq!(env.gantry(["volume", "ls", "-q"]).ok(), "");
    env.gantry(["run", "--rm", "--name", "one", "busybox", "true"])
        .ok();
    env.gantry(["system", "check", "--quick"]).ok();
}

#[test]
fn root_no_word_begins_a_line_of_its_own_in_a_file_of_the_container() {
    let env = busybox();
    for (flag, word) in [
        ("--hostname", "a\n10.0.0.1 registry"),
        ("--hostname", "a\u{1b}[2J"),
        ("--domainname", "a\n10.0.0.1 registry"),
        ("--dns-option", "a\nnameserver 10.0.0.1"),
        ("--dns-search", "a\nnameserver"),
        ("--add-host", "a\n10.0.0.1 registry:10.0.0.2"),
    ] {
        let said = env.gantry(["create", flag, word, "busybox", "true"]);
        assert_ne!(said.code, 0, "{flag} {word:?}");
        assert!(said.stderr.contains(flag), "{flag}: {said:?}");
    }
    let long = "d".repeat(65);
    let said = env.gantry(["create", "--domainname", &long, "busybox", "true"]);
    assert!(said.stderr.contains("domain name"), "{said:?}");
    assert_eq!(env.gantry(["ps", "-aq"]).ok(), "");
}

#[test]
fn root_an_image_whose_volume_is_its_root_is_refused() {
    let env = busybox();
    env.gantry(["create", "--name", "maker", "busybox", "true"])
        .ok();
    env.gantry(["commit", "-c", "VOLUME /", "maker", "whole"])
        .ok();
    let refused = env.gantry(["run", "--rm", "whole", "true"]).fails(125);
    assert!(refused.contains("volume of the image"), "{refused}");
    assert_eq!(env.gantry(["volume", "ls", "-q"]).ok(), "");
}

#[test]
fn root_what_is_not_there_to_begin_with_has_dockers_codes() {
    let env = busybox();
    for (code, flags) in [
        (127, ["--device", "/nosuch"]),
        (127, ["--cidfile", "/nosuch/id"]),
        (125, ["--device", "/etc/hostname"]),
    ] {
        let words = ["run", "--rm", flags[0], flags[1], "busybox", "true"];
        env.gantry(words).fails(code);
    }
    let create = ["create", "--cidfile", "/nosuch/id", "busybox", "true"];
    env.gantry(create).fails(1);
}
