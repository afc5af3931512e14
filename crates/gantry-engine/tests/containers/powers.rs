//! What a container is given: volumes, mounts, networks, limits.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use gantry_engine::containers::{RemoveOptions, StartOptions};
use gantry_model::container::{NetworkMode, Resources};
use gantry_model::mount::MountSpec;
use gantry_model::{ContainerSpec, Fault, FaultKind};

use crate::house::{House, all_names, mount};

pub(crate) fn volumes(house: &House) {
    let (containers, volumes) = (house.engine.containers(), house.engine.volumes());
    let with = |mounts: &[&str], script: &str| ContainerSpec {
        mounts: mounts.iter().map(|text| mount(text)).collect(),
        ..house.spec(script)
    };
    let script = "cat /srv/data/file; stat -c ' %u %g' /srv/data; echo more > /srv/data/more";
    let heard = house.run(&with(&["data:/srv/data"], script));
    assert_eq!(heard.out, "from the image 33 34\n", "{heard:?}");
    let heard = house.run(&with(
        &["data:/other:ro"],
        "cat /other/more; touch /other/x",
    ));
    assert_eq!(heard.out, "more\n");
    assert!(heard.err.contains("Read-only"), "{}", heard.err);
    let volume = volumes.inspect("data").unwrap();
    assert_eq!(fs::metadata(&volume.mountpoint).unwrap().uid(), 33);
    let error = volumes.remove("data", false).unwrap_err();
    assert_eq!(error.kind(), FaultKind::Conflict);
    assert!(
        error
            .to_string()
            .starts_with("remove data: volume is in use - ["),
        "{error}"
    );
    assert!(volumes.remove("nothing", false).is_err());
    volumes.remove("nothing", true).unwrap();
    // Anonymous ones go with their container when that is asked for.
    let created = containers.create(&with(&["/cache"], "true")).unwrap();
    assert_eq!(volumes.list().unwrap().len(), 2);
    containers
        .remove(
            &created.name,
            RemoveOptions {
                force: false,
                volumes: true,
            },
        )
        .unwrap();
    assert_eq!(volumes.list().unwrap().len(), 1);
    for name in all_names(house) {
        containers
            .remove(
                &name,
                RemoveOptions {
                    force: false,
                    volumes: true,
                },
            )
            .unwrap();
    }
    assert_eq!(volumes.list().unwrap().len(), 1, "named ones stay");
    assert!(volumes.prune(false, &|_| false).unwrap().deleted.is_empty());
    assert_eq!(volumes.prune(true, &|_| false).unwrap().deleted, ["data"]);
    let error = volumes
        .create(Some("a/b"), "", &BTreeMap::new(), &BTreeMap::new())
        .unwrap_err();
    assert_eq!(error.kind(), FaultKind::Invalid);
}

pub(crate) fn mounts(house: &House) {
    let host = house.folder.path().join("host");
    let heard = house.run(&ContainerSpec {
        mounts: vec![
            mount(&format!("{}:/bind", host.display())),
            MountSpec::parse_tmpfs("/scratch:size=1m,mode=700").unwrap(),
        ],
        read_only: true,
        ..house.spec("echo hi > /bind/x; stat -c %a /scratch; touch /scratch/y && touch /z")
    });
    assert_eq!(heard.out, "700\n");
    assert!(
        heard.err.contains("/z: Read-only file system"),
        "{}",
        heard.err
    );
    assert_eq!(fs::read_to_string(host.join("x")).unwrap(), "hi\n");
    let missing = ContainerSpec {
        mounts: vec![MountSpec::parse_mount("type=bind,src=/no/such/place,dst=/x").unwrap()],
        ..house.spec("true")
    };
    let error = house.engine.containers().create(&missing).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid mount config for type \"bind\": bind source path does not exist: /no/such/place"
    );
}

pub(crate) fn network_modes(house: &House) {
    let containers = house.engine.containers();
    let heard = house.run(&ContainerSpec {
        network: NetworkMode::Host,
        ..house.spec("hostname; ls -l /proc/self/ns/net")
    });
    let host = fs::read_link("/proc/self/ns/net").unwrap();
    assert!(heard.out.contains(host.to_str().unwrap()), "{}", heard.out);
    let first = house.begin(&ContainerSpec {
        name: Some("first".into()),
        network: NetworkMode::Bridge,
        add_hosts: vec!["gate:host-gateway".into()],
        ..house.spec("sleep 1000")
    });
    let network = containers.look("first").unwrap().1.network.unwrap();
    let heard = house.run(&ContainerSpec {
        network: NetworkMode::Container("first".into()),
        ..house.spec("ip addr show eth0; cat /etc/hosts; cat /etc/resolv.conf")
    });
    assert!(heard.out.contains(&network.ip_address), "{heard:?}");
    assert!(
        heard.out.contains(&format!("{}\tgate\n", network.gateway)),
        "{heard:?}"
    );
    drop(first);
    house.remove("first");
    let spec = ContainerSpec {
        network: NetworkMode::Container("first".into()),
        ..house.spec("true")
    };
    assert!(containers.run(&spec, StartOptions::default()).is_err());
}

pub(crate) fn limits_and_powers(house: &House) {
    let heard = house.run(&ContainerSpec {
        resources: Resources { memory: Some(64 << 20), pids_limit: Some(50), ..Resources::default() },
        ulimits: vec!["nofile=100:200".parse().unwrap()],
        sysctls: [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into(),
        cap_drop: vec!["ALL".into()],
        ..house.spec("ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward; grep CapBnd /proc/self/status; grep -c Seccomp /proc/self/status")
    });
    assert!(
        heard
            .out
            .starts_with("100\n200\n1\nCapBnd:\t0000000000000000\n"),
        "{heard:?}"
    );
    let heard = house.run(&ContainerSpec {
        resources: Resources { memory: Some(16 << 20), memory_swap: Some(16 << 20), ..Resources::default() },
        ..house.spec("x=; i=0; while [ $i -lt 30 ]; do x=\"$x$(seq 200000)\"; i=$((i+1)); done; echo survived")
    });
    assert!(
        heard.exit.oom_killed && heard.exit.code == 137,
        "{:?}",
        heard.exit
    );
    let heard = house.run(&ContainerSpec {
        privileged: true,
        ..house.spec("mount -t tmpfs x /var && touch /var/ok && ls /var; ls /dev/null; grep Seccomp: /proc/self/status")
    });
    assert_eq!(heard.out, "ok\n/dev/null\nSeccomp:\t0\n", "{heard:?}");
    let error = house
        .engine
        .containers()
        .create(&ContainerSpec {
            cap_add: vec!["X".into()],
            ..house.spec("true")
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid CapAdd: unknown capability: \"X\""
    );
}
