//! Runs a command in an overlay over a directory, as often as asked for, and says how long it took:
//! `run [-n COUNT] ROOTFS COMMAND…`. The measure for the budget of the runtime, and for comparing
//! it with other runtimes on the same root file system.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gantry_runtime::{Launch, OverlayRoot, RootFs, SeccompChoice, Stdio, create, defaults};
use oci_spec::runtime::{Capability, LinuxCapabilitiesBuilder, Spec};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<ExitCode, Failure> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut count = 1;
    if arguments.first().is_some_and(|first| first == "-n") {
        count = arguments.get(1).ok_or("-n needs a number")?.parse()?;
        arguments.drain(..2);
    }
    let rootfs = PathBuf::from(arguments.first().ok_or("which root file system?")?);
    let spec = spec(arguments.split_off(1))?;
    let state = std::env::temp_dir().join(format!("gantry-run-{}", std::process::id()));
    let mut times = Vec::new();
    let mut code = 0;
    for number in 0..count {
        let own = state.join(number.to_string());
        let overlay = OverlayRoot {
            lowers: vec![rootfs.clone()],
            data: Vec::new(),
            upper: own.join("upper"),
            work: own.join("work"),
            volatile: false,
        };
        std::fs::create_dir_all(&overlay.upper)?;
        std::fs::create_dir_all(&overlay.work)?;
        let mut own = Times::default();
        code = run(&spec, overlay, &mut own)?;
        times.push(own);
    }
    std::fs::remove_dir_all(&state)?;
    if count > 1 {
        report(&times)?;
    }
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(255)))
}

/// When what was done, since the beginning.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    prepare: Duration,
    create: Duration,
    start: Duration,
    wait: Duration,
    whole: Duration,
}

fn run(spec: &Spec, overlay: OverlayRoot, times: &mut Times) -> Result<i32, Failure> {
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let launch = Launch {
        id: "run",
        spec,
        rootfs: RootFs::Overlay(overlay),
        stdio: Stdio::Files {
            stdin: stdin.as_fd(),
            stdout: stdout.as_fd(),
            stderr: stderr.as_fd(),
        },
        seccomp: SeccompChoice::DockerDefault,
        init: false,
        die_with_parent: true,
        strict_rlimits: false,
        oci: gantry_runtime::OciOptions::default(),
    };
    let begin = Instant::now();
    let created = create(&launch, |_| {
        times.prepare = begin.elapsed();
        Ok::<(), std::io::Error>(())
    })?;
    times.create = begin.elapsed();
    let running = created.start()?;
    times.start = begin.elapsed();
    let status = running.wait()?;
    times.wait = begin.elapsed();
    let failures = running.cleanup();
    times.whole = begin.elapsed();
    match failures.into_iter().next() {
        Some(error) => Err(error.into()),
        None => Ok(status.code()),
    }
}

fn spec(command: Vec<String>) -> Result<Spec, Failure> {
    let capabilities = defaults::CAPABILITIES
        .iter()
        .map(|name| Capability::try_from(name.trim_start_matches("CAP_")))
        .collect::<Result<std::collections::HashSet<_>, _>>()?;
    let capabilities = LinuxCapabilitiesBuilder::default()
        .bounding(capabilities.clone())
        .effective(capabilities.clone())
        .permitted(capabilities)
        .inheritable([])
        .ambient([])
        .build()?;
    let mut spec = Spec::default();
    let mut process = spec.process().clone().unwrap_or_default();
    process
        .set_args(Some(command))
        .set_capabilities(Some(capabilities))
        .set_no_new_privileges(Some(false))
        .set_rlimits(None);
    spec.set_process(Some(process))
        .set_mounts(Some(defaults::mounts()))
        .set_hostname(Some("run".to_owned()));
    let strings = |list: &[&str]| Some(list.iter().map(|&text| text.to_owned()).collect());
    let mut linux = spec.linux().clone().unwrap_or_default();
    let mut resources = linux.resources().clone().unwrap_or_default();
    resources.set_devices(Some(defaults::device_rules()));
    linux
        .set_namespaces(Some(defaults::namespaces()))
        .set_masked_paths(strings(defaults::MASKED_PATHS))
        .set_readonly_paths(strings(defaults::READONLY_PATHS))
        .set_resources(Some(resources))
        .set_cgroups_path(Some(format!("/gantry-run-{}", std::process::id()).into()));
    spec.set_linux(Some(linux));
    Ok(spec)
}

fn report(times: &[Times]) -> Result<(), Failure> {
    type Part = fn(&Times) -> Duration;
    let parts: [(&str, Part); 5] = [
        ("namespaces and cgroups", |times| times.prepare),
        ("ready", |times| times.create),
        ("executing", |times| times.start),
        ("ended", |times| times.wait),
        ("cleaned up", |times| times.whole),
    ];
    for (name, part) in parts {
        let mut part: Vec<Duration> = times.iter().map(part).collect();
        part.sort();
        let at = |share: usize| part[(part.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        writeln!(
            std::io::stderr(),
            "{name:>22}: fastest {:5.2} ms, median {:5.2} ms, 90 % {:5.2} ms",
            at(0),
            at(50),
            at(90)
        )?;
    }
    Ok(())
}
