//! The same words for docker and for Gantry: exit codes and output are the same.

use std::path::Path;

use gantry_testkit::environment::Answer;
use gantry_testkit::fixture;
use gantry_testkit::peers::MODEST_LIMITS;
use regex::Regex;

use crate::runtime::callers::Dockerd;
use crate::{GANTRY, busybox};

/// Words for both, apart by blanks; `~` stands for a blank within a word.
const CASES: &[&str] = &[
    // Listings by template.
    r"ps -a --format table~{{.Names}}\t{{.Image}}\t{{.Command}}\t{{.State}}\t{{.LocalVolumes}}\t{{.Networks}}",
    r#"ps -a --no-trunc --format {{.ID}}|{{.Command}}|{{.Labels}}|{{.Label~"app"}}"#,
    "ps -a --format table~{{println~.Names}}",
    "ps -a --format table~{{upper~.Names}}|{{pad~.Names~2~2}}|{{truncate~.Names~1}}|{{json~.Names}}",
    r#"ps -a --format table~{{join~(split~.Names~"")~"-"}}"#,
    "ps -a --format {{.Nope}}",
    "ps -a --format {{.Names",
    "ps -aq",
    "ps -a --no-trunc -q",
    "ps -n 1 --format {{.Names}}",
    "ps -l --format {{.Names}}",
    r"images --format table~{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.Digest}}\t{{.Containers}}\t{{.SharedSize}}",
    "images -q",
    "images --no-trunc -q busy*",
    "images nonesuch -q",
    "images --filter dangling=true -q",
    "images --filter reference=busy* --format {{.Repository}}",
    "images --filter colour=red",
    "images --filter colour",
    r"history --format table~{{.ID}}\t{{.CreatedBy}} busybox",
    "history -q --no-trunc busybox",
    r"volume ls --format table~{{.Driver}}\t{{.Name}}\t{{.Scope}}\t{{.Labels}}\t{{.Size}}\t{{.Links}}",
    "volume ls --format raw",
    "volume ls -q --filter name=ol",
    "volume ls -q --filter dangling=true",
    "volume ls --filter colour=red",
    r"system df --format table~{{.Type}}\t{{.TotalCount}}\t{{.Active}}",
    "system df --format {{.Nope}}",
    "stats --no-stream --format {{.Name}} up",
    "stats --no-stream --format {{.Nope}} up",
    // Filters.
    "ps --filter status=exited --format {{.Names}}",
    "ps --filter exited=3 --format {{.Names}}",
    "ps -a --filter exited=3 --format {{.Names}}",
    "ps -a --filter exited=x",
    "ps -a --filter status=gone",
    "ps --filter since=made --format {{.Names}}",
    "ps -a --filter since=made --format {{.Names}}",
    "ps -a --filter before=up --format {{.Names}}",
    "ps -a --filter before=nonesuch",
    "ps -a --filter ancestor=busybox --format {{.Names}}",
    "ps -a --filter ancestor=nonesuch --format {{.Names}}",
    "ps -a --filter health=none --format {{.Names}}",
    "ps -a --filter isolation=default --format {{.Names}}",
    "ps -a --filter is-task=false --format {{.Names}}",
    "ps -a --filter is-task=true --format {{.Names}}",
    "ps -a --filter label=app --format {{.Names}}",
    "ps -a --filter label=app=web --format {{.Names}}",
    "ps -a --filter label!=app",
    "ps -a --filter name=^u --format {{.Names}}",
    "ps -a --filter name=^/up$ --format {{.Names}}",
    "ps -a --filter network=none --format {{.Names}}",
    "ps -a --filter network=nonesuch --format {{.Names}}",
    "ps -a --filter expose=90 --format {{.Names}}",
    "ps -a --filter expose=x",
    "ps -a --filter publish=x",
    "ps -a --filter volume=vol --format {{.Names}}",
    "ps -a --filter volume=/data --format {{.Names}}",
    "ps -a --filter volume=/t --format {{.Names}}",
    "ps --filter colour=red",
    "ps --filter colour",
    // Documents.
    "inspect -f {{.Name}}|{{.Path}}|{{.Args}}|{{.Config.Image}}|{{.State.ExitCode}} done up",
    "inspect -f {{.Config.Labels.app}}|{{.Config.Labels.nope}} up",
    "inspect -f {{if~.State.Health}}yes{{else}}no{{end}} up",
    "inspect -f {{if~.Config.Healthcheck}}yes{{else}}no{{end}} up",
    "inspect -f {{.State.Health.Status}} up",
    r#"inspect -f {{range~.Mounts}}{{if~eq~.Destination~"/data"}}{{.Type}}|{{.Mode}}|{{.RW}}|{{.Propagation}}{{end}}{{end}} up"#,
    r#"inspect -f {{range~.Mounts}}{{if~eq~.Destination~"/nameless"}}{{.Type}}|{{.Mode}}|{{.RW}}|{{.Propagation}}{{end}}{{end}} up"#,
    r#"inspect -f {{range~.Mounts}}{{if~eq~.Destination~"/memory"}}{{.Type}}|{{.Mode}}|{{.RW}}|{{.Propagation}}{{end}}{{end}} up"#,
    r#"inspect -f {{range~.Mounts}}{{if~eq~.Destination~"/share"}}{{.Type}}|{{.Mode}}|{{.RW}}|{{.Propagation}}{{end}}{{end}} up"#,
    r#"inspect -f {{range~.Mounts}}{{if~eq~.Destination~"/t"}}{{.Type}}|{{.Mode}}|{{.RW}}|{{.Propagation}}{{end}}{{end}} up"#,
    "inspect -f {{.HostConfig.Binds}}|{{.HostConfig.Tmpfs}}|{{len~.HostConfig.Mounts}} up",
    "inspect -f {{json~.Config.Volumes}}|{{json~.Config.Entrypoint}} up",
    "inspect --type image -f {{.Os}} busybox",
    "inspect --type container busybox",
    "inspect --type volume -f {{.Name}} vol",
    "inspect --type colour x",
    "inspect nonesuch",
    "inspect --size -f {{.SizeRw}} made",
    // Words and codes.
    "wait done done",
    "wait nonesuch done",
    "port up",
    "port up 80",
    "port nonesuch",
    "logs done",
    "logs --tail x done",
    "logs --tail -1 done",
    "logs --since yesterday done",
    "start nonesuch",
    "stop nonesuch",
    "kill made",
    "kill -s FOO up",
    "rm up",
    "rm nonesuch",
    "pause made",
    "unpause up",
    "exec up sh -c exit~9",
    "exec made true",
    "top made",
    "rename up done",
    "create -l =x busybox",
    "create --isolation hyperv busybox",
    "create --storage-opt colour=red busybox",
    "container prune -f --filter label=nonesuch",
    "container prune -f --filter until=24h",
    "container prune -f --filter until=x",
    "container prune -f --filter colour=red",
    "volume prune -f --filter colour=red",
    "image prune -f --filter colour=red",
    "tag nonesuch x",
    "rmi nonesuch",
    "save nonesuch",
    "save -o /nonesuch/x busybox",
    "load -i /nonesuch",
    "version --format {{.Nope}}",
    "info --format {{.OSType}}|{{.Swarm.LocalNodeState}}|{{.NCPU}}|{{.CgroupVersion}}",
    "nonesuch",
    "ps extra",
    "ps --nonesuch",
];

fn words(case: &str) -> Vec<String> {
    let word = |word: &str| word.replace('~', " ");
    case.split(' ').map(word).collect()
}

/// Without what is different in every installation.
fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, name) in [(r"\b[0-9a-f]{64}\b", "<ID>"), (r"\b[0-9a-f]{12}\b", "<id>")] {
        text = Regex::new(pattern).unwrap().replace_all(&text, name).into();
    }
    // How wide a column is depends on what was replaced. Docker ends the line that a failing
    // template did not begin.
    let text = Regex::new(" +")
        .unwrap()
        .replace_all(&text, " ")
        .into_owned();
    text.trim_end().to_owned()
}

fn prepare(call: &dyn Fn(&[&str]) -> Answer) {
    let make = |name: &str, more: &[&str]| {
        let first = ["create", "--name", name, "--network", "none"];
        drop(call(&[&first[..], &MODEST_LIMITS, more].concat()).ok());
    };
    make(
        "made",
        &["-l", "app=web", "busybox", "sh", "-c", "echo 'a  b'"],
    );
    make("done", &["busybox", "sh", "-c", "echo out; exit 3"]);
    assert_eq!(call(&["start", "-a", "done"]).code, 3);
    make("more", &["--isolation", "default", "busybox", "true"]);
    drop(call(&["rm", "more"]).ok());
    make(
        "up",
        &[
            "-l",
            "app=db",
            "-v",
            "vol:/data",
            "-v",
            "/nameless",
            "--mount",
            "type=tmpfs,dst=/memory,tmpfs-size=1m",
            "--mount",
            "type=bind,src=/usr/share,dst=/share,readonly",
            "--tmpfs",
            "/t",
            "--expose",
            "90",
            "busybox",
            "sleep",
            "1000",
        ],
    );
    drop(call(&["start", "up"]).ok());
}

#[test]
fn root_the_same_words_get_the_same_answers_from_docker() {
    let env = busybox();
    let dockerd = Dockerd::with_runtime(&env.work().join("docker"), Path::new(GANTRY));
    let archive = fixture::busybox();
    let import = [
        "import",
        "--change",
        "CMD [\"sh\"]",
        archive.to_str().unwrap(),
    ];
    drop(dockerd.call(&[&import[..], &["busybox"]].concat()).ok());
    let gantry = |words: &[&str]| env.gantry(words);
    prepare(&|words| dockerd.call(words));
    prepare(&gantry);
    let compare = |case: &&str| {
        let words = words(case);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (theirs, ours) = (dockerd.call(&words), gantry(&words));
        let same = theirs.code == ours.code && plain(&theirs.stdout) == plain(&ours.stdout);
        (!same).then(|| format!("{case}\ndocker: {theirs:?}\ngantry: {ours:?}\n"))
    };
    // None of them changes anything, so that several are asked at once.
    let different: Vec<String> = std::thread::scope(|scope| {
        let parts = CASES.chunks(CASES.len().div_ceil(4));
        let askers: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().filter_map(compare).collect::<Vec<_>>()))
            .collect();
        let answers = askers.into_iter().map(|asker| asker.join().unwrap());
        answers.flatten().collect()
    });
    for call in [
        &(|words: &[&str]| dockerd.call(words)) as &dyn Fn(&[&str]) -> Answer,
        &gantry,
    ] {
        drop(call(&["rm", "-f", "-v", "up", "made", "done"]).ok());
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
