use super::*;

const TIME: &str = "2026-01-02T03:04:05.678Z";

fn entries(settings: &LogSettings, age: u32) -> Vec<(String, Stream)> {
    let text = std::fs::read_to_string(settings.file(age)).unwrap();
    text.lines()
        .map(|line| {
            let entry: Entry = serde_json::from_str(line).unwrap();
            (entry.log.into_owned(), entry.stream)
        })
        .collect()
}

fn settings(folder: &tempfile::TempDir) -> LogSettings {
    LogSettings {
        path: folder.path().join("json.log"),
        max_size: None,
        max_files: 1,
    }
}

#[test]
fn an_entry_is_dockers() {
    let mut out = Vec::new();
    encode(
        &mut out,
        b"a\"\\\t<\xff\xfe\xc3\xa9",
        true,
        Stream::Stderr,
        TIME,
    );
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"log\":\"a\\\"\\\\\\u0009\\u003c\\ufffd\\ufffdé\\n\",\"stream\":\"stderr\",\
         \"time\":\"2026-01-02T03:04:05.678Z\"}\n"
    );
}

#[test]
fn lines_are_put_together_from_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder);
    let mut log = LogWriter::open(settings.clone()).unwrap();
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
            let mut log = LogWriter::open(settings.clone()).unwrap();
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
        let mut log = LogWriter::open(settings.clone()).unwrap();
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
    let settings = LogSettings {
        path: folder.path().join("json.log"),
        max_size: Some(1000),
        max_files: 3,
    };
    let mut log = LogWriter::open(settings.clone()).unwrap();
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
    let settings = LogSettings {
        path: folder.path().join("json.log"),
        max_size: Some(500),
        max_files: 1,
    };
    let mut log = LogWriter::open(settings.clone()).unwrap();
    for number in 0..50 {
        log.push(Stream::Stdout, format!("{number}\n").as_bytes(), TIME);
    }
    assert!(std::fs::metadata(&settings.path).unwrap().len() < 600);
    assert_eq!(entries(&settings, 0).last().unwrap().0, "49\n");
}
