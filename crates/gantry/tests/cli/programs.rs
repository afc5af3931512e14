//! Real programs on real base images: a Node.js API, a Python service, a compiled program.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use gantry_testkit::environment::{answer, wait_for};
use gantry_testkit::{Answer, TestEnv, fixture};

use crate::GANTRY;

/// An installation with `debian:bookworm-slim`.
fn debian() -> TestEnv {
    let env = TestEnv::new(GANTRY);
    env.import(
        &fixture::debian(),
        "debian:bookworm-slim",
        &["CMD [\"bash\"]"],
    );
    env
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(status.success());
}

fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
}

fn address(env: &TestEnv, container: &str, port: &str) -> String {
    env.gantry(["port", container, port])
        .ok()
        .lines()
        .next()
        .unwrap()
        .to_owned()
}

/// A build that trusts what this machine trusts: a proxy may sign anew what it downloads. Neither
/// Dockerfile says anything of it.
fn build_with_certificates(env: &TestEnv, tag: &str, context: &Path) -> Answer {
    let mut arguments: Vec<OsString> = ["build", "--progress=plain", "-t", tag]
        .map(Into::into)
        .into();
    arguments.extend(["--ca-certificates".into(), fixture::certificates().into()]);
    arguments.push(context.into());
    env.gantry(arguments)
}

/// Serves a folder over TLS on a port of loopback, which it prints; ends with its standard input.
const TLS_SERVER: &str = "
import functools, http.server, ssl, sys, threading
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words): pass
handler = functools.partial(Handler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('authority.pem', 'key.pem')
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
";

#[test]
fn root_apt_and_curl_trust_the_authorities_that_a_step_is_lent() {
    let env = debian();
    env.write(
        "served/Packages",
        "Package: proof\nVersion: 1\nArchitecture: all\nMaintainer: t <t@example.org>\n\
         Filename: ./proof.deb\nSize: 1\nDescription: found over TLS\n",
    );
    // The host's curl with its libraries; the C library is that of the image.
    let prepare = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
         -addext subjectAltName=DNS:localhost -keyout key.pem -out authority.pem 2>/dev/null && \
         mkdir -p ctx/curl && cp \"$(command -v curl)\" ctx/curl && \
         ldd ctx/curl/curl | grep -o '/[^ ]*' | grep -v 'ld-linux\\|/libc.so' | xargs cp -Lt ctx/curl";
    let shell = |script: &str| {
        let mut shell = Command::new("sh");
        answer(shell.args(["-c", script]).current_dir(env.work())).ok()
    };
    shell(prepare);
    let mut server = Command::new("python3")
        .args(["-c", TLS_SERVER, "served"])
        .current_dir(env.work())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut port)
        .unwrap();
    let address = format!("https://localhost:{}", port.trim());
    env.write(
        "ctx/Dockerfile",
        format!(
            "FROM debian:bookworm-slim\nCOPY curl /opt/curl/\n\
             RUN LD_LIBRARY_PATH=/opt/curl /opt/curl/curl -fsS {address}/Packages >/fetched\n\
             RUN echo 'deb [trusted=yes] {address} ./' >/list && \
             A='-o Dir::Etc::SourceList=/list -o Dir::Etc::SourceParts=-' && \
             apt-get $A -o Acquire::Retries=0 -o Acquire::Languages=none update && \
             apt-cache $A show proof | grep 'found over TLS'\n"
        ),
    );
    let words = [
        "build",
        "--progress=plain",
        "--network=host",
        "-t",
        "made",
        "ctx",
    ];
    let refused = env.gantry(words).fails(1);
    assert!(refused.contains("certificate"), "{refused}");
    let mut lent = words.to_vec();
    lent.push("--ca-certificates=authority.pem");
    let built = env.gantry(lent);
    drop(server.stdin.take());
    server.wait().unwrap();
    assert_eq!(built.code, 0, "{}", built.stderr);
    let left = "cmp /fetched /fetched && echo \"<$APT_CONFIG$SSL_CERT_FILE>\" && \
                ! ls /dev/certificates 2>/dev/null && ! grep -r authorities.pem /etc/apt";
    let left = env.gantry(["run", "--rm", "made", "sh", "-c", left]).ok();
    assert_eq!(left, "<>");
}

#[test]
fn root_a_node_api_in_two_stages() {
    let env = debian();
    let base = env.work().join("base");
    fs::create_dir_all(&base).unwrap();
    copy(&fixture::node(), &base.join("node"));
    fs::write(
        base.join("Dockerfile"),
        "FROM debian:bookworm-slim\nCOPY node/ /usr/local/\n\
        RUN groupadd -g 1000 node && useradd -u 1000 -g node -m node\nCMD [\"node\"]\n",
    )
    .unwrap();
    env.gantry(["build", "-q", "-t", "node:20", base.to_str().unwrap()])
        .ok();

    let context = env.work().join("api");
    env.write(
        "api/package.json",
        r#"{"name":"api","version":"1.0.0","private":true,"main":"server.js",
        "dependencies":{"is-number":"7.0.0"}}"#,
    );
    env.write("api/package-lock.json", r#"{"name":"api","version":"1.0.0","lockfileVersion":3,"requires":true,
        "packages":{"":{"name":"api","version":"1.0.0","dependencies":{"is-number":"7.0.0"}},
        "node_modules/is-number":{"version":"7.0.0","license":"MIT","engines":{"node":">=0.12.0"}}}}"#);
    env.write("api/server.js", "const isNumber = require('is-number');\n\
        require('http').createServer((q, r) => {\n  r.end(JSON.stringify({number: isNumber(q.url.slice(1)), uid: process.getuid()}));\n\
        }).listen(3000, () => console.log('listening'));\n\
        process.on('SIGTERM', () => process.exit(0));\n");
    env.write("api/.dockerignore", "node_modules\n");
    env.write("api/Dockerfile", "FROM node:20 AS deps\nWORKDIR /app\n\
        COPY package.json package-lock.json ./\n\
        RUN npm ci --omit=dev --no-audit --no-fund\n\n\
        FROM node:20\nENV NODE_ENV=production\nWORKDIR /app\nCOPY --from=deps --chown=node:node /app/node_modules ./node_modules\n\
        COPY --chown=node:node package.json server.js ./\nUSER node\nEXPOSE 3000\n\
        HEALTHCHECK --interval=5s --retries=3 CMD node -e \"fetch('http://127.0.0.1:3000/1')\"\n\
        CMD [\"node\", \"server.js\"]\n");
    let built = build_with_certificates(&env, "api", &context);
    assert_eq!(built.code, 0, "{}", built.stderr);
    env.gantry([
        "run",
        "-d",
        "--name",
        "api",
        "-p",
        "127.0.0.1:0:3000",
        "api",
    ])
    .ok();
    let address = address(&env, "api", "3000");
    wait_for("the API answers", || {
        get(&address, "/12").as_deref() == Some("{\"number\":true,\"uid\":1000}")
    });
    wait_for("the log", || {
        env.gantry(["logs", "api"]).ok() == "listening"
    });
    env.gantry(["stop", "api"]).ok();
    assert_eq!(env.gantry(["wait", "api"]).ok(), "0");
}

#[test]
fn root_a_python_service_by_builder_pattern() {
    let env = debian();
    let base = env.work().join("base");
    fs::create_dir_all(&base).unwrap();
    fs::write(base.join("Dockerfile"), "FROM debian:bookworm-slim\n\
        RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv python3-pip && rm -rf /var/lib/apt/lists/*\n").unwrap();
    let made = env.gantry([
        "build",
        "--progress=plain",
        "-t",
        "python:3",
        base.to_str().unwrap(),
    ]);
    assert_eq!(made.code, 0, "{}", made.stderr);

    let context = env.work().join("service");
    env.write("service/requirements.txt", "six==1.16.0\n");
    env.write("service/app.py", "import http.server, six\nclass H(http.server.BaseHTTPRequestHandler):\n    \
        def do_GET(self):\n        self.send_response(200); self.end_headers(); self.wfile.write(six.__version__.encode())\n    \
        def log_message(self, *a): pass\nhttp.server.HTTPServer(('', 8000), H).serve_forever()\n");
    env.write("service/Dockerfile", "FROM python:3 AS builder\n\
        RUN python3 -m venv /venv\nCOPY requirements.txt .\nRUN /venv/bin/pip install --no-cache-dir -r requirements.txt\n\n\
        FROM python:3\nENV PATH=/venv/bin:$PATH\nCOPY --from=builder /venv /venv\nCOPY app.py /app.py\nUSER nobody\n\
        EXPOSE 8000\nCMD [\"python3\", \"/app.py\"]\n");
    let built = build_with_certificates(&env, "service", &context);
    assert_eq!(built.code, 0, "{}", built.stderr);
    env.gantry([
        "run",
        "-d",
        "--name",
        "service",
        "-p",
        "127.0.0.1:0:8000",
        "service",
    ])
    .ok();
    let address = address(&env, "service", "8000");
    wait_for("the service answers", || {
        get(&address, "/").as_deref() == Some("1.16.0")
    });
}

#[test]
fn root_a_compiled_program_in_an_empty_image() {
    let env = debian();
    let context = env.work().join("c");
    env.write(
        "c/main.c",
        "#include <stdio.h>\nint main(void) { puts(\"compiled\"); return 3; }\n",
    );
    env.write(
        "c/Dockerfile",
        "FROM debian:bookworm-slim AS build\n\
        RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev\n\
        COPY main.c .\nRUN gcc -static -O2 -o /program main.c\n\n\
        FROM scratch\nCOPY --from=build /program /program\nUSER 1000\nENTRYPOINT [\"/program\"]\n",
    );
    let built = env.gantry([
        "build",
        "--progress=plain",
        "-t",
        "tiny",
        context.to_str().unwrap(),
    ]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let answer = env.gantry(["run", "--rm", "tiny"]);
    assert_eq!((answer.code, answer.stdout.as_str()), (3, "compiled\n"));
    let layers = env.json(["inspect", "-f", "{{json .RootFS.Layers}}", "tiny"]);
    assert_eq!(layers.as_array().unwrap().len(), 1);
}
