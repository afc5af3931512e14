//! What addresses of contexts hold: repositories over ssh, and passwords, which nobody is told.

use std::fs;
use std::process::Command;

use gantry_testkit::environment::answer;
use gantry_testkit::web::{GitServer, Web, respond};
use gantry_testkit::{Answer, TestEnv};

use crate::busybox;

in_both_modes! {
    contexts_come_over_ssh,
}

/// A machine of one's own with an ssh server on its usual port, whose root has a key that an agent
/// of the caller holds; `g` is this installation's command.
const SSH: &str = r#"
    say() { "$@" >"$WORK/said" 2>&1; code=$?; }
    wrong() { echo "WRONG: $*"; cat "$WORK/said"; }
    fails() { [ "$code" = 1 ] && grep -qF -- "$1" "$WORK/said" || wrong "code $code, no: $1"; }
    mount -t tmpfs none /run && mkdir -m 755 /run/sshd || exit 99
    echo 'root:*:19000::::::' >"$WORK/shadow" && mount --bind "$WORK/shadow" /etc/shadow || exit 99
    ip link set lo up
    for key in host client; do ssh-keygen -q -t ed25519 -N '' -f "$WORK/$key" || exit 99; done
    cp "$WORK/client.pub" "$WORK/authorized"
    for line in "HostKey $WORK/host" "AuthorizedKeysFile $WORK/authorized" "StrictModes no" \
        "UsePAM no" "PidFile none" "PasswordAuthentication no" "ListenAddress 127.0.0.1"; do
        echo "$line"
    done >"$WORK/config"
    /usr/sbin/sshd -D -f "$WORK/config" -E "$WORK/log" & server=$!
    user=$(stat -c %u "$WORK")
    setpriv --reuid "$user" --regid "$user" --clear-groups ssh-agent -D -a "$WORK/agent" >/dev/null &
    agent=$!
    trap 'kill $server $agent; wait' EXIT
    tries=0
    until (exec 3<>/dev/tcp/127.0.0.1/22 && SSH_AUTH_SOCK="$WORK/agent" ssh-add -q "$WORK/client") 2>/dev/null
    do
        tries=$((tries + 1)); [ $tries -lt 600 ] || { cat "$WORK/log"; exit 99; }
        sleep 0.1
    done
    git init -q -b main "$WORK/repo" && cd "$WORK/repo" && echo content >file &&
        printf 'FROM scratch\nCOPY file /\n' >Dockerfile && git add . &&
        git -c user.name=t -c user.email=t@example.org commit -q -m x || exit 99
    cd "$WORK"
    known() { mkdir -p "$HOME/.ssh"; echo "127.0.0.1 $(cut -d' ' -f1,2 "$1.pub")" >"$HOME/.ssh/known_hosts"; }
    url="ssh://root@127.0.0.1$WORK/repo"
"#;

fn contexts_come_over_ssh(env: TestEnv) {
    let script = r#"
    lent="--ssh=default=$WORK/agent"
    say g build -q -o out $lent "$url"; fails "the host is not known: add its key to ~/.ssh/known_hosts"
    known "$WORK/client"
    say g build -q -o out $lent "$url"; fails "the host has another key than ~/.ssh/known_hosts says"
    known "$WORK/host"
    say g build -q -o out "$url"; fails "keys come from an agent: give it with --ssh default"
    for address in "$url" "$url#main" "root@127.0.0.1:$WORK/repo" "root@127.0.0.1:repo#main"; do
        [ "$address" = "root@127.0.0.1:repo#main" ] && { mount --bind "$WORK" /root || exit 99; }
        rm -rf out
        say g build -q -o out $lent "$address"
        [ "$code" = 0 ] && [ "$(cat out/file)" = content ] || wrong "$address"
    done
    rm -rf out
    printf "FROM scratch\nADD $url /r/\nADD root@127.0.0.1:$WORK/repo /s/\n" >adds
    export SSH_AUTH_SOCK="$WORK/agent"
    say g build -q --ssh default -o out -f - "$url" <adds
    [ "$code" = 0 ] && cmp out/r/file out/s/file || wrong ADD
    say g build -q -o out "ssh://root:hunter22@127.0.0.1$WORK/repo"
    fails "ssh and git take no password from an address"
    ! grep -q hunter22 "$WORK/said" || wrong "the password is told"
    say g build -q -o out $lent "ssh://root@127.0.0.1$WORK/none"; fails "does not appear to be a git repository"
    "#;
    let command = env.line("\"$@\"");
    let text = format!("g() {{ {command}; }}\n{SSH}\n{script}");
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "--net", "bash", "-c", &text]);
    let variables = env.command(["x"]);
    let variables = variables.get_envs();
    shell
        .env_clear()
        .envs(variables.filter_map(|(name, value)| Some((name, value?))))
        .env("WORK", env.work())
        .current_dir(env.work());
    let done = answer(&mut shell);
    let told = format!("{}{}", done.stdout, done.stderr);
    assert!(done.code == 0 && !told.contains("WRONG"), "{told}");
}

const PASSWORD: &str = "s3cr3tPassw0rd";

/// Fails where the password is in an answer.
fn silent(answer: Answer) -> Answer {
    let told = format!("{}{}", answer.stdout, answer.stderr);
    assert!(!told.contains(PASSWORD), "{told}");
    answer
}

#[test]
fn root_passwords_of_addresses_are_told_nobody() {
    let env = busybox();
    let server = GitServer::start();
    let repository = server.repository("one");
    repository.write("file", "content\n");
    drop(repository.commit());
    let bare = env.work().join("bare.git");
    let folder = repository.folder().to_str().unwrap().to_owned();
    let target = bare.to_str().unwrap().to_owned();
    repository.git(&["clone", "-q", "--bare", &folder, &target]);
    repository.git(&["--git-dir", &target, "update-server-info"]);
    let web = Web::start(move |asked, stream| {
        let path = asked.path.split('?').next().unwrap_or_default();
        let found = match path.strip_prefix("/bare.git/") {
            _ if asked.header("authorization").is_none() => {
                let realm = [("WWW-Authenticate", "Basic realm=\"x\"")];
                return respond(stream, "401 Unauthorized", &realm, b"");
            }
            Some(path) => fs::read(bare.join(path)).ok(),
            None => (path == "/file").then(|| b"from the web\n".to_vec()),
        };
        match found {
            Some(content) => respond(stream, "200 OK", &[], &content),
            None => respond(stream, "404 Not Found", &[], b""),
        }
    });
    let with_password = |path: &str| {
        let user = format!("http://me:{PASSWORD}@");
        web.url(path).replace("http://", &user)
    };
    let dockerfile = |path: &str, last: &str| {
        let file = with_password(path);
        format!("FROM busybox\nCOPY file /a\nADD {file} /b\nRUN cat /a /b >/c\nLABEL {last}\n")
    };
    let context = with_password("/bare.git");
    let build = |flags: &[&str], dockerfile: &str, context: &str| {
        let mut words = vec!["build", "-f", "-"];
        words.extend(flags);
        words.push(context);
        silent(env.gantry_with_input(words, dockerfile.as_bytes()))
    };
    let attested = [
        "--progress=plain",
        "--tag=made",
        "--output=type=image",
        "--output=type=oci,tar=false,dest=layout",
        "--provenance=true",
        "--metadata-file=metadata",
    ];
    assert_eq!(
        build(&attested, &dockerfile("/file", "a=b"), &context).code,
        0
    );
    for kind in ["json", "text"] {
        let explain = format!("--explain={kind}");
        let flags = [
            "--progress=rawjson",
            explain.as_str(),
            "--no-cache-filter=0",
        ];
        assert_eq!(build(&flags, &dockerfile("/file", "a=c"), &context).code, 0);
    }
    for words in [
        &["history", "--no-trunc", "made"][..],
        &["inspect", "made"],
        &["builder", "du", "--verbose"],
        &["system", "df", "-v"],
    ] {
        silent(env.gantry(words)).ok();
    }
    // What cannot be had is told without it, whichever part of the build wanted it.
    for mode in ["plain", "rawjson", "quiet"] {
        let progress = format!("--progress={mode}");
        let none = with_password("/none.git");
        let wants = "FROM scratch\nCOPY . /\n";
        assert_eq!(build(&[&progress], wants, &none).code, 1);
        assert_eq!(
            build(&[&progress], &dockerfile("/none", "a=b"), &context).code,
            1
        );
        let unknown = dockerfile("/file", "a=b").replace("ADD", "ADD --nonesuch");
        assert_eq!(build(&[&progress], &unknown, &context).code, 1);
    }
    for place in [
        env.root(),
        env.run_root(),
        env.work().join("layout"),
        env.work().join("metadata"),
    ] {
        let found = answer(Command::new("grep").args(["-rlF", PASSWORD]).arg(place));
        assert_eq!((found.code, found.stdout.as_str()), (1, ""));
    }
    let history = env.gantry(["history", "--no-trunc", "made"]).ok();
    assert!(
        history.contains("ADD http://me:xxxxx@127.0.0.1:"),
        "{history}"
    );
}
