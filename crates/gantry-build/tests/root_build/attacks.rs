//! Published attacks on builders, tried for real (docs/security.md names them).

use std::fs;
use std::path::Path;

use gantry_model::image::ImageConfig;

use crate::Test;
use crate::environment::Environment;

pub(crate) const TESTS: &[Test] = &[
    (
        "root_cve_2024_1753_a_bind_source_that_is_a_link",
        bind_source,
    ),
    ("root_cve_2024_9407_options_of_a_bind_mount", bind_options),
    ("root_cve_2024_9675_names_of_caches", cache_names),
    ("root_cve_2024_9676_users_out_of_a_device", users),
    ("root_cve_2024_23651_sources_of_caches", cache_sources),
    (
        "root_cve_2024_23652_mount_points_exchanged_for_links",
        mount_points,
    ),
    (
        "root_cve_2024_24557_an_image_that_looks_like_another",
        poisoned_cache,
    ),
];

/// A link of an image as the source of a mount shows the image's files, not the host's.
fn bind_source() {
    let environment = Environment::new();
    let mark = environment.folder.path().join("mark");
    fs::write(&mark, "host").unwrap();
    let mark = mark.display();
    let built = environment.build(&format!(
        "FROM busybox AS evil\nRUN ln -s / /trap && ln -s ../../../../.. /up\nFROM busybox\n\
         RUN --mount=type=bind,from=evil,source=/trap,target=/a,rw \
             --mount=type=bind,from=evil,source=/up,target=/b \
             test ! -e /a{mark} && test ! -e /b{mark} && test -e /a/trap && echo x > /a/written\n"
    ));
    assert!(!Path::new("/written").exists());
    assert_eq!(built.last(), [""; 0]);
}

/// Options that would lead a mount out to the host are not known.
fn bind_options() {
    let environment = Environment::new();
    for option in ["bind-propagation=shared", "rshared", "dev", "suid"] {
        let dockerfile = format!("FROM busybox\nRUN --mount=type=bind,{option},target=/m true\n");
        let (error, _) = environment.fail(&dockerfile);
        let name = option.split('=').next().unwrap();
        assert!(error.contains(name), "{option}: {error}");
    }
}

/// The name of a cache is no path.
fn cache_names() {
    let environment = Environment::new();
    let mut dockerfile = "FROM busybox\n".to_owned();
    for id in ["../../escaped", "/escaped", "..", "a/../../../escaped"] {
        let run = format!("RUN --mount=type=cache,id={id},target=/c touch /c/escaped\n");
        dockerfile.push_str(&run);
    }
    drop(environment.build(&dockerfile));
    let caches = environment.folder.path().join("root/cache-mounts");
    let mut open = vec![environment.folder.path().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let is_folder = path.symlink_metadata().unwrap().is_dir();
            assert!(
                path.file_name().unwrap() != "escaped" || path.starts_with(&caches),
                "{path:?}"
            );
            open.extend(is_folder.then_some(path));
        }
    }
    assert!(!Path::new("/escaped").exists());
}

/// A list of users that never ends, or that is the host's, is no list of users.
fn users() {
    let environment = Environment::new();
    for evil in [
        "mknod /etc/passwd c 1 5",
        "ln -s /dev/zero /etc/passwd",
        "mkfifo /etc/passwd",
    ] {
        let dockerfile =
            format!("FROM busybox\nRUN rm /etc/passwd && {evil}\nUSER nobody\nRUN true\n");
        let (error, _) = environment.fail(&dockerfile);
        assert!(
            error.contains("unable to find user nobody"),
            "{evil}: {error}"
        );
    }
}

/// What a cache begins with is of the image, wherever links lead.
fn cache_sources() {
    let environment = Environment::new();
    let dockerfile = "FROM busybox AS evil\nRUN ln -s /etc /dir\nFROM busybox\n\
        RUN --mount=type=cache,from=evil,source=/dir/shadow,target=/c true\n";
    let (error, _) = environment.fail(dockerfile);
    assert!(error.contains("/dir/shadow"), "{error}");
    assert!(error.contains("not found"), "{error}");
}

/// What is taken away of mount points is taken away in the layer, wherever links lead.
fn mount_points() {
    let environment = Environment::new();
    let victim = environment.folder.path().join("victim");
    fs::create_dir_all(victim.join("inner")).unwrap();
    fs::write(victim.join("file"), "").unwrap();
    let shown = victim.display();
    let built = environment.build(&format!(
        "FROM busybox\n\
         RUN --mount=type=cache,target=/made/inner --mount=type=tmpfs,target=/other/inner \
             umount /made/inner /other/inner 2>/dev/null; \
             mv /made /moved 2>/dev/null; mv /other /gone 2>/dev/null; \
             ln -s {shown} /made; ln -s {shown} /other; true\n"
    ));
    assert!(victim.join("inner").is_dir() && victim.join("file").exists());
    drop(built);
}

/// A step is known by the layers it ran on, whatever configuration and history say.
fn poisoned_cache() {
    let mut environment = Environment::new();
    let config = |environment: &Environment, text: &str| {
        let draft = environment.store.layers().draft().unwrap();
        fs::write(draft.upper().join("mark"), text).unwrap();
        let added = draft.commit().unwrap().diff_id;
        let busybox = environment.build("FROM busybox\n");
        let mut config: ImageConfig = busybox.config();
        config.rootfs.diff_ids.push(added);
        config
    };
    let (honest, evil) = (config(&environment, "honest"), config(&environment, "evil"));
    environment.add_image("honest:latest", &honest);
    environment.add_image("evil:latest", &evil);
    let dockerfile = |name: &str| format!("FROM {name}\nRUN cp /mark /copied\n");
    drop(environment.build(&dockerfile("evil")));
    let built = environment.build(&dockerfile("honest"));
    assert_eq!(built.result.executed, 1);
    assert_eq!(built.last(), ["644 0:0 copied f=honest"]);
}
