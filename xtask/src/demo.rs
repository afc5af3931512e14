//! Gantry's main job, from nothing to a page fetched from a container.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::packages::{self, Needed};
use crate::{cargo, say};

const IMAGE: &str = "hello:demo";
const CONTAINER: &str = "hello-demo";

pub(crate) fn run() -> Result<()> {
    say("== building gantry (release, static)");
    let demo = Demo::new(cargo::release_binary()?)?;
    let result = demo.steps();
    let cleaned = demo.clean_up();
    result?;
    cleaned?;
    say("== done, and cleaned up");
    Ok(())
}

struct Demo {
    binary: PathBuf,
    folder: PathBuf,
}

impl Demo {
    fn new(binary: PathBuf) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("gantry-demo-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self { binary, folder })
    }

    /// A call of gantry on the demo's own state folders.
    fn gantry(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env("GANTRY_ROOT", self.folder.join("root"))
            .env("GANTRY_RUN", self.folder.join("run"))
            .args(args);
        command
    }

    fn show(&self, args: &[&str]) -> Result<()> {
        say(&format!("\n$ gantry {}", args.join(" ")));
        cargo::run(&mut self.gantry(args))
    }

    fn steps(&self) -> Result<()> {
        self.base_image()?;
        let example = cargo::root().join("examples/hello");
        let context = example.to_str().context("the checkout's path is no text")?;
        self.show(&["build", "--tag", IMAGE, context])?;
        self.show(&["images"])?;
        self.show(&[
            "run",
            "--detach",
            "--name",
            CONTAINER,
            "--publish",
            "127.0.0.1:0:8080",
            IMAGE,
        ])?;
        let address = cargo::output(&mut self.gantry(&["port", CONTAINER, "8080"]))?;
        let address = address.lines().next().context("no port was published")?;
        say(&format!("\n== fetching http://{address}/"));
        let page = fetch(address, Instant::now() + Duration::from_secs(10))?;
        say(page.trim_end());
        if !page.contains("Hello from Gantry") {
            bail!("the page is not the one that was built");
        }
        self.show(&["ps"])?;
        self.show(&["logs", CONTAINER])?;
        self.show(&["rm", "--force", CONTAINER])
    }

    /// busybox from Docker Hub, or else from the host's package manager.
    fn base_image(&self) -> Result<()> {
        say("\n$ gantry pull busybox");
        if self.gantry(&["pull", "busybox"]).status()?.success() {
            say("== the base image came from Docker Hub");
            return Ok(());
        }
        packages::ensure(&[Needed {
            program: "busybox",
            package: "busybox-static",
        }])?;
        let archive = self.folder.join("busybox.tar");
        gantry_testkit::fixture::busybox_archive(&archive);
        let archive = archive
            .to_str()
            .context("the temporary folder's path is no text")?;
        self.show(&[
            "import",
            "--change",
            "CMD [\"sh\"]",
            archive,
            "busybox:latest",
        ])?;
        say("== no registry answered: the base image was made from the host's busybox");
        Ok(())
    }

    fn clean_up(&self) -> Result<()> {
        let leftover = cargo::output(&mut self.gantry(&["ps", "--all", "--quiet"]))?;
        for id in leftover.lines() {
            cargo::run(&mut self.gantry(&["rm", "--force", id]))?;
        }
        fs::remove_dir_all(&self.folder)
            .with_context(|| format!("cannot remove {}", self.folder.display()))
    }
}

/// Fetches `/` by HTTP/1.0, trying again until the server listens or the time is up.
fn fetch(address: &str, deadline: Instant) -> Result<String> {
    loop {
        match request(address) {
            Ok(page) => return Ok(page),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("no answer from {address}"));
            }
            Err(_) => std::thread::yield_now(),
        }
    }
}

fn request(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other("not a page")),
    }
}
