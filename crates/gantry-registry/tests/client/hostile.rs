//! Servers that lie, stall, redirect in circles or never end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use gantry_model::image::Descriptor;
use gantry_model::media_type::OCI_LAYER;
use gantry_model::{Digest, Reference};
use gantry_registry::credentials::{Credentials, DockerConfig};
use gantry_registry::{Client, ClientConfig, RegistryError, Secret};
use sha2::{Digest as _, Sha256};

/// A server that answers each request by a function of its head; ends with the test's process.
struct Server {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

fn serve(answer: impl Fn(&str, usize) -> Vec<u8> + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            std::thread::spawn(move || one(stream, &seen, &*answer));
        }
    });
    Server { address, heads }
}

fn one(stream: TcpStream, seen: &Mutex<Vec<String>>, answer: &dyn Fn(&str, usize) -> Vec<u8>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    loop {
        let mut line = String::new();
        // Not a text: somebody tries TLS first.
        if reader.read_line(&mut line).unwrap_or(0) == 0 || !line.is_ascii() {
            return;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(head.clone());
        seen.len()
    };
    let mut stream = stream;
    drop(stream.write_all(&answer(&head, number)));
}

fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn reference(server: &Server) -> Reference {
    format!("{}/a/b:1", server.address).parse().unwrap()
}

fn descriptor(bytes: &[u8]) -> Descriptor {
    let digest = Digest::from_bytes(Sha256::digest(bytes).into());
    Descriptor::new(OCI_LAYER, digest, bytes.len() as u64)
}

fn client() -> Client {
    Client::new(ClientConfig::default())
}

fn failure(server: &Server) -> RegistryError {
    client().resolve(&reference(server)).unwrap_err()
}

#[test]
fn manifests_that_are_none_are_refused() {
    for body in [
        &b"<html>"[..],
        b"",
        b"[]",
        b"{}",
        b"\xff",
        br#"{"layers":[],"manifests":[]}"#,
    ] {
        let body = body.to_vec();
        let server = serve(move |_, _| reply("200 OK", "", &body));
        assert!(matches!(failure(&server), RegistryError::Malformed { .. }));
    }
    let server = serve(|_, _| reply("200 OK", "", br#"{"schemaVersion":1}"#));
    assert!(matches!(failure(&server), RegistryError::Schema1 { .. }));
}

#[test]
fn an_endless_manifest_ends() {
    let server = serve(|_, _| {
        let mut answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        answer.resize(6 << 20, b' ');
        answer
    });
    assert!(matches!(failure(&server), RegistryError::TooLarge { .. }));
}

#[test]
fn a_manifest_of_another_digest_is_refused() {
    let server = serve(|_, _| reply("200 OK", "", br#"{"schemaVersion":2,"layers":[]}"#));
    let pinned = reference(&server).with_digest(Digest::from_bytes([7; 32]));
    let error = client().resolve(&pinned).unwrap_err();
    assert!(
        matches!(error, RegistryError::DigestMismatch { .. }),
        "{error}"
    );
}

#[test]
fn redirects_end_and_do_not_carry_credentials_elsewhere() {
    let circle = serve(|head, _| {
        let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
        reply("302 Found", &format!("Location: {path}\r\n"), b"")
    });
    drop(failure(&circle));
    let other = serve(|_, _| reply("200 OK", "", b"0123456789"));
    let target = other.address.replace("127.0.0.1", "localhost");
    let server = serve(move |head, _| {
        if head.to_lowercase().contains("authorization") {
            reply(
                "307 Temporary Redirect",
                &format!("Location: http://{target}/blob\r\n"),
                b"",
            )
        } else {
            reply(
                "401 Unauthorized",
                "WWW-Authenticate: Basic realm=\"x\"\r\n",
                b"",
            )
        }
    });
    let stored = format!(r#"{{"auths":{{"{}":{{"auth":"dTpw"}}}}}}"#, server.address);
    let credentials = DockerConfig::parse(&stored).unwrap();
    let client = Client::new(ClientConfig {
        credentials,
        ..ClientConfig::default()
    });
    let mut read = Vec::new();
    let mut blob = client
        .blob(&reference(&server), &descriptor(b"0123456789"))
        .unwrap();
    blob.read_to_end(&mut read).unwrap();
    assert_eq!(read, b"0123456789");
    assert!(
        !other
            .heads
            .lock()
            .unwrap()
            .iter()
            .any(|head| head.to_lowercase().contains("authorization"))
    );
}

#[test]
fn a_broken_connection_is_taken_up_where_it_ended() {
    let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let served = content.clone();
    let server = serve(move |head, _| {
        let from = head.to_lowercase().lines().find_map(|line| {
            line.strip_prefix("range: bytes=")?
                .strip_suffix('-')?
                .parse::<usize>()
                .ok()
        });
        let start = from.unwrap_or(0);
        let status = if from.is_some() {
            "206 Partial Content"
        } else {
            "200 OK"
        };
        let range = format!("Content-Range: bytes {start}-199999/200000\r\n");
        let mut answer = reply(status, &range, &served[start..]);
        let head_length = answer.len() - (served.len() - start);
        answer.truncate(head_length + (served.len() - start).min(70_000));
        answer
    });
    let mut read = Vec::new();
    client()
        .blob(&reference(&server), &descriptor(&content))
        .unwrap()
        .read_to_end(&mut read)
        .unwrap();
    assert!(read == content);
    assert_eq!(server.heads.lock().unwrap().len(), 3);
}

#[test]
fn blobs_of_another_length_are_refused() {
    let long = serve(|_, _| reply("200 OK", "", b"0123456789"));
    let error = client()
        .blob(&reference(&long), &descriptor(b"0123"))
        .unwrap_err();
    assert!(matches!(error, RegistryError::Malformed { .. }), "{error}");
    let short = serve(|_, _| b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123".to_vec());
    let mut blob = client()
        .blob(&reference(&short), &descriptor(b"0123456789"))
        .map(|mut blob| {
            let mut read = Vec::new();
            blob.read_to_end(&mut read).map(|_| read)
        });
    assert!(matches!(&mut blob, Ok(Err(_)) | Err(_)));
}

#[test]
fn tokens_are_fetched_once_and_malformed_ones_refused() {
    let server = serve(|head, _| {
        let host = head
            .to_lowercase()
            .lines()
            .find_map(|l| l.strip_prefix("host: ").map(str::to_owned))
            .unwrap();
        if head.starts_with("GET /token?service=s&scope=repository%3Aa%2Fb%3Apull") {
            reply("200 OK", "", br#"{"token":"good","expires_in":300}"#)
        } else if head.contains("Bearer good") {
            reply("200 OK", "", br#"{"schemaVersion":2,"layers":[]}"#)
        } else {
            let challenge =
                format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"s\"\r\n");
            reply("401 Unauthorized", &challenge, b"")
        }
    });
    let client = client();
    client.resolve(&reference(&server)).unwrap();
    client.resolve(&reference(&server)).unwrap();
    let tokens = server
        .heads
        .lock()
        .unwrap()
        .iter()
        .filter(|h| h.starts_with("GET /token"))
        .count();
    assert_eq!(tokens, 1);
    let evil = serve(|head, _| {
        let host = head
            .to_lowercase()
            .lines()
            .find_map(|l| l.strip_prefix("host: ").map(str::to_owned))
            .unwrap();
        if head.starts_with("GET /token") {
            reply("200 OK", "", br#"{"token":"a\r\nX-Injected: 1"}"#)
        } else {
            reply(
                "401 Unauthorized",
                &format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"\r\n"),
                b"",
            )
        }
    });
    assert!(matches!(failure(&evil), RegistryError::Malformed { .. }));
}

#[test]
fn errors_are_told_in_the_registrys_words_and_no_more() {
    let server = serve(|_, _| {
        let long = "x".repeat(5000);
        let body = format!(r#"{{"errors":[{{"code":"DENIED","message":"no \u001b[31m{long}"}}]}}"#);
        reply("403 Forbidden", "", body.as_bytes())
    });
    let text = failure(&server).to_string();
    assert!(
        text.contains("no [31m") && !text.contains('\u{1b}') && text.len() < 500,
        "{text}"
    );
}

#[test]
fn a_busy_registry_is_asked_again() {
    let server = serve(|head, number| {
        if head.starts_with("GET") && number > 2 {
            reply("200 OK", "", br#"{"schemaVersion":2,"layers":[]}"#)
        } else {
            reply("503 Service Unavailable", "Retry-After: 0\r\n", b"")
        }
    });
    client().resolve(&reference(&server)).unwrap();
}

#[test]
fn another_part_than_was_asked_for_is_refused() {
    let bytes = vec![7_u8; 100_000];
    let whole = descriptor(&bytes);
    let server = serve(move |head, _| {
        if head.contains("Range:") || head.contains("range:") {
            return reply(
                "206 Partial Content",
                "Content-Range: bytes 0-99999/100000\r\n",
                &bytes[50_000..],
            );
        }
        let mut broken = reply("200 OK", "", &bytes);
        broken.truncate(broken.len() - 50_000);
        broken
    });
    let client = client();
    let mut blob = client.blob(&reference(&server), &whole).unwrap();
    let error = blob.read_to_end(&mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("another part"), "{error}");
}

#[test]
fn a_registry_is_asked_whether_it_accepts_a_user() {
    let basic = serve(|head, _| {
        if head.contains("Basic dTpw") {
            reply("200 OK", "", b"{}")
        } else {
            reply(
                "401 Unauthorized",
                "WWW-Authenticate: Basic realm=\"x\"\r\n",
                b"",
            )
        }
    });
    let user = |password: &str| Credentials::Basic {
        user: "u".to_owned(),
        password: Secret::new(password.to_owned()),
    };
    assert!(client().login(&basic.address, &user("p")).is_ok());
    let error = client().login(&basic.address, &user("q")).unwrap_err();
    assert!(
        matches!(error, RegistryError::Unauthorized { .. }),
        "{error}"
    );
    let token = serve(|head, _| {
        let host = head
            .lines()
            .find_map(|l| l.to_lowercase().strip_prefix("host: ").map(str::to_owned))
            .unwrap();
        if head.contains("Bearer good") {
            reply("200 OK", "", b"{}")
        } else if head.starts_with("GET /token") && head.contains("Basic dTpw") {
            reply("200 OK", "", br#"{"token":"good"}"#)
        } else if head.starts_with("GET /token") {
            reply(
                "401 Unauthorized",
                "",
                br#"{"errors":[{"code":"UNAUTHORIZED","message":"no such user"}]}"#,
            )
        } else {
            let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"\r\n");
            reply("401 Unauthorized", &challenge, b"")
        }
    });
    assert!(client().login(&token.address, &user("p")).is_ok());
    let error = client()
        .login(&token.address, &user("q"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("no such user"), "{error}");
}

#[test]
fn a_refused_mount_is_no_failure_and_asks_for_both_repositories() {
    let server = serve(|head, _| {
        let host = head
            .lines()
            .find_map(|l| l.to_lowercase().strip_prefix("host: ").map(str::to_owned))
            .unwrap();
        if head.starts_with("GET /token") {
            assert!(
                head.contains(
                    "scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Aother%3Apull"
                ),
                "{head}"
            );
            reply("200 OK", "", br#"{"token":"good"}"#)
        } else if head.contains("Bearer good") {
            reply("403 Forbidden", "", b"")
        } else {
            let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"\r\n");
            reply("401 Unauthorized", &challenge, b"")
        }
    });
    let digest = descriptor(b"x").digest;
    assert!(
        !client()
            .mount_blob(&reference(&server), &digest, "other")
            .unwrap()
    );
}

#[test]
fn a_refusal_is_not_asked_for_again_in_plain() {
    // Answers on plain HTTP only; whatever it refuses, it is asked for once.
    let server = serve(|_, _| reply("403 Forbidden", "", b""));
    let client = client();
    for _ in 0..2 {
        let error = client.resolve(&reference(&server)).unwrap_err();
        assert!(
            matches!(error, RegistryError::Unauthorized { .. }),
            "{error}"
        );
    }
    assert_eq!(server.heads.lock().unwrap().len(), 2);
}
