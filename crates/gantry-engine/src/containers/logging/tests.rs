use super::*;

fn asked(driver: &str, options: &[(&str, &str)]) -> LogConfig {
    LogConfig {
        driver: driver.into(),
        options: options
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
    }
}

fn decided(driver: &str, options: &[(&str, &str)]) -> Result<Decided, String> {
    decide(&asked(driver, options), &config::Log::default()).map_err(|error| error.to_string())
}

#[test]
fn files_are_rotated_and_compressed_unless_somebody_says_otherwise() {
    let files = |max_size, max_files, compress| Files {
        max_size,
        max_files,
        compress,
    };
    let own = files(Some(20 << 20), 5, true);
    for (driver, options, want) in [
        ("", &[][..], own),
        ("json-file", &[], own),
        ("local", &[], own),
        (
            "json-file",
            &[("max-size", "10k")],
            files(Some(10 << 10), 1, false),
        ),
        (
            "json-file",
            &[("max-size", "10k"), ("max-file", "3")],
            files(Some(10 << 10), 3, true),
        ),
        (
            "json-file",
            &[("max-file", "3"), ("compress", "false")],
            files(Some(20 << 20), 3, false),
        ),
        ("json-file", &[("max-size", "-1")], files(None, 1, false)),
        (
            "local",
            &[("max-file", "1")],
            files(Some(20 << 20), 1, false),
        ),
        (
            "journald",
            &[("cache-max-size", "1m")],
            files(Some(1 << 20), 5, true),
        ),
    ] {
        assert_eq!(
            decided(driver, options).unwrap().files,
            Some(want),
            "{driver} {options:?}"
        );
    }
    assert_eq!(decided("none", &[]).unwrap().files, None);
    assert_eq!(
        decided("journald", &[("cache-disabled", "true")])
            .unwrap()
            .files,
        None
    );
}

#[test]
fn buffers_are_for_those_that_may_not_wait() {
    for (options, want) in [
        (&[][..], None),
        (&[("mode", "blocking")], None),
        (&[("mode", "non-blocking")], Some(1_000_000)),
        (
            &[("mode", "non-blocking"), ("max-buffer-size", "4m")],
            Some(4 << 20),
        ),
    ] {
        assert_eq!(decided("json-file", options).unwrap().buffer, want);
    }
}

#[test]
fn what_cannot_be_is_said_as_docker_says_it() {
    const VALUE: &str = "failed to initialize logging driver: ";
    for (driver, options, want) in [
        ("json-file", &[("foo", "1")][..], "unknown log opt 'foo' for json-file log driver".into()),
        ("foo", &[], "error looking up logging plugin foo: plugin \"foo\" not found".into()),
        ("json-file", &[("max-file", "0")], format!("{VALUE}max-file cannot be less than 1")),
        ("json-file", &[("max-file", "x")], format!("{VALUE}strconv.Atoi: parsing \"x\": invalid syntax")),
        ("json-file", &[("max-size", "x")], format!("{VALUE}invalid size: 'x'")),
        ("json-file", &[("compress", "maybe")], format!("{VALUE}strconv.ParseBool: parsing \"maybe\": invalid syntax")),
        (
            "json-file",
            &[("compress", "true"), ("max-file", "1")],
            format!("{VALUE}compress cannot be true when max-file is less than 2 or max-size is not set"),
        ),
        ("json-file", &[("mode", "foo")], "logger: logging mode not supported: foo".into()),
        (
            "json-file",
            &[("max-buffer-size", "1m")],
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'".into(),
        ),
        (
            "json-file",
            &[("mode", "non-blocking"), ("max-buffer-size", "zz")],
            "error parsing option max-buffer-size: invalid size: 'zz'".into(),
        ),
        ("syslog", &[("syslog-bar", "1")], "unknown log opt 'syslog-bar' for syslog log driver".into()),
        ("syslog", &[("syslog-facility", "foo")], "invalid syslog facility".into()),
        ("syslog", &[("syslog-format", "foo")], "Invalid syslog format".into()),
        ("syslog", &[("syslog-address", "foo://x")], "unsupported scheme: 'foo'".into()),
        ("syslog", &[("syslog-address", "unix:///nowhere")], "stat /nowhere: no such file or directory".into()),
        (
            "syslog",
            &[("syslog-tls-cert", "x")],
            "log opt 'syslog-tls-cert' is not supported: syslog is spoken without TLS, put a relay beside it".into(),
        ),
    ] {
        assert_eq!(decided(driver, options).unwrap_err(), want);
    }
    assert!(
        decided("json-file", &[("labels-regex", "(")])
            .unwrap_err()
            .starts_with(VALUE)
    );
}

#[test]
fn syslog_has_an_address() {
    let address = |text: &str| match decided("syslog", &[("syslog-address", text)]).unwrap().to {
        To::Syslog {
            address, facility, ..
        } => {
            assert_eq!(facility, 3);
            address
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(address(""), Address::Local);
    assert_eq!(address("udp://a.b"), Address::Udp("a.b:514".into()));
    assert_eq!(
        address("tcp://1.2.3.4:601"),
        Address::Tcp("1.2.3.4:601".into())
    );
    let resolved = address("tcp://127.0.0.1:601").resolve().unwrap();
    assert_eq!(
        resolved,
        SyslogTarget::Tcp("127.0.0.1:601".parse().unwrap())
    );
}

#[test]
fn the_installations_own_options_are_for_its_own_driver() {
    let own = config::Log {
        driver: "local".into(),
        options: [("max-size".to_owned(), "1m".to_owned())].into(),
        ..config::Log::default()
    };
    assert_eq!(
        complete(&asked("", &[]), &own),
        asked("local", &[("max-size", "1m")])
    );
    assert_eq!(
        complete(&asked("local", &[("max-size", "2m")]), &own),
        asked("local", &[("max-size", "2m")])
    );
    assert_eq!(
        complete(&asked("json-file", &[]), &own),
        asked("json-file", &[])
    );
}
