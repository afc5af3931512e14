//! What is seen of a container, and done to one that runs.

use gantry_engine::containers::{ExecSpec, LogOptions, RemoveOptions, StartOptions};
use gantry_model::container::NetworkMode;
use gantry_model::record::Status;
use gantry_model::{ContainerSpec, Fault, FaultKind};
use gantry_testkit::environment::wait_for;

use crate::house::{ALL, House, all_names, listen, mount};

pub(crate) fn exec(house: &House) {
    let containers = house.engine.containers();
    let spec = ContainerSpec {
        name: Some("box".into()),
        env: vec!["A=1".into()],
        ..house.spec("echo 'late:x:77:78::/late:' >> /etc/passwd; echo ready; sleep 1000")
    };
    let begun = house.begin(&spec);
    let run = |exec: ExecSpec| {
        let exec = ExecSpec {
            attach: Some(ALL),
            ..exec
        };
        listen(
            containers
                .exec("box", &exec)
                .unwrap_or_else(|error| panic!("{error}"))
                .session,
        )
    };
    let command = |text: &str| ["sh", "-c", text].map(str::to_owned).into();
    wait_for("it is ready", || {
        let mut reader = containers.logs("box", LogOptions::default()).unwrap();
        reader.next_line().unwrap().is_some()
    });
    let heard = run(ExecSpec {
        command: command("pwd; echo $A$FROM_IMAGE; exit 9"),
        ..ExecSpec::default()
    });
    assert_eq!(
        (heard.out.as_str(), heard.exit.code),
        ("/work/dir\n11\n", 9)
    );
    let heard = run(ExecSpec {
        command: command("id; pwd; echo $A $HOME"),
        user: Some("late".into()),
        working_dir: Some("/tmp".into()),
        env: vec!["A=2".into()],
        ..ExecSpec::default()
    });
    assert_eq!(heard.out, "uid=77(late) gid=78 groups=78\n/tmp\n2 /late\n");
    let error = containers
        .exec(
            "box",
            &ExecSpec {
                command: vec!["nonsense".into()],
                attach: Some(ALL),
                ..ExecSpec::default()
            },
        )
        .unwrap_err();
    assert_eq!(error.kind(), FaultKind::CommandNotFound);
    containers.kill("box", "KILL").unwrap();
    assert_eq!(listen(begun.session).exit.code, 137);
    let error = containers.exec(
        "box",
        &ExecSpec {
            command: vec!["id".into()],
            ..ExecSpec::default()
        },
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "container box is not running"
    );
}

pub(crate) fn logs(house: &House) {
    let containers = house.engine.containers();
    let script = "seq 5; echo err >&2; sleep 0.3; echo late";
    let spec = ContainerSpec {
        name: Some("log".into()),
        ..house.spec(script)
    };
    let mut begun = containers.run(&spec, StartOptions::default()).unwrap();
    begun.session.started().unwrap();
    let follow = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let mut reader = containers.logs("log", follow).unwrap();
    let mut all = String::new();
    while let Some(line) = reader.next_line().unwrap() {
        all.push_str(&line.text);
    }
    assert_eq!(all.len(), "1\n2\n3\n4\n5\nerr\nlate\n".len(), "{all:?}");
    assert!(all.ends_with("late\n"));
    let tail = LogOptions {
        tail: Some(1),
        ..LogOptions::default()
    };
    let mut reader = containers.logs("log", tail).unwrap();
    assert_eq!(reader.next_line().unwrap().unwrap().text, "late\n");
    assert!(reader.next_line().unwrap().is_none());
}

pub(crate) fn inspect(house: &House) {
    let spec = ContainerSpec {
        name: Some("seen".into()),
        ports: gantry_model::port::parse_published("127.0.0.1::80").unwrap(),
        network: NetworkMode::Bridge,
        mounts: vec![mount("vv:/v")],
        ..house.spec("sleep 1000")
    };
    let begun = house.begin(&spec);
    let inspected = house.engine.containers().inspect("seen", true).unwrap();
    let value = serde_json::to_value(&inspected).unwrap();
    assert_eq!(value["Id"], begun.id.as_str());
    assert_eq!(value["Name"], "/seen");
    assert_eq!(value["Path"], "sh");
    assert_eq!(value["State"]["Running"], true);
    assert_eq!(value["Config"]["Labels"]["a"], "1");
    assert_eq!(value["HostConfig"]["Binds"][0], "vv:/v");
    assert_eq!(value["Mounts"][0]["Type"], "volume");
    let binding = &value["NetworkSettings"]["Ports"]["80/tcp"][0];
    assert_eq!(binding["HostIp"], "127.0.0.1");
    assert!(
        binding["HostPort"]
            .as_str()
            .unwrap()
            .parse::<u16>()
            .unwrap()
            > 0
    );
    let address = value["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        .as_str()
        .unwrap();
    assert!(address.parse::<std::net::Ipv4Addr>().is_ok());
    let text = serde_json::to_string(&inspected).unwrap();
    assert!(text.starts_with("{\"Id\":"), "{text}");
    house.remove("seen");
    house.engine.volumes().remove("vv", false).unwrap();
}

pub(crate) fn pause_top_rename_prune(house: &House) {
    let containers = house.engine.containers();
    let spec = ContainerSpec {
        name: Some("one".into()),
        stop_timeout: Some(1000),
        ..house.spec("sleep 1000")
    };
    let _begun = house.begin(&spec);
    containers.pause("one").unwrap();
    assert_eq!(containers.look("one").unwrap().1.status, Status::Paused);
    assert!(containers.pause("one").is_err());
    containers.unpause("one").unwrap();
    let top = containers.top("one", &[]).unwrap();
    assert!(
        top.rows
            .iter()
            .any(|row| row[7] == "sleep 1000" || row[7].contains("sh -c")),
        "{top:?}"
    );
    containers.rename("one", "two").unwrap();
    assert!(containers.resolve("one").is_err());
    let error = containers
        .remove("two", RemoveOptions::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot remove container \"two\": container is running: stop the container before removing or force remove"
    );
    containers
        .create(&ContainerSpec {
            name: Some("idle".into()),
            ..house.spec("true")
        })
        .unwrap();
    let pruned = containers.prune(&|_| false).unwrap();
    assert_eq!(pruned.deleted.len(), 1);
    assert_eq!(all_names(house), ["two"]);
    // It does not wait for the thousand seconds that the container itself asks for.
    containers.restart("two", None, Some(0)).unwrap();
    assert_eq!(containers.look("two").unwrap().1.status, Status::Running);
}
