//! A registry that serves whatever it is told to, true or not.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use gantry_engine::images::PullOptions;
use gantry_engine::images::progress::Silent;
use gantry_model::{Digest, media_type};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::installation::{Installation, tar};

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Serves by path; ends with the test's process.
fn serve(content: HashMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let content = Arc::new(content);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let content = Arc::clone(&content);
            std::thread::spawn(move || answer(stream, &content));
        }
    });
    address
}

fn answer(stream: TcpStream, content: &HashMap<String, Vec<u8>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    // Somebody tries TLS first.
    if reader
        .fill_buf()
        .is_ok_and(|bytes| bytes.first() == Some(&0x16))
    {
        return;
    }
    let mut lines = reader.split(b'\n');
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| line != b"\r"))
    {}
    let first = String::from_utf8_lossy(&first).into_owned();
    let path = first.split(' ').nth(1).unwrap_or_default();
    let body = content
        .iter()
        .find(|(name, _)| path.ends_with(name.as_str()))
        .map(|(_, b)| b);
    let (status, body) = body.map_or(("404 Not Found", &[][..]), |b| ("200 OK", b));
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    // Who asks may have heard enough before the end.
    drop(stream.write_all(&[head.as_bytes(), body].concat()));
}

/// An image of one layer: what is announced of it, and what is served as it.
struct Lie {
    announced: Vec<u8>,
    served: Vec<u8>,
    diff_id: Digest,
    layers: usize,
}

fn pull(lie: &Lie) -> String {
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [lie.diff_id]},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let layer = json!({
        "mediaType": media_type::OCI_LAYER, "digest": digest(&lie.announced), "size": lie.announced.len(),
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": {"mediaType": media_type::OCI_CONFIG, "digest": digest(&config), "size": config.len()},
        "layers": vec![layer; lie.layers],
    });
    let address = serve(HashMap::from([
        (
            "manifests/1".to_owned(),
            serde_json::to_vec(&manifest).unwrap(),
        ),
        (digest(&config).to_string(), config),
        (digest(&lie.announced).to_string(), lie.served.clone()),
    ]));
    let one = Installation::new();
    let name = format!("{address}/x:1").parse().unwrap();
    let error = one
        .engine
        .images()
        .pull(&name, &PullOptions::default(), &Silent)
        .unwrap_err();
    assert_eq!(one.names(), Vec::<String>::new());
    let one = one.reopened();
    one.check();
    let mut said = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(cause) = next {
        said = format!("{said}: {cause}");
        next = cause.source();
    }
    said
}

#[test]
fn root_what_a_registry_serves_is_verified() {
    let honest = tar(&[("file", "content")]);
    let other = tar(&[("file", "CONTENT")]);
    let lie = Lie {
        announced: honest.clone(),
        served: other.clone(),
        diff_id: digest(&honest),
        layers: 1,
    };
    let said = pull(&lie);
    assert!(said.contains("digest"), "{said}");
    let said = pull(&Lie {
        served: honest.clone(),
        diff_id: digest(&other),
        ..lie
    });
    assert!(
        said.contains("diff ID") || said.contains("digest"),
        "{said}"
    );
    let lie = Lie {
        announced: honest.clone(),
        served: honest.clone(),
        diff_id: digest(&honest),
        layers: 1,
    };
    let said = pull(&Lie {
        served: honest[..600].to_vec(),
        ..lie
    });
    assert!(said.contains("600 bytes"), "{said}");
    let lie = Lie {
        announced: honest.clone(),
        served: honest.clone(),
        diff_id: digest(&honest),
        layers: 2,
    };
    let said = pull(&lie);
    assert!(said.contains("2 layers"), "{said}");
    let junk = b"no tar and no gzip either".repeat(100);
    let said = pull(&Lie {
        announced: junk.clone(),
        served: junk.clone(),
        diff_id: digest(&junk),
        layers: 1,
    });
    assert!(said.contains("unpack"), "{said}");
}
