//! A web server and a git server on loopback, for what builds fetch.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::environment::answer;

/// A request that came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Path with query.
    pub path: String,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    /// The value of a header; its name in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// Something that listens on a loopback port until it is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    port: u16,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listening {
    pub(crate) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let port = listener
            .local_addr()
            .expect("a listener has an address")
            .port();
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let serve = Arc::new(serve);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream.expect("a connection can be accepted")));
            }
        });
        Self {
            port,
            over,
            thread: Some(thread),
        }
    }
}

impl Listening {
    /// Its port of loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // One more connection wakes the thread.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A web server that answers as it is told.
#[derive(Debug)]
pub struct Web {
    listening: Listening,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Web {
    /// Starts one; `serve` writes the whole answer to each request.
    ///
    /// # Panics
    /// When loopback has no free port.
    #[must_use]
    pub fn start(serve: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let listening = Listening::start(move |mut stream| {
            let Some(request) = read(&stream) else { return };
            heard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(request.clone());
            serve(&request, &mut stream);
            drop(stream.shutdown(Shutdown::Write));
        });
        Self { listening, asked }
    }

    /// The address of a path, which begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.listening.port)
    }

    /// The requests that came until now, which are forgotten.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let headers = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect();
    Some(Asked { path, headers })
}

/// Writes an answer; its length is told unless a header does.
pub fn respond(stream: &mut TcpStream, status: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !headers.iter().any(|(name, _)| *name == "Content-Length") {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    // The other side may have heard enough.
    drop(
        stream
            .write_all(text.as_bytes())
            .and_then(|()| stream.write_all(body)),
    );
}

/// A folder with git repositories, served by `git daemon`.
#[derive(Debug)]
pub struct GitServer {
    listening: Listening,
    folder: tempfile::TempDir,
}

impl GitServer {
    /// Starts one.
    ///
    /// # Panics
    /// When loopback has no free port.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let base = format!("--base-path={}", folder.path().display());
        let listening = Listening::start(move |stream| {
            let input = OwnedFd::from(stream.try_clone().expect("a socket can be doubled"));
            let daemon = git(Path::new("/"))
                .args(["daemon", "--inetd", "--export-all", &base])
                .stdin(Stdio::from(input))
                .stdout(Stdio::from(OwnedFd::from(stream)))
                .stderr(Stdio::null())
                .status();
            daemon.expect("the package git is installed");
        });
        Self { listening, folder }
    }

    /// `git://127.0.0.1:PORT/NAME`.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("git://127.0.0.1:{}/{name}", self.listening.port)
    }

    /// A new repository of this name, whose branch is called `main`.
    #[must_use]
    pub fn repository(&self, name: &str) -> Repository {
        let repository = Repository {
            folder: self.folder.path().join(name),
        };
        fs::create_dir(&repository.folder).expect("a folder can be made");
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }
}

/// A git repository with its files.
#[derive(Debug)]
pub struct Repository {
    folder: PathBuf,
}

impl Repository {
    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, content: &str) {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder"))
            .expect("a folder can be made");
        fs::write(path, content).expect("a file can be written");
    }

    /// Commits all files; the name of the commit.
    #[must_use]
    pub fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message=x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in it and gives what it wrote; panics unless it succeeded.
    pub fn git(&self, arguments: &[&str]) -> String {
        answer(git(&self.folder).args(arguments)).ok()
    }
}

/// Git without anybody's configuration, whose commits are the same every day.
fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "tester")
            .env(format!("GIT_{who}_EMAIL"), "tester@example.org")
            .env(format!("GIT_{who}_DATE"), "1700000000 +0000");
    }
    command.args(["-c", "protocol.file.allow=always", "-c", "safe.directory=*"]);
    command
}
