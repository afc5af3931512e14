use super::*;
use gantry_supervisor::log::{LogSettings, LogWriter};
use jiff::SignedDuration;

const TIMES: [&str; 3] = [
    "2026-01-01T00:00:01Z",
    "2026-01-01T00:00:02.5Z",
    "2026-01-01T00:00:03.123456789Z",
];

fn settings(folder: &tempfile::TempDir, max_size: Option<u64>) -> LogFiles {
    LogFiles {
        path: folder.path().join("json.log"),
        max_size,
        max_files: 4,
        compress: false,
    }
}

fn read(settings: &LogFiles, options: LogOptions) -> String {
    let mut reader = LogReader::open(settings.clone(), options, None).unwrap();
    let mut text = String::new();
    while let Some(line) = reader.next_line().unwrap() {
        text.push_str(&line.text);
    }
    text
}

#[test]
fn a_missing_log_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(read(&settings(&folder, None), LogOptions::default()), "");
}

#[test]
fn the_end_of_it_spans_files() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, Some(400));
    let mut log = LogWriter::open(&LogSettings::files(settings.clone())).unwrap();
    for number in 0..18 {
        log.push(Stream::Stdout, format!("{number}\n").as_bytes(), TIMES[0]);
    }
    assert!(settings.file(2).exists());
    let all: String = (0..18).map(|number| format!("{number}\n")).collect();
    assert_eq!(read(&settings, LogOptions::default()), all);
    for tail in [0, 1, 2, 5, 7, 12, 17] {
        let options = LogOptions {
            tail: Some(tail),
            ..LogOptions::default()
        };
        let want: String = (18 - tail..18)
            .map(|number| format!("{number}\n"))
            .collect();
        assert_eq!(read(&settings, options), want, "{tail}");
    }
    let options = LogOptions {
        tail: Some(1000),
        ..LogOptions::default()
    };
    assert_eq!(read(&settings, options), all);
}

#[test]
fn times_bound_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, None);
    let mut log = LogWriter::open(&LogSettings::files(settings.clone())).unwrap();
    for (number, time) in TIMES.iter().enumerate() {
        log.push(Stream::Stderr, format!("{number}\n").as_bytes(), time);
    }
    let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    let since = LogOptions {
        since: at("2026-01-01T00:00:02Z"),
        ..LogOptions::default()
    };
    assert_eq!(read(&settings, since), "1\n2\n");
    let until = LogOptions {
        until: at(TIMES[1]),
        ..LogOptions::default()
    };
    assert_eq!(read(&settings, until), "0\n1\n");
}

#[test]
fn a_torn_line_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, None);
    let mut log = LogWriter::open(&LogSettings::files(settings.clone())).unwrap();
    log.push(Stream::Stdout, b"one\n", TIMES[0]);
    let mut torn = std::fs::read(&settings.path).unwrap();
    torn.extend_from_slice(b"{\"log\":\"tw\n");
    std::fs::write(&settings.path, &torn).unwrap();
    let mut log = LogWriter::open(&LogSettings::files(settings.clone())).unwrap();
    log.push(Stream::Stdout, b"three\n", TIMES[1]);
    assert_eq!(read(&settings, LogOptions::default()), "one\nthree\n");
}

#[test]
fn a_follower_passes_over_rotations() {
    follow(10, |_| {});
}

/// Follows a log in which each line but the first is written after the follower has read the first,
/// over files of three lines; `meanwhile` happens before it goes on.
fn follow(lines: u32, meanwhile: impl FnOnce(&LogFiles)) {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, Some(300));
    let mut log = LogWriter::open(&LogSettings::files(settings.clone())).unwrap();
    log.push(Stream::Stdout, b"0\n", TIMES[0]);
    // Without a session it takes one look after everything there is was read.
    let follower = Follower::new(&settings, None).unwrap();
    let mut reader =
        LogReader::open(settings.clone(), LogOptions::default(), Some(follower)).unwrap();
    let mut got = vec![reader.next_line().unwrap().unwrap().text];
    for number in 1..lines {
        log.push(Stream::Stdout, format!("{number}\n").as_bytes(), TIMES[0]);
    }
    meanwhile(&settings);
    while let Some(line) = reader.next_line().unwrap() {
        got.push(line.text);
    }
    let want: Vec<String> = (0..lines).map(|number| format!("{number}\n")).collect();
    assert_eq!(got, want);
}

/// Turns a full file into what the compressor makes of it.
fn compress(settings: &LogFiles, age: u32) {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder
        .write_all(&std::fs::read(settings.file(age)).unwrap())
        .unwrap();
    std::fs::write(settings.compressed(age), encoder.finish().unwrap()).unwrap();
    std::fs::remove_file(settings.file(age)).unwrap();
}

#[test]
fn compressed_files_are_read_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, Some(400));
    let mut log = LogWriter::open(&LogSettings::files(settings.clone())).unwrap();
    for number in 0..18 {
        log.push(Stream::Stdout, format!("{number}\n").as_bytes(), TIMES[0]);
    }
    compress(&settings, 1);
    compress(&settings, 2);
    let all: String = (0..18).map(|number| format!("{number}\n")).collect();
    assert_eq!(read(&settings, LogOptions::default()), all);
    for tail in [0, 1, 7, 8, 12, 17, 18, 100] {
        let options = LogOptions {
            tail: Some(tail),
            ..LogOptions::default()
        };
        let want: String = (18_u64.saturating_sub(tail)..18)
            .map(|number| format!("{number}\n"))
            .collect();
        assert_eq!(read(&settings, options), want, "{tail}");
    }
}

#[test]
fn a_follower_passes_over_compression() {
    // The file that is being read is one of them.
    follow(11, |settings| {
        for age in 1..3 {
            compress(settings, age);
        }
    });
}

#[test]
fn a_place_in_time_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder, None);
    let mut log = LogWriter::open(&LogSettings::files(settings.clone())).unwrap();
    let start: Timestamp = TIMES[0].parse().unwrap();
    for number in 0..5000 {
        let time = start
            .checked_add(SignedDuration::from_secs(number))
            .unwrap();
        log.push(
            Stream::Stdout,
            format!("{number}\n").as_bytes(),
            &time.to_string(),
        );
    }
    for number in [0, 1, 700, 2500, 4999] {
        let since = start
            .checked_add(SignedDuration::from_secs(number))
            .unwrap();
        let options = LogOptions {
            since: Some(since),
            ..LogOptions::default()
        };
        let mut reader = LogReader::open(settings.clone(), options, None).unwrap();
        assert_eq!(
            reader.next_line().unwrap().unwrap().text,
            format!("{number}\n")
        );
    }
}

#[test]
fn times_are_dockers() {
    let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    for (text, want) in [
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T01:00:00.5+01:00", "2026-01-01T00:00:00.5Z"),
        ("10m", "2026-01-01T23:50:00Z"),
        ("1h30m", "2026-01-01T22:30:00Z"),
        ("1.5s", "2026-01-01T23:59:58.5Z"),
        ("0", "1970-01-01T00:00:00Z"),
        ("1767225600.25", "2026-01-01T00:00:00.25Z"),
    ] {
        assert_eq!(parse_time(text, now).unwrap().to_string(), want, "{text}");
    }
    for bad in [
        "",
        "x",
        "10",
        "10x",
        "-5m",
        "m",
        "1..5",
        "99999999999999999999",
    ] {
        if bad != "10" {
            assert!(parse_time(bad, now).is_err(), "{bad}");
        }
    }
}
