//! The progress of builds at a terminal: what is drawn, how wide, in which colours, and ctrl-c.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use gantry_testkit::TestEnv;
use gantry_testkit::environment::answer;

use crate::busybox;

/// A command at a terminal of 24 rows and 60 columns, and what it has shown so far.
struct Terminal {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    bytes: Vec<u8>,
}

impl Terminal {
    /// Starts a command of the installation; the name of the terminal is in the file `tty`.
    fn start(env: &TestEnv, rest: &str) -> Self {
        let line = env.line(rest);
        let mut script = env.at_terminal("");
        // The last `-c` counts.
        script.args([
            "-c",
            &format!("tty >tty; stty rows 24 cols 60; exec {line}"),
        ]);
        let mut child = script
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take().unwrap(),
            child,
            bytes: Vec::new(),
        }
    }

    /// Reads until what was shown is as wanted, or the command ends.
    fn until(&mut self, is_wanted: impl Fn(&str) -> bool) {
        let mut chunk = [0; 4096];
        while !is_wanted(&self.text()) {
            let count = self.stdout.read(&mut chunk).unwrap();
            assert!(count > 0, "never shown: {}", self.text());
            self.bytes.extend_from_slice(&chunk[..count]);
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn type_in(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
    }

    /// Reads to the end; the exit code and all that was shown.
    fn end(mut self) -> (i32, String) {
        self.stdout.read_to_end(&mut self.bytes).unwrap();
        let text = self.text();
        drop(self.stdin);
        (self.child.wait().unwrap().code().unwrap(), text)
    }
}

/// The frames of what was shown, each its lines without colours: a frame begins where the cursor
/// goes up to draw over the one before.
fn frames(text: &str) -> Vec<Vec<String>> {
    let mut frames = vec![vec![String::new()]];
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let lines = frames.last_mut().unwrap();
        match c {
            '\x1b' => {
                let sequence = sequence(&mut rest);
                if sequence.ends_with('A') {
                    let up: usize = sequence.trim_end_matches('A').parse().unwrap();
                    assert_eq!(up, lines.len() - 1, "up to the beginning of the frame");
                    frames.push(vec![String::new()]);
                }
            }
            '\n' => lines.push(String::new()),
            '\r' => {}
            c => lines.last_mut().unwrap().push(c),
        }
    }
    frames
}

/// What stands between `ESC [` and the next text.
fn sequence(rest: &mut impl Iterator<Item = char>) -> String {
    let mut sequence = String::new();
    for c in rest.skip(1) {
        sequence.push(c);
        if ('\x40'..='\x7e').contains(&c) {
            break;
        }
    }
    sequence
}

fn fits(frame: &[String], rows: usize, columns: usize) -> bool {
    let width = frame.iter().map(|line| line.chars().count()).max();
    width <= Some(columns) && frame.len() <= rows
}

#[test]
fn root_frames_replace_each_other_and_fit_the_terminal() {
    let env = busybox();
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN --mount=type=cache,target=/c for i in $(seq 9); do \
         echo \"line $i $(seq -s '' 200)\"; done; i=0; \
         until [ -e /c/go ] || [ $i = 600 ]; do i=$((i+1)); sleep 0.1; done\n",
    );
    let mut terminal = Terminal::start(&env, "build -t made ctx");
    terminal.until(|text| text.matches("# line 9").count() > 1);
    let all = frames(&terminal.text());
    // The last one may not be whole yet.
    let frame = &all[all.len() - 2];
    assert!(all.iter().all(|frame| fits(frame, 24, 60)), "{all:?}");
    let count = |what: &str| frame.iter().filter(|line| line.contains(what)).count();
    assert!(frame[0].starts_with("[+] Building "), "{frame:?}");
    assert_eq!(
        (count("=> [2/2] RUN"), count(" => => # line ")),
        (1, 6),
        "{frame:?}"
    );
    assert_eq!(
        (count("# line 3"), count("# line 4 12345")),
        (0, 1),
        "{frame:?}"
    );

    let tty = fs::read_to_string(env.work().join("tty")).unwrap();
    let size = ["-F", tty.trim(), "rows", "8", "cols", "40"];
    answer(Command::new("stty").args(size)).ok();
    let before = all.len();
    let small = |frame: &Vec<String>| fits(frame, 8, 40);
    terminal.until(|text| {
        frames(text)[before..]
            .iter()
            .filter(|frame| small(frame))
            .count()
            > 1
    });
    let caches = fs::read_dir(env.root().join("cache-mounts")).unwrap();
    let mut caches = caches.map(|entry| entry.unwrap().path());
    let cache = caches.find(|path| path.is_dir()).unwrap();
    fs::write(cache.join("go"), "").unwrap();
    let (code, text) = terminal.end();
    assert_eq!(code, 0, "{text}");
    let all = frames(&text);
    let shrunk = all[before..].iter().position(small).unwrap();
    // Remarks follow the last one, behind an empty line.
    let (last, others) = all[before + shrunk..].split_last().unwrap();
    let remarks = last.iter().position(String::is_empty).unwrap();
    let last = &last[..remarks];
    assert!(others.iter().all(small) && fits(last, 8, 40), "{all:?}");
    let runs = |line: &String| line.contains(" => [2/2] RUN");
    assert!(all[before + shrunk].iter().any(runs), "{all:?}");
    assert!(last[0].ends_with(" FINISHED"), "{last:?}");
    assert!(!text.contains("# line 10") && last.iter().all(|line| !line.contains("# line")));
}

type Variables<'v> = &'v [(&'v str, &'v str)];

#[test]
fn root_a_terminal_shows_progress_as_it_is_asked_for() {
    let env = busybox();
    env.write("ctx/Dockerfile", "FROM busybox as x\nRUN echo said\n");
    let shown = |variables: Variables<'_>, flags: &str| {
        let mut command = env.at_terminal(&format!("build {flags} ctx"));
        command.env("TERM", "xterm").envs(variables.iter().copied());
        let shown = answer(command.stdin(Stdio::null()));
        (shown.code, shown.stdout)
    };
    // A build that is over at once is drawn once.
    let is_drawn = |text: &str| text.contains("\x1b[K\r\n");
    let live: [(Variables<'_>, &str, &str); 5] = [
        (&[], "", "\x1b[36m"),
        (
            &[("BUILDKIT_PROGRESS", "plain")],
            "--progress=tty",
            "\x1b[36m",
        ),
        (&[("BUILDKIT_PROGRESS", "tty")], "", "\x1b[36m"),
        (
            &[("BUILDKIT_COLORS", "run=light-blue")],
            "--progress=auto",
            "\x1b[94m",
        ),
        (
            &[("BUILDKIT_COLORS", "warning=1,2,3")],
            "",
            "\x1b[38;2;1;2;3m 1 warning found",
        ),
    ];
    for (variables, flags, color) in live {
        let (code, text) = shown(variables, flags);
        assert!(
            code == 0 && is_drawn(&text) && text.contains(color),
            "{variables:?}: {text:?}"
        );
    }
    let (_, text) = shown(&[("NO_COLOR", "1"), ("BUILDKIT_COLORS", "run=red")], "");
    assert!(is_drawn(&text), "{text:?}");
    let sequences = text.split('\x1b').skip(1);
    let ends = sequences.map(|rest| rest[1..].trim_start_matches(|c: char| c.is_ascii_digit()));
    assert!(
        ends.into_iter().all(|end| end.starts_with(['A', 'K', 'J'])),
        "{text:?}"
    );
    let (_, text) = shown(&[("BUILDKIT_COLORS", "run=pink")], "");
    assert!(
        text.contains("BUILDKIT_COLORS") && text.contains("run=pink"),
        "{text:?}"
    );

    for (variables, flags) in [
        (&[("BUILDKIT_PROGRESS", "plain")][..], "--no-cache"),
        (&[("TERM", "dumb")], "--no-cache"),
        (&[], "--no-cache --progress=plain"),
    ] {
        let (code, text) = shown(variables, flags);
        let plain =
            text.contains("#1 [internal] load build definition") && text.contains(" said\r\n");
        assert!(
            code == 0 && plain && !is_drawn(&text),
            "{variables:?}: {text:?}"
        );
    }
    let (code, text) = shown(&[], "--progress=quiet");
    assert!(code == 0 && !text.contains(['#', '[']), "{text:?}");
    let (code, text) = shown(&[], "-t made --progress=rawjson");
    let documents = text.lines().filter(|line| line.starts_with('{'));
    let documents: Vec<serde_json::Value> = documents
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        code == 0 && documents.len() > 4 && !text.contains('\x1b'),
        "{text:?}"
    );
    let (code, text) = shown(&[("TERM", "dumb")], "--progress=tty");
    assert!(code != 0 && text.contains("needs a terminal"), "{text:?}");
}

#[test]
fn root_ctrl_c_at_a_terminal_ends_a_build() {
    let env = busybox();
    env.write(
        "ctx/Dockerfile",
        "FROM busybox\nRUN trap '' INT TERM; echo begun; sleep 600\n",
    );
    for keys in ["\x03", "\x03\x03"] {
        let mut terminal = Terminal::start(&env, "build -t made ctx");
        terminal.until(|text| text.contains("# begun"));
        terminal.type_in(keys);
        let (code, text) = terminal.end();
        assert!([1, 130].contains(&code), "{code} {text}");
        assert!(code == 130 || text.contains("cancel"), "{text}");
    }
    env.write("ctx/Dockerfile", "FROM busybox\nRUN echo fine\n");
    env.gantry(["build", "-q", "ctx"]).ok();
    assert_eq!(env.gantry(["system", "check"]).code, 0);
}
