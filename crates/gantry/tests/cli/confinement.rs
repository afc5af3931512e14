//! Names of AppArmor and SELinux that a container is to be confined by.

use gantry_sys::lsm::Modules;
use gantry_testkit::TestEnv;

in_both_modes! {
    names_that_nothing_heeds_are_refused,
    to_be_unconfined_can_be_had_everywhere,
}

fn names_that_nothing_heeds_are_refused(env: TestEnv) {
    let active = Modules::active();
    for (option, module, on, none) in [
        (
            "apparmor=docker-default",
            "AppArmor",
            active.apparmor,
            "apparmor=unconfined",
        ),
        (
            "label=type:container_t",
            "SELinux",
            active.selinux,
            "label=disable",
        ),
    ] {
        let run = ["run", "--rm", "--security-opt", option, "busybox", "true"];
        if on {
            // The profile need not be there, nor the policy; but nothing is passed over.
            let answer = env.gantry(run);
            assert!(
                answer.code == 0 || answer.stderr.contains(module),
                "{answer:?}"
            );
            continue;
        }
        let refused = env.gantry(run).fails(125);
        let named = refused.contains(option) && refused.contains(module);
        assert!(named && refused.contains(none), "{refused}");
    }
    let refused = env
        .gantry(["create", "--security-opt", "label=colour:red", "busybox"])
        .fails(1);
    assert!(refused.contains("label=colour:red"), "{refused}");
    assert_eq!(env.gantry(["ps", "-aq"]).ok(), "", "nothing was made");
}

fn to_be_unconfined_can_be_had_everywhere(env: TestEnv) {
    let mut run = vec!["run", "-d", "--name", "free"];
    for option in ["apparmor=unconfined", "label=disable"] {
        run.extend(["--security-opt", option]);
    }
    run.extend(["busybox", "sleep", "1000"]);
    env.gantry(run).ok();
    // Without a module of that kind there is nothing to read.
    let current = "cat /proc/self/attr/apparmor/current 2>/dev/null || echo unconfined";
    let current = env.gantry(["exec", "free", "sh", "-c", current]).ok();
    assert_eq!(current, "unconfined");
}
