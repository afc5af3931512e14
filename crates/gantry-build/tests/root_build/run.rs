//! `RUN`.

use std::collections::BTreeMap;
use std::fs;

use gantry_build::{BuildError, Builder, Reporter, build};
use gantry_testkit::environment::wait_for;

use crate::Test;
use crate::environment::{Environment, Said, explain};

pub(crate) const TESTS: &[Test] = &[
    ("root_run_is_lent_authorities", authorities),
    ("root_run_writes_a_layer", writes_a_layer),
    ("root_run_leaves_no_mount_points", no_mount_points),
    (
        "root_run_environment_user_and_directory",
        environment_user_directory,
    ),
    ("root_run_failures", failures),
    ("root_run_heredocs", heredocs),
    ("root_run_independent_steps_at_once", at_once),
    ("root_run_under_its_profile", confined),
    ("root_run_mounts", mounts),
    ("root_run_is_canceled", canceled),
    ("root_run_networks", networks),
    ("root_run_configuration_and_history", configuration),
];

fn writes_a_layer() {
    let environment = Environment::new();
    let built = environment.build(
        "FROM busybox\nRUN echo hi > /x && rm /etc/group && mkdir -p /y/z && chown 1:2 /y\n",
    );
    let last = built.last();
    assert_eq!(
        last,
        [
            "755 0:0 etc d",
            "0 0:0 etc/group whiteout",
            "644 0:0 x f=hi",
            "755 1:2 y d",
            "755 0:0 y/z d"
        ]
    );
    let built = environment.build(
        "FROM scratch\nCOPY --from=busybox /bin /bin\nRUN [\"/bin/sh\", \"-c\", \"echo 1 > /f\"]\n",
    );
    assert_eq!(built.last(), ["644 0:0 f f=1"]);
}

fn no_mount_points() {
    let environment = Environment::new();
    let built = environment.build(
        "FROM busybox\nRUN ls /proc/1/status /sys/kernel /dev/null /etc/resolv.conf > /dev/null\n",
    );
    assert_eq!(built.last(), Vec::<String>::new());
    // What a step itself changes stays, even where something was mounted.
    let built = environment.build("FROM busybox\nRUN chmod 700 /etc\n");
    assert_eq!(built.last(), ["700 0:0 etc d"]);
    let built = environment.build("FROM busybox\nRUN echo x > /etc/motd\n");
    assert_eq!(built.last(), ["755 0:0 etc d", "644 0:0 etc/motd f=x"]);
}

fn environment_user_directory() {
    let environment = Environment::new();
    let built = environment.build(
        "FROM busybox\nARG A=1\nENV B=2\nUSER nobody\nWORKDIR /w\nRUN echo \"$A $B $HOME $(pwd) $(id) $(hostname)\"\nRUN env\n",
    );
    let text = built.said.text();
    assert!(text.contains("1 2 /home /w uid=65534(nobody) gid=65534(nogroup) groups=77(extra),65534(nogroup) buildkitsandbox"), "{text}");
    let mut request =
        environment.request("FROM busybox\nUSER 5:6\nRUN id; echo \"[$http_proxy] $HOME\"\n");
    request.build_args = BTreeMap::from([("http_proxy".to_owned(), "http://p".to_owned())]);
    let (result, said) = environment.build_request(&request);
    result.unwrap();
    assert!(said.text().contains("uid=5 gid=6"), "{}", said.text());
    assert!(said.text().contains("[http://p] /"), "{}", said.text());
    // A proxy is no reason to run a step again.
    request.build_args.clear();
    let (result, _) = environment.build_request(&request);
    assert_eq!(result.unwrap().executed, 0);
    let (error, _) = environment.fail("FROM busybox\nUSER nosuch\nRUN true\n");
    assert!(
        error.contains("unable to find user nosuch: no matching entries in passwd file"),
        "{error}"
    );
}

fn failures() {
    let environment = Environment::new();
    let (error, rendered) = environment.fail("FROM busybox\nRUN exit 3\n");
    assert_eq!(
        error,
        "[2/2] RUN exit 3 failed: process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3"
    );
    assert!(rendered.contains(">>> RUN exit 3"), "{rendered}");
    let (error, _) = environment.fail("FROM busybox\nRUN sh -c 'kill -9 $$'; exit $?\n");
    assert!(error.contains("exit code: 137"), "{error}");
    let (error, _) = environment.fail("FROM busybox\nRUN [\"/nosuch\", \"x\"]\n");
    assert!(
        error.contains("/nosuch") && error.contains("no such file or directory"),
        "{error}"
    );
    let (error, _) = environment.fail("FROM scratch\nRUN true\n");
    assert!(error.contains("/bin/sh"), "{error}");
}

fn heredocs() {
    let environment = Environment::new();
    let built = environment.build(
        "FROM busybox\nARG A=1\nRUN <<E\necho one $A\necho two\nE\nRUN <<E\n#!/bin/sh\necho script $0 $A\nE\nRUN cat <<X && echo end\ndoc $A\nX\n",
    );
    let text = built.said.text();
    for line in ["one 1", "two", "script /dev/pipes/E 1", "doc 1", "end"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(built.last(), Vec::<String>::new());
    let (error, _) = environment
        .fail("FROM busybox\nRUN <<E\nfalse\ntrue\nE\nRUN <<E\n#!/bin/sh -e\nfalse\ntrue\nE\n");
    assert!(error.contains("/dev/pipes/E"), "{error}");
}

fn at_once() {
    let environment = Environment::new();
    // Each leaves a mark and waits for the other's: one after the other they would not meet.
    let meet = |own: &str, other: &str| {
        format!(
            "FROM busybox AS {own}\nRUN --mount=type=cache,target=/meet touch /meet/{own}; \
             for i in $(seq 3000); do [ -e /meet/{other} ] && exec touch /{own}; sleep 0.02; done; exit 1\n"
        )
    };
    let stages = meet("a", "b") + &meet("b", "a");
    let request =
        environment.request(&(stages + "FROM busybox\nCOPY --from=a /a /\nCOPY --from=b /b /\n"));
    let builder = Builder {
        parallelism: Some(2),
        ..environment.builder()
    };
    environment.build_with(&builder, &request, &[]).0.unwrap();
    // A step that nobody needs never starts.
    let built = environment.build("FROM busybox AS unused\nRUN exit 1\nFROM busybox\nRUN true\n");
    assert_eq!(built.result.executed, 1);
}

fn confined() {
    let environment = Environment::new();
    let request = environment.request("FROM busybox\nRUN true\n");
    let builder = Builder {
        confinement: gantry_runtime::Confinement {
            apparmor: Some("gantry-none-such".to_owned()),
            ..gantry_runtime::Confinement::default()
        },
        ..environment.builder()
    };
    // No machine has it, and many have no AppArmor at all.
    let (refused, said) = environment.build_with(&builder, &request, &[]);
    let refused = format!("{:?} {}", refused.unwrap_err(), said.text());
    assert!(refused.to_lowercase().contains("apparmor"), "{refused}");
}

fn mounts() {
    let environment = Environment::new();
    let built = environment.build(
        "FROM busybox\nRUN --mount=type=tmpfs,target=/t/m echo x > /t/m/x && ls /t/m\nRUN --mount=type=cache,target=/c echo kept > /c/f\nRUN --mount=type=cache,target=/c cat /c/f; ls /t 2>&1 || true\n",
    );
    assert_eq!(built.layer(1), Vec::<String>::new());
    assert_eq!(built.layer(2), Vec::<String>::new());
    assert!(built.said.text().contains("kept"), "{}", built.said.text());
    let built = environment.build("FROM busybox\nRUN --mount=type=cache,id=/c,target=/other,sharing=locked cat /other/f && echo again\n");
    assert!(built.said.text().contains("kept"), "{}", built.said.text());
}

fn canceled() {
    let environment = Environment::new();
    // A build that went on would take longer than anybody waits.
    let request = environment.request("FROM busybox AS a\nRUN echo $((6*7)); sleep 1000\nFROM busybox AS b\nRUN echo $((6*7)); sleep 1000\nFROM a\nCOPY --from=b /x /\n");
    let builder = environment.builder();
    let switch = builder.cancellation.clone();
    let said = Said::default();
    let result = std::thread::scope(|scope| {
        let build = scope.spawn(|| build(&builder, &[request], &Reporter::new(&said)));
        wait_for("a step", || said.text().contains("42"));
        switch.cancel();
        build.join().unwrap()
    });
    assert!(matches!(result, Err(BuildError::Canceled)), "{result:?}");
    assert!(said.text().contains("CANCELED"), "{}", said.text());
    // A failure stops the others, too.
    let (error, _) = environment.fail("FROM busybox AS a\nRUN sleep 0.3 && false\nFROM busybox AS b\nRUN sleep 1000\nFROM a\nCOPY --from=b /x /\n");
    assert!(error.contains("exit code: 1"), "{error}");
}

fn networks() {
    let environment = Environment::new();
    let mut request = environment.request(
        "FROM busybox\nRUN --network=none ip addr\nRUN ip addr show eth0 && ip route && cat /etc/resolv.conf /etc/hosts\n",
    );
    request.network = gantry_build::RunNetwork::Default;
    let host = |name: &str, address: &str| (name.to_owned(), address.parse().unwrap());
    request.extra_hosts = vec![host("db", "10.1.2.3"), host("builder", "host-gateway")];
    let (result, said) = environment.build_request(&request);
    let text = said.text();
    if let Err(error) = result {
        panic!("{text}\n{}", explain(&error));
    }
    assert!(text.contains("default via"), "{text}");
    assert!(text.contains("10.1.2.3\tdb"), "{text}");
    let gateway = text
        .split_once("default via ")
        .and_then(|(_, rest)| rest.split_whitespace().next());
    let line = format!("{}\tbuilder", gateway.unwrap());
    assert!(text.contains(&line), "{text}");
    // The host's is the Dockerfile's only where the build has been given it.
    let mut request = environment.request("FROM busybox\nRUN --network=host ip addr\n");
    request.network = gantry_build::RunNetwork::Default;
    assert!(environment.build_request(&request).0.is_err());
    request.network = gantry_build::RunNetwork::Host;
    assert!(environment.build_request(&request).0.is_ok());
    let networks = gantry_network::Networks::open(
        &environment.folder.path().join("run"),
        gantry_network::NetworkConfig::default(),
    )
    .unwrap();
    networks.teardown_if_idle().unwrap();
}

fn configuration() {
    let environment = Environment::new();
    environment.write("f", "F");
    let built =
        environment.build("FROM busybox\nENV A=1\nCOPY f /f\nRUN true\nLABEL x=y\nCMD [\"sh\"]\n");
    let config = built.config();
    let history: Vec<(&str, bool)> = config
        .history
        .iter()
        .map(|entry| (entry.created_by.as_str(), entry.empty_layer))
        .collect();
    assert_eq!(
        history,
        [
            ("busybox", false),
            ("ENV A=1", true),
            ("COPY f /f # buildkit", false),
            ("RUN /bin/sh -c true # buildkit", false),
            ("LABEL x=y", true),
            ("CMD [\"sh\"]", true),
        ]
    );
    assert!(config.history.iter().all(|entry| entry.created.is_some()));
    assert_eq!(config.created, config.history[3].created);
    assert_eq!(config.rootfs.diff_ids, built.result.layers);
    // The same build gives the same image.
    let again =
        environment.build("FROM busybox\nENV A=1\nCOPY f /f\nRUN true\nLABEL x=y\nCMD [\"sh\"]\n");
    assert_eq!(again.result.image_id, built.result.image_id);
    assert_eq!(again.result.executed, 0);
    let text = again.said.text();
    assert!(
        text.contains("[3/3] RUN true\n") && text.contains("CACHED"),
        "{text}"
    );
}

fn authorities() {
    let environment = Environment::new();
    let bundle = environment.folder.path().join("company.pem");
    fs::write(&bundle, "COMPANY\n").unwrap();
    let dockerfile = "FROM busybox AS base\nRUN mkdir -p /etc/ssl/certs && echo OWN > /etc/ssl/certs/ca-certificates.crt\n\
        FROM base\nENV PIP_CERT=/mine\nUSER 1000\n\
        RUN echo $SSL_CERT_FILE $PIP_CERT && tr '\\n' ' ' < $NODE_EXTRA_CA_CERTS && ! echo x 2>/dev/null >> $CURL_CA_BUNDLE\n";
    let plain = environment.build(dockerfile.split("ENV").next().unwrap());
    let mut builder = environment.builder();
    builder.outside.authorities = Some(bundle);
    let request = environment.request(dockerfile);
    let (result, said) = environment.build_with(&builder, &request, &[]);
    let result = result.unwrap_or_else(|error| panic!("{}\n{}", said.text(), explain(&error)));
    let text = said.text();
    assert!(
        text.contains("/dev/certificates/authorities.pem /mine"),
        "{text}"
    );
    assert!(text.contains("COMPANY  OWN"), "{text}");
    // The step that was built without is the same, and nothing of it is in the image.
    assert_eq!(result.layers[..2], plain.result.layers[..2]);
    assert_eq!(result.cached, 1);
    let tree = environment.store.layers().tree(&result.layers[2]);
    assert_eq!(fs::read_dir(tree).unwrap().count(), 0);
    let config = environment.store.images().config(&result.image_id).unwrap();
    assert!(
        !serde_json::to_string(&config)
            .unwrap()
            .contains("certificates/auth"),
        "{config:?}"
    );
    // Whoever builds without them has all of it in the cache.
    let again = environment.build(dockerfile);
    assert_eq!(again.result.layers, result.layers);
    assert_eq!(again.result.executed, 0);
}
