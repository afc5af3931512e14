//! Devices by the Container Device Interface.

use crate::busybox;

#[test]
fn root_devices_of_vendors_are_added() {
    let env = busybox();
    env.write("lib/driver", "of the vendor");
    let lib = env.work().join("lib");
    let note = env.work().join("hooked");
    env.write(
        "cdi/vendor.yaml",
        format!(
            "cdiVersion: 0.6.0\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n    \
             deviceNodes:\n    - path: /dev/vendor0\n      hostPath: /dev/loop-control\n      permissions: r\n\
             - name: all\n  containerEdits:\n    env: [ALL=1]\ncontainerEdits:\n  env: [VENDOR=yes]\n  \
             mounts:\n  - hostPath: {}\n    containerPath: /vendor\n    options: [ro, nosuid, bind]\n  \
             hooks:\n  - hookName: createContainer\n    path: /bin/touch\n    args: [touch, {}]\n",
            lib.display(),
            note.display()
        ),
    );
    env.configure(&format!("cdi-spec-dirs = [{:?}]\n", env.work().join("cdi")));
    let run = |flags: &[&str], line: &str| {
        let mut args = vec!["run", "--rm"];
        args.extend(flags);
        args.extend(["busybox", "sh", "-c", line]);
        env.gantry(args)
    };
    let line = "echo $VENDOR; cat /vendor/driver; echo; head -c 0 /dev/vendor0 && echo opened; \
                : 2>/dev/null > /dev/vendor0 || echo locked";
    let own = run(&["--device", "nvidia.com/gpu=0"], line);
    assert_eq!(
        own.stdout, "yes\nof the vendor\nopened\n",
        "writing is refused: {own:?}"
    );
    assert!(note.exists(), "the hook ran");
    assert_eq!(run(&["--gpus", "all"], "echo $ALL $VENDOR").ok(), "1 yes");
    assert_eq!(
        run(&["--gpus", "1"], "ls /dev/vendor0").ok(),
        "/dev/vendor0"
    );
    assert_eq!(
        run(&[], "echo $VENDOR; ls /dev/vendor0 2>/dev/null").stdout,
        "\n"
    );
    let unknown = run(&["--device", "nvidia.com/gpu=9"], "true").fails(125);
    assert!(
        unknown.contains("unresolvable CDI devices nvidia.com/gpu=9"),
        "{unknown}"
    );
    let driver = run(&["--gpus", "driver=foo"], "true").fails(125);
    assert!(
        driver.contains("could not select device driver \"foo\""),
        "{driver}"
    );
}
