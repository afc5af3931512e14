//! What a container changed: shown, exported, and made an image of.

use std::process::Command;

use gantry_testkit::TestEnv;
use gantry_testkit::environment::answer;

in_both_modes! {
    changes_of_running_and_stopped_containers,
    exports_hold_the_containers_files_alone,
    commits_make_images_with_what_changed,
}

const SCRIPT: &str = "rm /bin/vi; echo x > /new; mkdir -p /dir/sub; echo y > /dir/sub/f; \
                      rm -rf /home; mkdir /home; echo z > /home/h; chmod 711 /root; \
                      ln /new /same; echo v > /vol/v; echo ready; exec sleep 1000";

fn running(env: &TestEnv) {
    let make = [
        "run", "-d", "--name", "ct", "-v", "/vol", "-e", "OWN=1", "-l", "x=y",
    ];
    env.gantry(make.into_iter().chain(["busybox", "sh", "-c", SCRIPT]))
        .ok();
    gantry_testkit::environment::wait_for("the files", || {
        env.gantry(["logs", "ct"]).stdout.contains("ready")
    });
}

const CHANGES: &str = "C /bin\nD /bin/vi\nA /dir\nA /dir/sub\nA /dir/sub/f\nC /home\nA /home/h\nA /new\nC /root\nA /same\nA /vol";

fn changes_of_running_and_stopped_containers(env: TestEnv) {
    env.gantry(["create", "--name", "fresh", "busybox"]).ok();
    assert_eq!(env.gantry(["diff", "fresh"]).ok(), "");
    running(&env);
    assert_eq!(env.gantry(["diff", "ct"]).ok(), CHANGES);
    env.gantry(["stop", "-t", "0", "ct"]).ok();
    assert_eq!(env.gantry(["container", "diff", "ct"]).ok(), CHANGES);
    let error = env.gantry(["diff", "nobody"]).fails(1);
    assert!(error.contains("No such container: nobody"), "{error}");
}

fn exports_hold_the_containers_files_alone(env: TestEnv) {
    running(&env);
    let listing = || {
        let tar = env.work().join("out.tar");
        env.gantry(["export", "-o", tar.to_str().unwrap(), "ct"])
            .ok();
        answer(Command::new("tar").arg("tf").arg(&tar)).ok()
    };
    let live = listing();
    let names: Vec<&str> = live.lines().collect();
    for there in ["bin/sh", "dir/sub/f", "vol/", "home/h", "etc/passwd"] {
        assert!(names.contains(&there), "{there}: {live}");
    }
    for absent in ["bin/vi", "vol/v", "proc/1/", "sys/kernel/", "dev/null"] {
        assert!(!names.contains(&absent), "{absent}: {live}");
    }
    env.gantry(["stop", "-t", "0", "ct"]).ok();
    assert_eq!(listing(), live);
    // What is exported can be imported.
    let tar = env.work().join("out.tar");
    env.gantry(["import", tar.to_str().unwrap(), "back"]).ok();
    assert_eq!(
        env.gantry(["run", "--rm", "back", "cat", "/dir/sub/f"])
            .ok(),
        "y"
    );
}

fn commits_make_images_with_what_changed(env: TestEnv) {
    running(&env);
    let id = env
        .gantry([
            "commit",
            "-a",
            "me",
            "-m",
            "remark",
            "-c",
            "CMD [\"cat\", \"/new\"]",
            "-c",
            "ENV MORE=2",
            "-c",
            "EXPOSE 80",
            "-c",
            "LABEL l=1",
            "-c",
            "WORKDIR /dir",
            "-c",
            "VOLUME /data",
            "-c",
            "ONBUILD RUN x",
            "-c",
            "USER 5",
            "ct",
            "made:1",
        ])
        .ok();
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(
        env.gantry(["inspect", "-f", "{{.State.Status}}", "ct"])
            .ok(),
        "running"
    );
    let image = env.json(["image", "inspect", "made:1"]);
    let config = &image[0]["Config"];
    assert_eq!(config["Cmd"], serde_json::json!(["cat", "/new"]));
    assert_eq!(config["User"], "5");
    assert_eq!(config["WorkingDir"], "/dir");
    assert_eq!(config["Labels"], serde_json::json!({"l": "1", "x": "y"}));
    let env_of = config["Env"].to_string();
    assert!(
        env_of.contains("OWN=1") && env_of.contains("MORE=2"),
        "{env_of}"
    );
    assert_eq!(image[0]["Author"], "me");
    assert_eq!(image[0]["RootFS"]["Layers"].as_array().unwrap().len(), 2);
    let history = env
        .gantry([
            "history",
            "--no-trunc",
            "--format",
            "{{.CreatedBy}}|{{.Comment}}",
            "made:1",
        ])
        .ok();
    assert!(history.starts_with("sh -c rm /bin/vi"), "{history}");
    assert!(
        history.lines().next().unwrap().ends_with("|remark"),
        "{history}"
    );
    assert_eq!(env.gantry(["run", "--rm", "made:1"]).ok(), "x");
    let look = "test ! -e /bin/vi && ls /home && stat -c %a /root && stat -c %h /new && ls -A /vol /etc/hosts";
    assert_eq!(
        env.gantry(["run", "--rm", "-u", "0", "made:1", "sh", "-c", look])
            .ok(),
        "h\n711\n2\n/etc/hosts\n\n/vol:"
    );
    // A new container of it has changed nothing.
    env.gantry(["create", "--name", "fresh", "made:1"]).ok();
    assert_eq!(env.gantry(["diff", "fresh"]).ok(), "");
    env.gantry(["commit", "fresh", "same:1"]).ok();
    let same = env.json(["image", "inspect", "same:1"]);
    assert_eq!(
        same[0]["RootFS"], image[0]["RootFS"],
        "nothing changed: no layer"
    );
    let error = env.gantry(["commit", "-c", "RUN x", "ct"]).fails(1);
    assert!(
        error.contains("RUN is not a valid change command"),
        "{error}"
    );
    env.gantry(["commit", "nobody"]).fails(1);
    env.gantry(["commit", "--pause=false", "ct"]).ok();
    env.gantry(["system", "check"]).ok();
}
