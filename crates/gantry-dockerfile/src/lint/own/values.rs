//! Values that look like keys.

use super::Look;
use crate::ast::{InstructionKind, Word};
use crate::lint::Rule;

pub(super) fn check(look: &mut Look<'_>) {
    let inside = look
        .file
        .stages
        .iter()
        .flat_map(|stage| &stage.instructions);
    let mut found = Vec::new();
    for instruction in look.file.meta_args.iter().chain(inside) {
        let values: Vec<&Word> = match &instruction.kind {
            InstructionKind::Env(pairs) | InstructionKind::Label(pairs) => {
                pairs.iter().map(|pair| &pair.value).collect()
            }
            InstructionKind::Arg(all) => {
                all.iter().filter_map(|one| one.default.as_ref()).collect()
            }
            _ => continue,
        };
        for value in values {
            if let Some(what) = looks_like(&value.value) {
                let message =
                    format!("The value looks like {what}; everybody who has the image can read it");
                found.push(Rule::SecretValue.at(message, value.span));
            }
        }
    }
    look.found.append(&mut found);
}

/// A form in which a service writes its keys: what it begins with, and how many letters at least
/// follow.
const FORMS: [(&str, usize, &str); 22] = [
    ("AKIA", 16, "an access key of AWS"),
    ("ASIA", 16, "an access key of AWS"),
    ("AIza", 35, "an API key of Google"),
    ("ghp_", 36, "a token of GitHub"),
    ("gho_", 36, "a token of GitHub"),
    ("ghu_", 36, "a token of GitHub"),
    ("ghs_", 36, "a token of GitHub"),
    ("ghr_", 36, "a token of GitHub"),
    ("github_pat_", 22, "a token of GitHub"),
    ("glpat-", 20, "a token of GitLab"),
    ("xoxb-", 20, "a token of Slack"),
    ("xoxp-", 20, "a token of Slack"),
    ("xoxa-", 20, "a token of Slack"),
    ("sk_live_", 16, "a key of Stripe"),
    ("rk_live_", 16, "a key of Stripe"),
    ("npm_", 36, "a token of npm"),
    ("pypi-", 50, "a token of PyPI"),
    ("dckr_pat_", 20, "a token of Docker Hub"),
    ("sk-ant-", 24, "an API key"),
    ("sk-proj-", 24, "an API key"),
    ("hf_", 34, "a token of Hugging Face"),
    ("SG.", 40, "a key of SendGrid"),
];

/// What sort of secret a value looks like.
fn looks_like(value: &str) -> Option<&'static str> {
    let value = value.trim_matches(['"', '\'']);
    if value.contains("-----BEGIN") && value.contains("PRIVATE KEY") {
        return Some("a private key");
    }
    if has_password(value) {
        return Some("an address with a password");
    }
    if is_web_token(value) {
        return Some("a JSON web token");
    }
    let words = value.split(|letter: char| !is_key_letter(letter));
    words.into_iter().find_map(|word| {
        let form = FORMS.iter().find(|(begin, least, _)| {
            word.strip_prefix(begin)
                .is_some_and(|rest| rest.len() >= *least && is_random(rest))
        });
        form.map(|(_, _, what)| *what)
    })
}

fn is_key_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.')
}

/// Whether it is not one letter over and over, as a place-holder is.
fn is_random(text: &str) -> bool {
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    letters.len() > 5
}

/// `scheme://user:password@host`; a password that is a variable or a place-holder is none.
fn has_password(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let password = authority
        .rsplit_once('@')
        .and_then(|(user, _)| user.split_once(':'));
    password.is_some_and(|(_, password)| {
        !password.is_empty() && !password.contains(['$', '<', '{']) && !password.contains("***")
    })
}

/// Three parts of base64, the first of which is a JSON object.
fn is_web_token(value: &str) -> bool {
    let parts: Vec<&str> = value.split('.').collect();
    parts.len() == 3
        && parts[0].starts_with("eyJ")
        && parts[1].starts_with("eyJ")
        && parts[2].len() >= 16
        && parts.iter().all(|part| part.chars().all(is_key_letter))
}

#[cfg(test)]
mod tests {
    use super::looks_like;

    #[test]
    fn values_that_look_like_secrets() {
        // Put together here, so that nobody takes this file for a leak.
        let letters = "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T";
        let secrets = [
            format!("AKIA{}", "IOSFODNN7EXAMPLE"),
            format!("ghp_{}", &letters[..36]),
            format!("\"glpat-{}\"", &letters[..20]),
            format!("token={}{}", "xoxb-", &letters[..24]),
            format!("{} {}", "-----BEGIN RSA", "PRIVATE KEY-----"),
            "https://me:secret@example.com/x".to_owned(),
            format!("eyJhbGciOi.eyJzdWIiOi.{letters}"),
        ];
        for secret in &secrets {
            assert!(looks_like(secret).is_some(), "{secret}");
        }
        let harmless = [
            "AKIA",
            "AKIAXXXXXXXXXXXXXXXX",
            "ghp_short",
            "https://example.com:8080/x@y",
            "https://me:$PASSWORD@example.com",
            "postgres://user@db/x",
            "eyJ.eyJ.x",
            "/usr/local/bin:/usr/bin",
            "",
        ];
        for value in harmless {
            assert_eq!(looks_like(value), None, "{value}");
        }
    }
}
