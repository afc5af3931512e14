//! `WWW-Authenticate` challenges (RFC 9110, section 11; distribution's token protocol).

/// One challenge: a scheme and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// Scheme in lower case.
    pub(crate) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// All challenges of one header; what does not parse ends the list.
    pub(crate) fn parse_all(header: &str) -> Vec<Self> {
        let mut rest = header.trim_start();
        let mut all = Vec::new();
        while let Some((scheme, after)) = token(rest) {
            let mut challenge = Self {
                scheme: scheme.to_ascii_lowercase(),
                parameters: Vec::new(),
            };
            rest = after.trim_start();
            if rest.starts_with('=') {
                break; // a parameter that did not parse, taken for a scheme
            }
            while let Some((key, value, after)) = parameter(rest) {
                challenge.parameters.push((key, value));
                rest = after.trim_start_matches([' ', '\t', ',']);
            }
            all.push(challenge);
            rest = rest.trim_start_matches([' ', '\t', ',']);
        }
        all
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let end = text
        .bytes()
        .position(|b| !is_token(b))
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// `key=value` or `key="quoted \" value"`.
fn parameter(text: &str) -> Option<(String, String, &str)> {
    let (key, rest) = token(text)?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        // Scopes have colons and slashes; some servers do not quote them.
        let (value, rest) = rest.split_at(rest.find([',', ' ', '\t']).unwrap_or(rest.len()));
        return Some((key.to_ascii_lowercase(), value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((key.to_ascii_lowercase(), value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_parse() {
        let all = Challenge::parse_all(
            r#"Bearer realm="https://a/t?x=1,2",service="s \"q\"",scope=repository:a:pull, Basic realm="x""#,
        );
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].parameter("realm"), Some("https://a/t?x=1,2"));
        assert_eq!(all[0].parameter("service"), Some("s \"q\""));
        assert_eq!(all[1].scheme, "basic");
        assert_eq!(Challenge::parse_all("Negotiate")[0].scheme, "negotiate");
    }

    #[test]
    fn malformed_ones_end_quietly() {
        for text in [
            "",
            ",",
            "\"",
            "Bearer realm=\"",
            "Bearer =",
            "=\"x\"",
            "é",
            "Bearer realm=\"\\",
        ] {
            drop(Challenge::parse_all(text));
        }
        assert_eq!(Challenge::parse_all("Bearer realm=\"open").len(), 1);
    }
}
