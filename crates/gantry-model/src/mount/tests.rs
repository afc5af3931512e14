use super::*;

#[test]
fn volumes_parse() {
    let bind = MountSpec::parse_volume("/a/../b:/c/:ro").unwrap();
    assert_eq!(bind.target, "/c");
    assert!(bind.read_only);
    assert!(
        matches!(bind.source, MountSource::Bind { ref path, create: true, .. } if path == "/b")
    );
    let named = MountSpec::parse_volume("data:/var/lib").unwrap();
    assert!(matches!(named.source, MountSource::Volume { name: Some(ref n), .. } if n == "data"));
    let anonymous = MountSpec::parse_volume("/data").unwrap();
    assert!(matches!(
        anonymous.source,
        MountSource::Volume { name: None, .. }
    ));
    for bad in [
        "",
        ":",
        "a:b",
        ":/x",
        "x:",
        "/",
        "/a:/",
        "/a:/b:xx",
        "a b:/c",
        "/a:/b:ro:x",
        "d:/x:rshared",
        "/a:/b:ro,rw",
        "/a:/b:shared,slave",
    ] {
        assert!(MountSpec::parse_volume(bad).is_err(), "{bad}");
    }
}

#[test]
fn mounts_parse() {
    let bind = MountSpec::parse_mount("type=bind,src=/a,dst=/b,readonly").unwrap();
    assert!(bind.read_only);
    assert!(matches!(
        bind.source,
        MountSource::Bind { create: false, .. }
    ));
    let quoted = MountSpec::parse_mount(r#"type=bind,"src=/a,b",dst=/b"#).unwrap();
    assert!(matches!(quoted.source, MountSource::Bind { ref path, .. } if path == "/a,b"));
    let tmpfs =
        MountSpec::parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1770").unwrap();
    assert!(matches!(
        tmpfs.source,
        MountSource::Tmpfs {
            size: Some(1_048_576),
            mode: Some(0o1770),
            ..
        }
    ));
    for bad in [
        "",
        "type=bind,dst=/b",
        "type=bind,src=a,dst=/b",
        "type=volume,src=v",
        "type=x,dst=/a",
        "type=bind,src=/a,dst=/b,tmpfs-size=1",
        "dst=/a,foo=bar",
        "type=tmpfs,src=/a,dst=/b",
    ] {
        assert!(MountSpec::parse_mount(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_cannot_be_mounted_is_told_in_dockers_words() {
    for (text, want) in [
        (
            "type=bind,src=/a,dst=/b,volume-nocopy",
            "cannot mix 'volume-*' options with mount type 'bind'",
        ),
        (
            "type=volume,src=v,dst=/b,tmpfs-size=1",
            "cannot mix 'tmpfs-*' options with mount type 'volume'",
        ),
        (
            "type=bind,src=/a,dst=/b,bind-recursive=x",
            "invalid value for bind-recursive: x (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")",
        ),
        (
            "type=bind,src=/a,dst=/b,bind-recursive=writable",
            "option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction",
        ),
        (
            "type=bind,src=/a,dst=/b,bind-recursive=readonly,ro",
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction",
        ),
        (
            "type=bind,src=/a,dst=/b,oops",
            "invalid field 'oops' must be a key=value pair",
        ),
        (
            "type=tmpfs,dst=/b,tmpfs-options=noexec",
            "unexpected key 'tmpfs-options' in 'tmpfs-options=noexec'",
        ),
        (
            "type=tmpfs,src=x,dst=/b",
            "invalid mount config for type \"tmpfs\": field Source must not be specified",
        ),
        (
            "type=npipe,src=x,dst=/b",
            "invalid mount config for type \"npipe\": mount type unknown",
        ),
        (
            "src=v,dst=/b,volume-subpath=../x",
            "invalid mount config for type \"volume\": subpath must be a relative path within the volume",
        ),
        ("type=volume", "target is required"),
        ("dst=/b,readonly=foo", "invalid value for readonly: foo"),
    ] {
        assert_eq!(
            MountSpec::parse_mount(text).unwrap_err().to_string(),
            want,
            "{text}"
        );
    }
}

#[test]
fn volumes_and_images_take_their_options() {
    let volume = MountSpec::parse_mount(
        "src=vol,dst=/m,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/d,\
         volume-label=a=b,volume-driver=local,volume-subpath=x/y",
    )
    .unwrap();
    let MountSource::Volume {
        options,
        labels,
        driver,
        subpath,
        ..
    } = volume.source
    else {
        panic!("a volume");
    };
    assert_eq!(options["o"], "bind");
    assert_eq!(labels["a"], "b");
    assert_eq!(
        (driver.as_str(), subpath.as_deref()),
        ("local", Some("x/y"))
    );
    let image = MountSpec::parse_mount("type=image,src=busybox,dst=/m,image-subpath=bin").unwrap();
    assert!(image.read_only);
    assert_eq!(
        image.source,
        MountSource::Image {
            image: "busybox".into(),
            subpath: Some("bin".into())
        }
    );
}

#[test]
fn tmpfs_options_parse() {
    let spec = MountSpec::parse_tmpfs("/run:size=64k,mode=755,exec,ro").unwrap();
    assert!(spec.read_only);
    assert_eq!(
        spec.source,
        MountSource::Tmpfs {
            size: Some(65536),
            mode: Some(0o755),
            options: vec!["exec".into()]
        }
    );
    assert!(MountSpec::parse_tmpfs("run").is_err());
    assert!(MountSpec::parse_tmpfs("/run:foo").is_err());
}
