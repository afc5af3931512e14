use clap::{Args, FromArgMatches};

use super::*;
use crate::cli::parse::follow_pflag;

fn environment(name: &str) -> Option<String> {
    (name == "HOME").then(|| "/root".to_owned())
}

fn flags(words: &[&str]) -> ContainerFlags {
    let clap = ContainerFlags::augment_args(
        clap::Command::new("run")
            .no_binary_name(true)
            .disable_help_flag(true)
            .args_override_self(true),
    )
    .mut_args(follow_pflag);
    let mut matches = clap.try_get_matches_from(words).unwrap();
    ContainerFlags::from_arg_matches_mut(&mut matches).unwrap()
}

fn spec(words: &[&str]) -> Result<ContainerSpec, Failure> {
    let caller = Caller {
        folder: &|| Ok("/home/me".into()),
        environment: &environment,
    };
    container(&flags(words), "busybox", &["sh".to_owned()], caller)
}

fn refusal(words: &[&str]) -> String {
    match spec(words) {
        Ok(_) => "accepted".to_owned(),
        Err(Failure::Fault(report)) => report.message,
        Err(other) => format!("{other:?}"),
    }
}

#[test]
fn nothing_said_is_the_default() {
    let spec = spec(&[]).unwrap();
    assert_eq!(
        spec,
        ContainerSpec {
            image: "busybox".into(),
            command: vec!["sh".into()],
            ..ContainerSpec::default()
        }
    );
}

#[test]
fn every_flag_reaches_the_spec() {
    let words = "-it --rm --name web -e A=1 -e HOME -e GONE -w /srv -u 1:2 --entrypoint /bin/x \
        -v ./data:/data -v cache:/cache:ro --tmpfs /t:size=1m --mount type=bind,src=/etc,dst=/e \
        -p 8080:80 -p 127.0.0.1:53:53/udp --expose 90-91 -P --network host -h box --domainname example \
        --read-only -m 64m --memory-swap -1 --memory-reservation 32m --cpus 1.5 -c 512 \
        --cpuset-cpus 0-1 --pids-limit 100 --cap-add cap_net_admin --cap-drop ALL --privileged \
        --security-opt no-new-privileges --ulimit nofile=10:20 --init --label a=b --label c \
        --stop-signal INT --stop-timeout 3 --add-host db:10.0.0.1 --dns 1.1.1.1 --dns-search . \
        --dns-option ndots:1 --device /dev/fuse --group-add audio --shm-size 1g --sysctl net.x=1 \
        --annotation k=v --pid host --ipc private --uts host --cgroupns private --cgroup-parent /p \
        --oom-score-adj -5 --oom-kill-disable --blkio-weight 300 --platform linux/amd64 \
        --blkio-weight-device /dev/sda:200 --device-read-bps /dev/sda:1mb \
        --device-write-bps /dev/sda:2mb --device-read-iops /dev/sda:3 --device-write-iops /dev/sda:4 \
        --cpu-rt-period 1000 --cpu-rt-runtime 500 --memory-swappiness 0 --kernel-memory 5m \
        --runtime gantry --volume-driver local --volumes-from db:ro --isolation default --storage-opt size=1g \
        --gpus all --link db:pg --link-local-ip 169.254.1.2 --mac-address 02-42-AC-11-00-99 \
        --health-cmd true --health-interval 5s --health-retries 2";
    let words: Vec<&str> = words.split_whitespace().collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&spec(&words).unwrap()).unwrap());
}

#[test]
fn booleans_follow_pflag() {
    assert!(flags(&["--rm=true"]).rm);
    assert!(!flags(&["--rm=false"]).rm);
    assert!(!flags(&["--rm", "--rm=0"]).rm);
    assert!(flags(&["-it"]).tty);
    assert!(flags(&["-i=true"]).interactive);
}

#[test]
fn values_may_look_like_flags_and_the_last_one_wins() {
    assert_eq!(
        flags(&["--entrypoint", "-x"]).entrypoint.as_deref(),
        Some("-x")
    );
    assert_eq!(
        flags(&["-e", "-A=1", "-eB=2", "-e=C=3"]).env,
        ["-A=1", "B=2", "C=3"]
    );
    assert_eq!(
        flags(&["--name", "a", "--name=b"]).name.as_deref(),
        Some("b")
    );
}

#[test]
fn an_empty_entry_point_clears_the_images() {
    assert_eq!(
        spec(&["--entrypoint", ""]).unwrap().entrypoint,
        Some(vec![])
    );
    assert_eq!(
        spec(&["--entrypoint=sh"]).unwrap().entrypoint,
        Some(vec!["sh".to_owned()])
    );
}

#[test]
fn health_checks_can_be_turned_off() {
    assert_eq!(
        spec(&["--no-healthcheck"])
            .unwrap()
            .healthcheck
            .unwrap()
            .test,
        ["NONE"]
    );
    assert!(refusal(&["--no-healthcheck", "--health-cmd", "x"]).contains("conflicts"));
}

#[test]
fn wrong_values_are_named() {
    for (words, want) in [
        (
            &["-m", "abc"][..],
            r#"invalid argument "abc" for "-m, --memory" flag: invalid size: "abc""#,
        ),
        (
            &["--restart", "foo"],
            r#"invalid argument "foo" for "--restart" flag: invalid restart policy "foo""#,
        ),
        (
            &["-p", "x:80"],
            r#"invalid argument "x:80" for "-p, --publish" flag: invalid hostPort: "x""#,
        ),
        (
            &["--network", "mine"],
            r#"invalid argument "mine" for "--network" flag: network "mine" not found"#,
        ),
        (
            &["--rm", "--restart", "always"],
            "conflicting options: cannot specify both --restart and --rm",
        ),
        (
            &["--log-driver", "none", "--log-opt", "tag=x"],
            "invalid logging opts for driver none",
        ),
        (
            &["--memory-swappiness", "101"],
            "invalid value: 101. Valid memory swappiness range is 0-100",
        ),
        (
            &["--device-read-bps", "/dev/x"],
            r#"invalid argument "/dev/x" for "--device-read-bps" flag: bad format: /dev/x"#,
        ),
        (&["--userns", "private"], "--userns: invalid USER mode"),
        (&["--pid", "container:"], "--pid: invalid PID mode"),
        (&["--uts", "mine"], "--uts: invalid UTS mode"),
        (
            &["-l", "=x"],
            r#"invalid argument "=x" for "-l, --label" flag: invalid label '=x': empty name"#,
        ),
        (&["--isolation", "hyperv"], "invalid isolation (hyperv)"),
        (&["--storage-opt", "size"], "invalid storage option"),
        (&["--pull", "often"], "invalid pull option: 'often'"),
        (
            &["--cpus", "1", "--cpu-quota", "5"],
            "conflicting options: --cpus",
        ),
        (
            &["--add-host", "x"],
            r#"invalid argument "x" for "--add-host" flag: bad format"#,
        ),
        (
            &["--network", "host", "--network", "none"],
            "network \"none\" cannot be added",
        ),
        (
            &["--sysctl", "x"],
            r#"invalid argument "x" for "--sysctl" flag: expected NAME=VALUE"#,
        ),
    ] {
        let got = refusal(words);
        assert!(got.starts_with(want), "{words:?}: {got}");
    }
}
