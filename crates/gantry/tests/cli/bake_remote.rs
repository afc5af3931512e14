//! `gantry bake ADDRESS`: definitions from repositories, archives and single files.

use std::fs;

use gantry_testkit::TestEnv;
use gantry_testkit::web::{GitServer, Web, respond};

in_both_modes! {
    definitions_come_with_their_files,
}

const FILE: &str = r#"
target "default" {
  dockerfile-inline = "FROM scratch\nCOPY f /f\n"
  output = ["out"]
}
target "app" {
  context = "sub/app"
  contexts = { lib = "lib", all = ".", here = "cwd://mine" }
  output = ["out"]
}
target "local" {
  context = "cwd://mine"
  dockerfile = "cwd://Local.Dockerfile"
  output = ["out"]
}
target "mixed" {
  dockerfile = "cwd://Local.Dockerfile"
  args = { FOLDER = BAKE_CMD_CONTEXT }
  output = ["out"]
}
target "up" { context = "sub/../../x" }
target "link" { context = "link" }
"#;

/// Bakes, and gives the files that came out by name and content.
fn bake(env: &TestEnv, words: &[&str]) -> Vec<(String, String)> {
    let out = env.work().join("out");
    drop(fs::remove_dir_all(&out));
    let mut all = vec!["bake"];
    all.extend(words);
    let built = env.gantry(all);
    assert_eq!(built.code, 0, "{words:?}: {}", built.stderr);
    let mut files: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap();
            (entry.file_name().into_string().unwrap(), text)
        })
        .collect();
    files.sort();
    files
}

fn pair(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

fn definitions_come_with_their_files(env: TestEnv) {
    let server = GitServer::start();
    let repository = server.repository("shop");
    repository.write("docker-bake.hcl", FILE);
    repository.write("f", "of the repository");
    repository.write("lib/l", "of the library");
    let dockerfile = "FROM scratch\nCOPY a /\nCOPY --from=lib l /\nCOPY --from=all f /\n\
                      COPY --from=here f /here\n";
    repository.write("sub/app/Dockerfile", dockerfile);
    repository.write("sub/app/a", "of the app");
    let other = "target \"default\" {\n context = \"app\"\n dockerfile-inline = \"FROM scratch\\nCOPY a /\\n\"\n output = [\"out\"]\n}\n";
    repository.write("sub/other.hcl", other);
    std::os::unix::fs::symlink("/etc", repository.folder().join("link")).unwrap();
    drop(repository.commit());
    env.write("mine/f", "of this machine");
    env.write("Local.Dockerfile", "FROM scratch\nCOPY f /\n");
    let url = server.url("shop");

    let of_repository = [pair("f", "of the repository")];
    assert_eq!(bake(&env, &[&url]), of_repository);
    let of_app = [
        pair("a", "of the app"),
        pair("f", "of the repository"),
        pair("here", "of this machine"),
        pair("l", "of the library"),
    ];
    assert_eq!(bake(&env, &[&url, "app"]), of_app);
    assert_eq!(bake(&env, &[&url, "local"]), [pair("f", "of this machine")]);
    // A Dockerfile of this machine over the files of the repository.
    assert_eq!(bake(&env, &[&url, "mixed"]), of_repository);
    let below = format!("{url}#main:sub");
    assert_eq!(
        bake(&env, &[&below, "-f", "other.hcl"]),
        [pair("a", "of the app")]
    );
    env.write("more.hcl", "target \"default\" {\n  context = \"lib\"\n  dockerfile-inline = \"FROM scratch\\nCOPY l /\\n\"\n}\n");
    let both = [&url, "-f", "docker-bake.hcl", "-f", "cwd://more.hcl"];
    assert_eq!(bake(&env, &both), [pair("l", "of the library")]);

    let shown = env.json(["bake", &url, "--print", "default", "app", "local", "mixed"]);
    let context = |target: &str| {
        shown["target"][target]["context"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (context("default"), context("app")),
        (url.clone(), "sub/app".to_owned())
    );
    assert_eq!(context("local"), "mine");
    assert_eq!(shown["target"]["mixed"]["args"]["FOLDER"], "cwd://");
    let with_folder = env.json(["bake", &url, "git://x.org/y.git", "--print", "mixed"]);
    assert_eq!(
        with_folder["target"]["mixed"]["args"]["FOLDER"],
        "git://x.org/y.git"
    );

    let archive = std::process::Command::new("tar")
        .args(["-czf", "-", "--exclude=.git", "-C"])
        .arg(repository.folder())
        .arg(".")
        .output()
        .unwrap()
        .stdout;
    let web = Web::start(move |asked, stream| {
        let body = if asked.path.ends_with(".hcl") {
            FILE.as_bytes()
        } else {
            &archive
        };
        respond(stream, "200 OK", &[], body);
    });
    assert_eq!(bake(&env, &[&web.url("/all.tgz"), "app"]), of_app);
    // A file alone speaks of the folder of the command.
    env.write("f", "of the folder");
    assert_eq!(
        bake(&env, &[&web.url("/x.hcl")]),
        [pair("f", "of the folder")]
    );

    for (words, wanted) in [
        (&[&url, "up"][..], "it leads out of what is there"),
        (&[&url, "link"], "context \"link\""),
        (&[&url, "-f", "gone.hcl"], "there is no gone.hcl at git://"),
        (&[&url, "gone"], "failed to find target gone"),
        (&[&format!("{url}#nope")], "nope"),
        (&[&server.url("nothing")], "nothing"),
    ] {
        let answer = env.gantry(["bake"].iter().chain(words));
        assert_eq!(answer.code, 1, "{words:?}: {answer:?}");
        assert!(
            answer.stderr.contains(wanted),
            "{words:?}: {}",
            answer.stderr
        );
    }
}
