use super::*;

const TIME: &str = "2026-01-02T03:04:05.678Z";

fn entries(settings: &LogFiles, age: u32) -> Vec<(String, Stream)> {
    let text = std::fs::read_to_string(settings.file(age)).unwrap();
    text.lines()
        .map(|line| {
            let entry: Entry = serde_json::from_str(line).unwrap();
            (entry.log.into_owned(), entry.stream)
        })
        .collect()
}

fn settings(folder: &tempfile::TempDir) -> LogFiles {
    LogFiles {
        path: folder.path().join("json.log"),
        max_size: None,
        max_files: 1,
        compress: false,
    }
}

fn encoded(attributes: &[(&str, &str)]) -> String {
    let attributes = attributes
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    let mut out = Vec::new();
    let line = lines::Line {
        text: b"a\"\\\t<\xff\xfe\xc3\xa9",
        whole: true,
        stream: Stream::Stderr,
    };
    EntryWriter::new(&attributes).write(&mut out, line, TIME);
    String::from_utf8(out).unwrap()
}

#[test]
fn an_entry_is_dockers() {
    assert_eq!(
        encoded(&[]),
        "{\"log\":\"a\\\"\\\\\\u0009\\u003c\\ufffd\\ufffdé\\n\",\"stream\":\"stderr\",\
         \"time\":\"2026-01-02T03:04:05.678Z\"}\n"
    );
    assert!(encoded(&[("a", "b"), ("tag", "x\"<")]).contains(
        "\"stream\":\"stderr\",\"attrs\":{\"a\":\"b\",\"tag\":\"x\\\"\\u003c\"},\"time\""
    ));
    let text = encoded(&[("a", "b")]);
    let entry: Entry<'_> = serde_json::from_str(&text).unwrap();
    assert_eq!(entry.attrs["a"], "b");
}

#[test]
fn full_files_are_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogFiles {
        max_files: 4,
        compress: true,
        ..settings(&folder)
    };
    for age in 0..3 {
        std::fs::write(settings.file(age), format!("file {age}")).unwrap();
    }
    // Left by a compressor that was killed.
    std::fs::write(folder.path().join("json.log.compressing"), "x").unwrap();
    compress::all(&settings).unwrap();
    for age in 1..3 {
        let mut text = String::new();
        let file = std::fs::File::open(settings.compressed(age)).unwrap();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
        assert_eq!(text, format!("file {age}"));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn lines_are_put_together_from_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let mut log = LogWriter::open(&LogSettings::files(settings.clone())).unwrap();
    log.push(Stream::Stdout, b"one\ntw", TIME);
    log.push(Stream::Stderr, b"err\n\n", TIME);
    log.push(Stream::Stdout, b"o\nthree", TIME);
    log.end(Stream::Stdout, TIME);
    log.end(Stream::Stderr, TIME);
    let got = entries(&settings, 0);
    let want = [
        ("one\n", Stream::Stdout),
        ("err\n", Stream::Stderr),
        ("\n", Stream::Stderr),
        ("two\n", Stream::Stdout),
        ("three", Stream::Stdout),
    ];
    assert_eq!(got, want.map(|(text, stream)| (text.to_owned(), stream)));
}

#[test]
fn long_lines_come_in_parts() {
    for (length, want) in [
        (MAX_LINE - 1, vec![MAX_LINE]),
        (MAX_LINE, vec![MAX_LINE, 1]),
        (MAX_LINE * 2 + 5, vec![MAX_LINE, MAX_LINE, 6]),
    ] {
        for step in [1000, 1 << 20] {
            let folder = tempfile::tempdir().unwrap();
            let settings = settings(&folder);
            let mut log = LogWriter::open(&LogSettings::files(settings.clone())).unwrap();
            let mut text = vec![b'x'; length];
            text.push(b'\n');
            for piece in text.chunks(step) {
                log.push(Stream::Stdout, piece, TIME);
            }
            let got: Vec<usize> = entries(&settings, 0)
                .iter()
                .map(|(text, _)| text.len())
                .collect();
            assert_eq!(got, want, "{length} in steps of {step}");
        }
    }
}

#[test]
fn no_character_is_torn() {
    for shift in 0..4 {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&folder);
        let mut log = LogWriter::open(&LogSettings::files(settings.clone())).unwrap();
        let text = format!("{}{}\n", "x".repeat(shift), "€𝄞é".repeat(6000));
        log.push(Stream::Stdout, text.as_bytes(), TIME);
        let got: String = entries(&settings, 0)
            .into_iter()
            .map(|(text, _)| text)
            .collect();
        assert_eq!(got, text);
    }
}

#[test]
fn files_rotate_and_lose_nothing_but_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogFiles {
        path: folder.path().join("json.log"),
        max_size: Some(1000),
        max_files: 3,
        compress: false,
    };
    let mut log = LogWriter::open(&LogSettings::files(settings.clone())).unwrap();
    let mut all = String::new();
    for number in 0..100 {
        all.push_str(&format!("line {number}\n"));
    }
    log.push(Stream::Stdout, all.as_bytes(), TIME);
    let mut kept = String::new();
    for age in (0..3).rev() {
        kept.extend(entries(&settings, age).into_iter().map(|(text, _)| text));
        assert!(std::fs::metadata(settings.file(age)).unwrap().len() < 1100);
    }
    assert!(!settings.file(3).exists());
    assert!(all.ends_with(&kept) && kept.len() > 100, "{kept}");
    assert!(log.take_failure().is_none());
}

#[test]
fn one_file_starts_over() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogFiles {
        path: folder.path().join("json.log"),
        max_size: Some(500),
        max_files: 1,
        compress: false,
    };
    let mut log = LogWriter::open(&LogSettings::files(settings.clone())).unwrap();
    for number in 0..50 {
        log.push(Stream::Stdout, format!("{number}\n").as_bytes(), TIME);
    }
    assert!(std::fs::metadata(&settings.path).unwrap().len() < 600);
    assert_eq!(entries(&settings, 0).last().unwrap().0, "49\n");
}
