//! `.env`: variables for Compose files.

use std::collections::BTreeMap;

/// The variables of a text: `NAME=VALUE` a line, perhaps behind `export`, the value perhaps
/// between quotes. Lines that are none are left out.
pub fn dotenv(text: &str) -> BTreeMap<String, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    if name.is_empty() || name.starts_with('#') || name.contains(char::is_whitespace) {
        return None;
    }
    let value = value.trim();
    let value = if let Some(rest) = value.strip_prefix('\'') {
        rest.split('\'').next().unwrap_or_default().to_owned()
    } else if let Some(rest) = value.strip_prefix('"') {
        let inside = rest.split('"').next().unwrap_or_default();
        inside.replace("\\n", "\n").replace("\\t", "\t")
    } else {
        // A remark begins behind white space.
        let end = value.find(" #").unwrap_or(value.len());
        value[..end].trim_end().to_owned()
    };
    Some((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::dotenv;

    #[test]
    fn lines() {
        let text = "# remark\nA=1\nexport B = two # remark\nC='x # y'\nD=\"a\\nb\"\nE=\nnothing\n=x\nF=a#b\n";
        let got: Vec<String> = dotenv(text)
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        assert_eq!(got, ["A=1", "B=two", "C=x # y", "D=a\nb", "E=", "F=a#b"]);
    }
}
