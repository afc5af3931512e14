//! From creation to removal.

use std::fs;
use std::os::unix::fs::symlink;

use gantry_engine::containers::{ContainerError, ExecSpec, StartOptions};
use gantry_model::record::Status;
use gantry_model::{ContainerSpec, Fault, FaultKind};
use gantry_supervisor::client::ClientError;
use gantry_testkit::environment::wait_for;

use crate::house::{ALL, House, all_names, kill, listen, mount};

pub(crate) fn run_as_the_image_says(house: &House) {
    let heard = house.run(&house.spec("pwd; env; hostname; id; cat /etc/hosts; ls -d /work/dir"));
    assert_eq!(heard.exit.code, 0, "{heard:?}");
    let lines: Vec<&str> = heard.out.lines().collect();
    assert_eq!(lines[0], "/work/dir");
    for line in [
        "FROM_IMAGE=1",
        "HOME=/root",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ] {
        assert!(lines.contains(&line), "{line} in {lines:?}");
    }
    let (record, state) = house
        .engine
        .containers()
        .look(&all_names(house)[0])
        .unwrap();
    assert!(lines.contains(&record.id.short()));
    assert!(
        heard.out.contains("uid=0(root) gid=0(root)"),
        "{}",
        heard.out
    );
    assert!(heard.out.contains("127.0.0.1\tlocalhost"));
    assert_eq!((state.status, state.exit_code), (Status::Exited, 0));
    let heard = house.run(&ContainerSpec {
        user: Some("web".into()),
        env: vec!["OWN=2".into(), "FROM_IMAGE".into()],
        working_dir: Some("/tmp".into()),
        hostname: Some("web1".into()),
        entrypoint: Some(vec!["sh".into(), "-c".into()]),
        command: vec!["id; pwd; hostname; echo $OWN:$FROM_IMAGE:$HOME; exit 42".into()],
        ..house.spec("")
    });
    assert_eq!(heard.exit.code, 42);
    assert_eq!(
        heard.out,
        "uid=33(web) gid=34(web) groups=34(web),44(log)\n/tmp\nweb1\n2::/srv\n"
    );
}

pub(crate) fn names_and_conflicts(house: &House) {
    let containers = house.engine.containers();
    let named = ContainerSpec {
        name: Some("web".into()),
        ..house.spec("true")
    };
    let created = containers.create(&named).unwrap();
    let error = containers.create(&named).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "Conflict. The container name \"/web\" is already in use by container \"{}\". You have to remove (or rename) that container to be able to reuse that name.",
            created.id
        )
    );
    assert_eq!(error.kind(), FaultKind::Conflict);
    for name in [
        "web",
        "/web",
        created.id.as_str(),
        created.id.short(),
        &created.id.as_str()[..4],
    ] {
        assert_eq!(containers.resolve(name).unwrap(), created.id, "{name}");
    }
    for name in ["nobody", "", "..", "/", "a/b", "zz"] {
        let error = containers.resolve(name).unwrap_err();
        assert_eq!(error.to_string(), format!("No such container: {name}"));
    }
    let bad = ContainerSpec {
        name: Some("a/b".into()),
        ..house.spec("true")
    };
    assert!(matches!(
        containers.create(&bad),
        Err(ContainerError::Name { .. })
    ));
    let missing = ContainerSpec {
        image: "nothing".into(),
        ..house.spec("true")
    };
    assert!(matches!(
        containers.create(&missing),
        Err(ContainerError::NoImage { .. })
    ));
    assert_eq!(all_names(house), ["web"]);
    // A name whose command was killed in the middle is free again.
    let ghost = "f".repeat(64);
    symlink(&ghost, house.folder.path().join("root/names/ghost")).unwrap();
    let spec = ContainerSpec {
        name: Some("ghost".into()),
        ..house.spec("true")
    };
    containers.create(&spec).unwrap();
    // Nobody named it.
    let anonymous = containers.create(&house.spec("true")).unwrap();
    assert!(anonymous.name.contains('_'), "{}", anonymous.name);
}

pub(crate) fn stays_and_starts_again(house: &House) {
    let containers = house.engine.containers();
    let spec = ContainerSpec {
        name: Some("keep".into()),
        ..house.spec("echo x >> /tmp/mark; cat /tmp/mark; while [ ! -e /tmp/go ]; do sleep 0.01; done; rm /tmp/go; exit 3")
    };
    let go_on = ExecSpec {
        command: ["touch", "/tmp/go"].map(str::to_owned).into(),
        ..ExecSpec::default()
    };
    let created = containers.create(&spec).unwrap();
    assert_eq!(containers.look("keep").unwrap().1.status, Status::Created);
    for round in 1..=3 {
        let mut begun = containers
            .start(
                "keep",
                StartOptions {
                    attach: Some(ALL),
                    window: None,
                },
            )
            .unwrap();
        begun.session.started().unwrap();
        assert!(matches!(
            containers.start("keep", StartOptions::default()),
            Err(ContainerError::AlreadyRunning { .. })
        ));
        containers.exec("keep", &go_on).unwrap();
        let heard = listen(begun.session);
        assert_eq!(
            (heard.out.as_str(), heard.exit.code),
            ("x\n".repeat(round).as_str(), 3)
        );
    }
    assert_eq!(containers.wait("keep").unwrap().code, 3);
    assert_eq!(containers.resolve("keep").unwrap(), created.id);
    let error = containers.kill("keep", "TERM").unwrap_err();
    assert_eq!(error.to_string(), "container keep is not running");
    containers.stop("keep", None, None).unwrap();
}

pub(crate) fn cannot_start(house: &House) {
    let containers = house.engine.containers();
    let spec = ContainerSpec {
        name: Some("bad".into()),
        command: vec!["nonsense".into()],
        ..house.spec("")
    };
    let mut begun = containers.run(&spec, StartOptions::default()).unwrap();
    let error = begun.session.started().unwrap_err();
    assert!(
        matches!(&error, ClientError::Failed(failure) if failure.code == 127),
        "{error:?}"
    );
    assert_eq!(error.kind(), FaultKind::CommandNotFound);
    wait_for("the state is written", || {
        containers.look("bad").unwrap().1.exit_code == 127
    });
    assert_eq!(containers.look("bad").unwrap().1.status, Status::Created);
    let spec = ContainerSpec {
        user: Some("nobody".into()),
        ..house.spec("true")
    };
    let error = containers.run(&spec, StartOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unable to find user nobody: no matching entries in passwd file"
    );
    let spec = ContainerSpec {
        auto_remove: true,
        ..ContainerSpec {
            name: Some("gone".into()),
            ..spec
        }
    };
    let spec = ContainerSpec {
        user: None,
        command: vec!["nonsense".into()],
        ..spec
    };
    let mut begun = containers.run(&spec, StartOptions::default()).unwrap();
    assert!(begun.session.started().is_err());
    wait_for("it is gone", || containers.resolve("gone").is_err());
}

pub(crate) fn killed_supervisor(house: &House) {
    let containers = house.engine.containers();
    let spec = ContainerSpec {
        name: Some("orphan".into()),
        ..house.spec("sleep 1000")
    };
    let begun = house.begin(&spec);
    let (record, state) = containers.look("orphan").unwrap();
    kill(state.supervisor_pid.unwrap());
    wait_for("its process is gone", || {
        fs::read_to_string(format!("/proc/{}/stat", state.pid.unwrap()))
            .map_or(true, |stat| stat.contains(") Z "))
    });
    drop(begun);
    wait_for("it is known to have ended", || {
        let state = containers.look("orphan").unwrap().1;
        (state.status, state.exit_code) == (Status::Exited, 137)
    });
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap() {
        let left = hierarchy
            .unwrap()
            .path()
            .join("gantry")
            .join(record.id.as_str());
        assert!(!left.exists(), "{}", left.display());
    }
    let mut begun = containers.start("orphan", StartOptions::default()).unwrap();
    begun.session.started().unwrap();
    // One that was to be removed at its end is.
    let spec = ContainerSpec {
        name: Some("brief".into()),
        auto_remove: true,
        ..house.spec("sleep 1000")
    };
    let begun = house.begin(&spec);
    kill(containers.look("brief").unwrap().1.supervisor_pid.unwrap());
    drop(begun);
    wait_for("it is removed", || containers.look("brief").is_err());
}

pub(crate) fn removal_at_the_end(house: &House) {
    let spec = ContainerSpec {
        name: Some("once".into()),
        auto_remove: true,
        mounts: vec![mount("/cache")],
        ..house.spec("echo x > /cache/x; touch /tmp/y")
    };
    for _ in 0..3 {
        let heard = house.run(&spec);
        assert!(heard.exit.removed, "{heard:?}");
        assert!(all_names(house).is_empty());
        assert!(house.engine.volumes().list().unwrap().is_empty());
    }
}
