//! `ADD` from URLs and git repositories; what is expected is what Docker 28.5 with BuildKit does.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use gantry_build::SecretSource;
use gantry_testkit::web::{GitServer, Web, respond};

use crate::Test;
use crate::environment::{Environment, explain};

pub(crate) const TESTS: &[Test] = &[
    ("root_add_url", url),
    ("root_add_url_that_is_wrong_or_hostile", hostile_url),
    ("root_add_git", git),
    ("root_add_git_that_is_wrong_or_hostile", hostile_git),
    ("root_add_git_with_submodules_of_others", others),
];

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const HELLO: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn url() {
    let archive = std::process::Command::new("tar")
        .args(["-czf", "-", "-C", "/", "etc/passwd"])
        .output()
        .unwrap()
        .stdout;
    let web = Web::start(move |asked, stream| match asked.path.as_str() {
        "/x.tgz" => respond(stream, "200 OK", &[], &archive),
        "/moved" => respond(stream, "302 Found", &[("Location", "/hello")], b""),
        "/locked" if asked.header("authorization") != Some("Bearer t0ken") => {
            respond(stream, "401 Unauthorized", &[], b"");
        }
        "/basic" if asked.header("authorization") != Some("Basic dTpw") => {
            respond(stream, "401 Unauthorized", &[], b"");
        }
        _ if asked.header("if-none-match") == Some("\"one\"") => {
            respond(stream, "304 Not Modified", &[], b"");
        }
        _ => {
            let headers = [("ETag", "\"one\""), ("Last-Modified", DATE)];
            respond(stream, "200 OK", &headers, b"hello");
        }
    });
    let environment = Environment::new();
    let dockerfile = format!(
        "FROM scratch\nADD {} /a/\nADD --chown=1:2 --chmod=755 {} /b\nADD {} /\n",
        web.url("/dir/hello?x=/y#z"),
        web.url("/moved"),
        web.url("/"),
    );
    let built = environment.build(&dockerfile);
    assert_eq!(built.layer(0), ["755 0:0 a d", "600 0:0 a/hello f=hello"]);
    assert_eq!(built.layer(1), ["755 1:2 b f=hello"]);
    assert_eq!(built.layer(2), ["600 0:0 __unnamed__ f=hello"]);
    let root = environment.store.layers().tree(&built.result.layers[0]);
    let file = fs::metadata(root.join("a/hello")).unwrap();
    assert_eq!(file.mtime(), 784_111_777);
    drop(web.asked());
    // It is asked whether that still holds, and everything is in the cache.
    let again = environment.build(&dockerfile);
    assert_eq!(
        (again.result.executed, again.result.layers),
        (0, built.result.layers.clone())
    );
    let asked = web.asked();
    assert_eq!(
        asked
            .iter()
            .filter(|asked| asked.path == "/dir/hello?x=/y")
            .count(),
        1
    );
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("if-modified-since") == Some(DATE)),
        "{asked:?}"
    );
    // With a checksum nothing is asked that is known.
    let dockerfile = format!(
        "FROM scratch\nADD --checksum={HELLO} {} /a/\n",
        web.url("/dir/hello?x=/y#z")
    );
    let checked = environment.build(&dockerfile);
    assert_eq!((checked.layer(0), web.asked().len()), (built.layer(0), 0));
    // What was touched since is noticed and fetched again.
    let layer = environment.store.layers().tree(&fetched(&environment));
    fs::write(layer.join("hello"), "poison").unwrap();
    let healed = environment.build(&dockerfile);
    assert_eq!((healed.layer(0), web.asked().len()), (built.layer(0), 1));
    assert!(
        healed
            .said
            .warnings()
            .iter()
            .any(|text| text.contains("fetched again"))
    );
    // Archives are unpacked where that is said; files of the context, of the file and of the net mix.
    environment.write("local", "here");
    let built = environment.build(&format!(
        "FROM scratch\nADD --unpack=true {} /u/\nADD {} /v/\nADD local <<inline {} /w/\nfrom the file\ninline\n",
        web.url("/x.tgz"),
        web.url("/x.tgz"),
        web.url("/dir/hello"),
    ));
    assert!(
        built
            .layer(0)
            .iter()
            .any(|line| line.contains("u/etc/passwd f")),
        "{:?}",
        built.layer(0)
    );
    assert!(
        built.layer(1)[1].starts_with("600 0:0 v/x.tgz"),
        "{:?}",
        built.layer(1)
    );
    assert_eq!(
        built.layer(2),
        [
            "755 0:0 w d",
            "600 0:0 w/hello f=hello",
            "644 0:0 w/inline f=from the file",
            "644 0:0 w/local f=here"
        ]
    );
    // Credentials: of a secret, and of the address, which is not shown.
    let secret = environment.path("token");
    fs::write(&secret, "t0ken\n").unwrap();
    let mut request = environment.request(&format!("FROM scratch\nADD {} /\n", web.url("/locked")));
    let secrets = [("HTTP_AUTH_TOKEN".to_owned(), SecretSource::File(secret))];
    request.secrets = secrets.into();
    environment.build_request(&request).0.unwrap();
    let address = web.url("/basic").replace("http://", "http://u:p@");
    let built = environment.build(&format!("FROM scratch\nADD {address} /\n"));
    assert!(
        built.said.text().contains("http://u:xxxxx@"),
        "{}",
        built.said.text()
    );
}

/// The layer of the file that is called `hello` and lies at the top.
fn fetched(environment: &Environment) -> gantry_model::Digest {
    let layers = environment.store.layers();
    let mut all = layers.list().unwrap().into_iter().map(|info| info.diff_id);
    all.find(|layer| layers.tree(layer).join("hello").is_file())
        .unwrap()
}

fn hostile_url() {
    let web = Web::start(|asked, stream| {
        use std::io::Write;
        match asked.path.as_str() {
            "/file" => respond(
                stream,
                "302 Found",
                &[("Location", "file:///etc/passwd")],
                b"",
            ),
            "/loop" => respond(stream, "302 Found", &[("Location", "/loop")], b""),
            "/short" => respond(stream, "200 OK", &[("Content-Length", "10")], b"hello"),
            "/huge" => respond(
                stream,
                "200 OK",
                &[("Content-Length", "99999999999999")],
                b"x",
            ),
            "/endless" => {
                respond(stream, "200 OK", &[("Content-Length", "9999999")], b"");
                while stream.write_all(&[0; 4096]).is_ok() {}
            }
            "/gone" => respond(stream, "404 Not Found", &[], b"hello"),
            "/304" => respond(stream, "304 Not Modified", &[], b""),
            "/part" => respond(stream, "206 Partial Content", &[], b"hello"),
            "/name" => {
                let name = (
                    "Content-Disposition",
                    "attachment; filename=\"../../escaped\"",
                );
                respond(
                    stream,
                    "200 OK",
                    &[name, ("Last-Modified", "never")],
                    b"hello",
                );
            }
            _ => respond(stream, "200 OK", &[], b"hello"),
        }
    });
    let limits = gantry_store::Limits {
        tar_bytes: 1 << 20,
        ..gantry_store::Limits::default()
    };
    let mut environment = Environment::new();
    environment.store = environment.store.clone().with_limits(limits);
    for (path, want) in [
        ("/file", "neither HTTP nor HTTPS"),
        ("/loop", "redirect"),
        ("/short", "broke off after 5 bytes"),
        ("/huge", "accepted"),
        ("/endless", "accepted"),
        ("/gone", "invalid response status 404"),
        ("/304", "invalid response status 304"),
        ("/part", "invalid response status 206"),
    ] {
        let dockerfile = format!("FROM scratch\nADD {} /x\n", web.url(path));
        match environment
            .build_request(&environment.request(&dockerfile))
            .0
        {
            Ok(_) => panic!("{path} was taken"),
            Err(error) => assert!(
                explain(&error).contains(want),
                "{path}: {}",
                explain(&error)
            ),
        }
    }
    let nobody = "http://127.0.0.1:1/x";
    for (instruction, want) in [
        (format!("ADD {nobody} /x"), "refused"),
        (
            format!("ADD --checksum={HELLO} {} /x", web.url("/gone")),
            "404",
        ),
        (format!("ADD --checksum=md5:12 {nobody} /x"), "md5"),
        (
            format!("ADD --checksum={HELLO} {nobody} {nobody} /x"),
            "multiple sources",
        ),
        (format!("ADD --checksum={HELLO} a /x"), "requires HTTP(S)"),
        ("ADD http:///x /x".to_owned(), "no host"),
    ] {
        let (error, rendered) = environment.fail(&format!("FROM scratch\n{instruction}\n"));
        assert!(error.contains(want), "{instruction}: {error}");
        assert!(rendered.contains("ADD"), "{rendered}");
    }
    let other = HELLO.replace("2cf", "3cf");
    let (error, _) = environment.fail(&format!(
        "FROM scratch\nADD --checksum={other} {} /x\n",
        web.url("/ok")
    ));
    assert!(error.contains("digest mismatch sha256:2cf24"), "{error}");
    // What the other side calls the file means nothing.
    let built = environment.build(&format!("FROM scratch\nADD {} /d/\n", web.url("/name")));
    assert_eq!(built.last(), ["755 0:0 d d", "600 0:0 d/name f=hello"]);
}

fn git() {
    let server = GitServer::start();
    let (repository, module) = (server.repository("one"), server.repository("module"));
    module.write("inside", "module");
    drop(module.commit());
    repository.write("a", "1");
    repository.write("sub/run.sh", "#!/bin/sh\n");
    repository.git(&["submodule", "--quiet", "add", &server.url("module"), "mod"]);
    repository.git(&["add", "--all"]);
    repository.git(&["update-index", "--chmod=+x", "sub/run.sh"]);
    symlink("a", repository.folder().join("link")).unwrap();
    fs::write(repository.folder().join("sub/run.sh"), "#!/bin/sh\n").unwrap();
    let first = {
        repository.git(&["add", "link"]);
        repository.git(&["commit", "--quiet", "--message=x"]);
        repository.git(&["rev-parse", "HEAD"])
    };
    repository.git(&["tag", "--annotate", "--message=x", "v1"]);
    repository.git(&["checkout", "--quiet", "-b", "next"]);
    repository.write("a", "2");
    let second = repository.commit();
    repository.git(&["checkout", "--quiet", "main"]);
    let environment = Environment::new();
    let url = server.url("one");
    let all = [
        "755 0:0 x d",
        "644 0:0 x/.gitmodules f=[submodule \"mod\"]\n\tpath = mod\n\turl = MODULE",
        "644 0:0 x/a f=1",
        "777 0:0 x/link l->a",
        "755 0:0 x/mod d",
        "644 0:0 x/mod/inside f=module",
        "755 0:0 x/sub d",
        "755 0:0 x/sub/run.sh f=#!/bin/sh",
    ];
    let all = all.map(|line| line.replace("MODULE", &server.url("module")));
    let built = environment.build(&format!("FROM scratch\nADD {url} /x\n"));
    assert_eq!(built.last(), all);
    let root = environment
        .store
        .layers()
        .tree(built.result.layers.last().unwrap());
    assert_eq!(
        fs::metadata(root.join("x/a")).unwrap().mtime(),
        1_700_000_000
    );
    let again = environment.build(&format!("FROM scratch\nADD {url} /x\n"));
    assert_eq!(again.result.executed, 0);
    for (address, want) in [
        (format!("{url}#v1:sub"), "755 0:0 x/run.sh f=#!/bin/sh"),
        (format!("{url}#next"), "644 0:0 x/a f=2"),
        (format!("{url}#{second}"), "644 0:0 x/a f=2"),
        (
            format!("{url}?branch=next&commit={}", &second[..10]),
            "644 0:0 x/a f=2",
        ),
        (format!("{url}?tag=v1&submodules=false"), "755 0:0 x/mod d"),
        (
            format!("{url}?checksum={first}&subdir=/sub"),
            "755 0:0 x/run.sh f=#!/bin/sh",
        ),
        (format!("--checksum={first} {url}"), "644 0:0 x/a f=1"),
    ] {
        let built = environment.build(&format!("FROM scratch\nADD {address} /x\n"));
        let lines = built.last();
        assert!(
            lines.iter().any(|line| line == want),
            "{address}: {lines:?}"
        );
        let has_module = lines.iter().any(|line| line.contains("mod/inside"));
        assert_eq!(has_module, !address.contains("sub"), "{address}: {lines:?}");
    }
    let kept = environment.build(&format!(
        "FROM scratch\nADD --keep-git-dir=true {url}#v1 /x\n"
    ));
    let root = environment
        .store
        .layers()
        .tree(kept.result.layers.last().unwrap());
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command
            .arg("-C")
            .arg(root.join("x"))
            .args(["-c", "safe.directory=*"])
            .args(arguments);
        gantry_testkit::environment::answer(&mut command).ok()
    };
    assert_eq!(git(&["describe", "--tags"]), "v1");
    assert_eq!(git(&["rev-parse", "HEAD"]), first);
    assert_eq!(git(&["config", "remote.origin.url"]), url);
    // The repository moves on: the same words give the new commit.
    repository.write("a", "3");
    drop(repository.commit());
    let built = environment.build(&format!("FROM scratch\nADD {url} /x\n"));
    assert!(
        built.last().contains(&"644 0:0 x/a f=3".to_owned()),
        "{:?}",
        built.last()
    );
}

fn hostile_git() {
    let server = GitServer::start();
    let repository = server.repository("one");
    let marks = tempfile::tempdir().unwrap();
    let mark = marks.path().join("mark");
    // Nothing of what a repository may say runs a program.
    repository.write(".gitattributes", "* filter=evil diff=evil merge=evil\n");
    repository.write(
        ".gitconfig",
        &format!("[filter \"evil\"]\n\tsmudge = touch {}\n", mark.display()),
    );
    repository.write(
        ".githooks/post-checkout",
        &format!("#!/bin/sh\ntouch {}\n", mark.display()),
    );
    repository.git(&["config", "core.hooksPath", ".githooks"]);
    symlink("/etc", repository.folder().join("out")).unwrap();
    symlink(
        "../../../../../../etc/passwd",
        repository.folder().join("passwd"),
    )
    .unwrap();
    drop(repository.commit());
    let environment = Environment::new();
    let url = server.url("one");
    let built = environment.build(&format!("FROM scratch\nADD {url} /x\n"));
    assert!(
        built.last().contains(&"777 0:0 x/out l->/etc".to_owned()),
        "{:?}",
        built.last()
    );
    assert!(!mark.exists());
    // A folder that is a link leads nowhere else.
    for folder in ["out", "out/ssl", "../..", "nonesuch"] {
        let (result, _) = environment.build_request(
            &environment.request(&format!("FROM scratch\nADD {url}#:{folder} /x\n")),
        );
        match result {
            Ok(built) => assert_eq!(folder, "../..", "{built:?}"),
            Err(error) => assert!(
                explain(&error).contains("not found"),
                "{folder}: {}",
                explain(&error)
            ),
        }
    }
    // Submodules by protocols that reach into this machine or name programs.
    for evil in [
        "file:///etc",
        "ext::sh -c touch% /tmp/x",
        "--upload-pack=touch",
    ] {
        let repository = server.repository(&format!("module-{}", evil.len()));
        repository.write(
            ".gitmodules",
            &format!("[submodule \"m\"]\n\tpath = m\n\turl = \"{evil}\"\n"),
        );
        repository.git(&["add", "--all"]);
        let head = "160000,1111111111111111111111111111111111111111,m";
        repository.git(&["update-index", "--add", "--cacheinfo", head]);
        repository.git(&["commit", "--quiet", "--message=x"]);
        let address = server.url(&format!("module-{}", evil.len()));
        let (error, _) = environment.fail(&format!("FROM scratch\nADD {address} /x\n"));
        assert!(error.contains("cannot fetch"), "{evil}: {error}");
    }
    let commit = "1111111111111111111111111111111111111111";
    for (instruction, want) in [
        (
            format!("ADD {url}#nonesuch /x"),
            "no branch, tag or reference nonesuch",
        ),
        (format!("ADD {url}#{commit} /x"), "cannot fetch"),
        (
            format!("ADD --checksum={commit} {url} /x"),
            "expected checksum to match 1111",
        ),
        (
            format!("ADD {url}#--upload-pack=x /x"),
            "not the name of a branch",
        ),
        (
            "ADD ssh://-oProxyCommand=x/y /x".to_owned(),
            "begin with a dash",
        ),
        (
            "ADD ssh://-oProxyCommand=x@127.0.0.1:1/a.git /x".to_owned(),
            "a user does not begin with a dash",
        ),
        (format!("ADD {} /x", server.url("nonesuch")), "cannot fetch"),
        ("ADD git://127.0.0.1:1/x /x".to_owned(), "refused"),
    ] {
        let (error, _) = environment.fail(&format!("FROM scratch\n{instruction}\n"));
        assert!(error.contains(want), "{instruction}: {error}");
    }
    // A tree that holds more files than there are is refused before it is written.
    let limits = gantry_store::Limits {
        entries: 3,
        ..gantry_store::Limits::default()
    };
    let mut small = Environment::new();
    small.store = small.store.clone().with_limits(limits);
    let (error, _) = small.fail(&format!("FROM scratch\nADD {url} /x\n"));
    assert!(
        error.contains("more files or bytes than are accepted"),
        "{error}"
    );
}

/// Who fetches a repository over HTTP with credentials lends them, and keys, to no submodule.
fn others() {
    let server = GitServer::start();
    let other = Web::start(|_, stream| locked(stream));
    let modules = [
        ("web", other.url("/m.git")),
        ("ssh", "ssh://git@127.0.0.1:1/m.git".to_owned()),
    ];
    let mut folders = Vec::new();
    for (name, url) in modules {
        let repository = server.repository(name);
        let module = format!("[submodule \"m\"]\n\tpath = m\n\turl = {url}\n");
        repository.write(".gitmodules", &module);
        repository.git(&["add", "--all"]);
        let head = "160000,1111111111111111111111111111111111111111,m";
        repository.git(&["update-index", "--add", "--cacheinfo", head]);
        repository.git(&["commit", "--quiet", "--message=x"]);
        repository.git(&["update-server-info"]);
        folders.push((name, repository.folder().join(".git")));
    }
    let web = Web::start(move |asked, stream| {
        if asked.header("authorization").is_none() {
            return locked(stream);
        }
        let path = asked.path.split('?').next().unwrap();
        let file = folders.iter().find_map(|(name, folder)| {
            let path = path.strip_prefix(&format!("/{name}.git/"))?;
            fs::read(folder.join(path)).ok()
        });
        match file {
            Some(bytes) => respond(stream, "200 OK", &[], &bytes),
            None => respond(stream, "404 Not Found", &[], b""),
        }
    });
    // The caller's helper answers for all hosts; his ssh tells how it was called.
    let home = tempfile::tempdir().unwrap();
    let called = home.path().join("called");
    let helper = "!f() { echo username=u; echo password=p; }; f";
    let config = format!("[credential]\n\thelper = \"{helper}\"\n");
    fs::write(home.path().join(".gitconfig"), config).unwrap();
    let script = format!("#!/bin/sh\necho \"$*\" >>{}\nexit 1\n", called.display());
    fs::write(home.path().join("ssh"), script).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(home.path().join("ssh"), executable).unwrap();
    let path = std::env::var("PATH").unwrap();
    let environment = Environment::new();
    let mut builder = environment.builder();
    builder.outside.environment = [
        ("HOME".to_owned(), home.path().display().to_string()),
        (
            "PATH".to_owned(),
            format!("{}:{path}", home.path().display()),
        ),
    ]
    .into_iter()
    .collect();
    let secret = environment.path("token");
    fs::write(&secret, "t0ken\n").unwrap();
    let token = ("GIT_AUTH_TOKEN".to_owned(), SecretSource::File(secret));
    // With the helper, and with a token.
    for secrets in [None, Some(token)] {
        let fetch = |name: &str| {
            let address = web.url(&format!("/{name}.git"));
            let mut request = environment.request(&format!("FROM scratch\nADD {address} /x\n"));
            request.secrets = secrets.clone().into_iter().collect();
            let agent = ("default".to_owned(), home.path().join("agent"));
            request.ssh = [agent].into();
            let failed = environment.build_with(&builder, &request, &[]).0;
            explain(&failed.map(|_| ()).unwrap_err())
        };
        let error = fetch("web");
        assert!(error.contains("could not read Username"), "{error}");
        let asked = other.asked();
        assert!(!asked.is_empty());
        for asked in asked {
            assert_eq!(asked.header("authorization"), None, "{asked:?}");
        }
        let error = fetch("ssh");
        let calls = fs::read_to_string(&called).unwrap_or_else(|_| panic!("{error}"));
        for want in [
            "-F /dev/null",
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "IdentityFile=none",
            "IdentityAgent=none",
        ] {
            for call in calls.lines() {
                assert!(call.contains(want), "{want}: {call}");
            }
        }
        fs::remove_file(&called).unwrap();
    }
}

fn locked(stream: &mut std::net::TcpStream) {
    let basic = [("WWW-Authenticate", "Basic realm=\"x\"")];
    respond(stream, "401 Unauthorized", &basic, b"");
}
