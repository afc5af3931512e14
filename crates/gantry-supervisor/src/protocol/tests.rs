use super::*;

fn bytes(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut out = header(kind, payload.len()).to_vec();
    out.extend_from_slice(payload);
    out
}

#[test]
fn frames_survive_any_cut() {
    let mut wire = bytes(Kind::Stdout, b"hello");
    wire.extend(bytes(Kind::Stderr, b""));
    wire.extend(bytes(Kind::Control, br#"{"type":"done"}"#));
    for cut in 0..wire.len() {
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for piece in [&wire[..cut], &wire[cut..]] {
            decoder.feed(piece);
            while let Some(frame) = decoder.next_frame().unwrap() {
                seen.push((frame.kind, frame.payload.to_vec()));
            }
        }
        assert_eq!(seen.len(), 3, "cut at {cut}");
        assert_eq!(seen[0], (Kind::Stdout, b"hello".to_vec()));
        assert_eq!(seen[1], (Kind::Stderr, Vec::new()));
        assert_eq!(decoder.pending(), 0);
    }
}

#[test]
fn output_frames_are_dockers() {
    assert_eq!(bytes(Kind::Stderr, b"abc"), b"\x02\0\0\0\0\0\0\x03abc");
}

#[test]
fn frames_beyond_their_limit_are_refused() {
    let mut decoder = Decoder::default();
    decoder.feed(&header(Kind::Stdin, MAX_STREAM + 1));
    assert_eq!(
        decoder.next_frame(),
        Err(FrameError::Length {
            length: MAX_STREAM + 1
        })
    );
    let mut decoder = Decoder::default();
    decoder.feed(&[9, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(decoder.next_frame(), Err(FrameError::Kind { kind: 9 }));
}

#[test]
fn messages_round_trip() {
    for request in [
        Request::Hello { version: VERSION },
        Request::Attach(Attach {
            stdin: true,
            stdout: true,
            stderr: false,
            lossless: true,
        }),
        Request::Resize(WindowSize {
            rows: 24,
            columns: 80,
        }),
        Request::CloseStdin,
        Request::Stop {
            signal: None,
            timeout: Some(-1),
        },
        Request::Wait { not_running: true },
        Request::SetRestart(gantry_model::restart::RestartPolicy::Always),
    ] {
        let text = serde_json::to_vec(&request).unwrap();
        let frame = Frame {
            kind: Kind::Control,
            payload: &text,
        };
        assert_eq!(frame.message::<Request>().unwrap(), request);
    }
    let frame = Frame {
        kind: Kind::Control,
        payload: b"{\"type\":\"dance\"}",
    };
    assert!(matches!(
        frame.message::<Request>(),
        Err(FrameError::Message { .. })
    ));
}
