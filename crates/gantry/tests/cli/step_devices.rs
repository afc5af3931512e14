//! `RUN --device`: devices of the machine for a step, and who may have them.

use std::fs;

use gantry_testkit::TestEnv;
use gantry_testkit::environment::Answer;

in_both_modes! {
    a_step_has_the_devices_that_the_build_is_granted,
    devices_are_found_by_kind_class_and_other_names,
}

/// A machine with devices of one vendor.
fn with_devices(env: &TestEnv) {
    env.write("lib/driver", "of the vendor");
    env.write(
        "cdi/vendor.yaml",
        format!(
            "cdiVersion: 0.6.0\nkind: vendor.com/unit\ncontainerEdits:\n  env: [VENDOR=yes]\n  mounts:\n\
             \x20 - hostPath: {}\n    containerPath: /vendor\n    options: [ro, nosuid, bind]\n\
             devices:\n- name: one\n  containerEdits:\n    env: [UNIT=one]\n    deviceNodes:\n\
             \x20   - path: /dev/unit1\n      hostPath: /dev/zero\n\
             - name: two\n  annotations: {{org.mobyproject.buildkit.device.class: fast, \
             org.mobyproject.buildkit.device.autoallow: \"true\"}}\n  containerEdits:\n    env: [UNIT=two]\n",
            env.work().join("lib").display(),
        ),
    );
    env.configure(&format!("cdi-spec-dirs = [{:?}]\n", env.work().join("cdi")));
}

fn build(env: &TestEnv, lines: &str, flags: &[&str]) -> Answer {
    env.write("ctx/Dockerfile", format!("FROM busybox\n{lines}\n"));
    let mut args = vec!["build", "--progress=plain", "--network=none"];
    args.extend(flags);
    args.push("ctx");
    env.gantry(args)
}

fn a_step_has_the_devices_that_the_build_is_granted(env: TestEnv) {
    with_devices(&env);
    let lines = "RUN --device=vendor.com/unit=one,required head -c 4 /dev/unit1 | wc -c > /shown && \
                 cat /vendor/driver >> /shown && echo $VENDOR $UNIT >> /shown\n\
                 RUN ! ls /vendor /dev/unit1 && [ -z \"$VENDOR$UNIT\" ]";
    let refused = build(&env, lines, &[]).fails(1);
    let named = refused.contains("device vendor.com/unit=one is requested by RUN and not allowed");
    assert!(
        named && refused.contains("--allow device=vendor.com/unit=one"),
        "{refused}"
    );
    build(&env, lines, &["--allow=device=vendor.com/unit=two"]).fails(1);
    let built = build(
        &env,
        lines,
        &["--allow=device=vendor.com/unit=one", "--output=out"],
    );
    assert_eq!(built.code, 0, "{}", built.stderr);
    let shown = fs::read_to_string(env.work().join("out/shown")).unwrap();
    assert_eq!(shown, "4\nof the vendoryes one\n");
    assert!(
        !env.work().join("out/vendor").exists(),
        "nothing of it stays"
    );
    let again = build(&env, lines, &["--allow=device"]);
    assert!(
        again.code == 0 && again.stderr.contains("CACHED"),
        "{}",
        again.stderr
    );
    // What is in the cache is not for everybody either.
    build(&env, lines, &[]).fails(1);
}

fn devices_are_found_by_kind_class_and_other_names(env: TestEnv) {
    with_devices(&env);
    for (device, allow, unit) in [
        // The specification lets every build have it.
        ("vendor.com/unit=fast", &[][..], "two"),
        (
            "vendor.com/unit",
            &["--allow=device=vendor.com/unit=*"],
            "one",
        ),
        (
            "gpu,required",
            &["--allow=device=vendor.com/unit=one,alias=gpu"],
            "one",
        ),
        ("name=vendor.com/unit=*", &["--allow", "device"], "two"),
        ("vendor.com/other", &[], ""),
    ] {
        let line = format!("RUN --device={device} [ \"$UNIT\" = \"{unit}\" ]");
        let built = build(&env, &line, allow);
        assert_eq!(built.code, 0, "{device}: {}", built.stderr);
        let told = built
            .stderr
            .contains("there is no device \"vendor.com/other\"");
        assert_eq!(told, unit.is_empty(), "{}", built.stderr);
    }
    for (device, flag, said) in [
        (
            "vendor.com/other,required",
            "device",
            "required device \"vendor.com/other\" is not registered",
        ),
        ("/dev/zero", "device", "invalid device: \"/dev/zero\""),
        (
            "vendor.com/unit=one",
            "device=vendor.com/unit=one,name=x",
            "expected alias=NAME",
        ),
        (
            "vendor.com/unit=one",
            "tape",
            "--allow tape is not supported",
        ),
    ] {
        let line = format!("RUN --device={device} true");
        let refused = build(&env, &line, &["--allow", flag]);
        assert_ne!(refused.code, 0, "{device} {flag}");
        assert!(
            refused.stderr.contains(said),
            "{device}: {}",
            refused.stderr
        );
    }
}
