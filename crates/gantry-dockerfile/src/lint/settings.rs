//! `# check=skip=…;experimental=…;error=true`

use super::Rule;

/// Which rules are looked for, and whether a warning ends the build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The rules to skip.
    pub skip: Choice,
    /// The rules on trial to look for.
    pub experimental: Choice,
    /// Whether any warning is an error.
    pub error: bool,
}

/// Some of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Every rule.
    All,
    /// Those named.
    Rules(Vec<Rule>),
}

impl Choice {
    /// Whether a rule is among them.
    pub fn has(&self, rule: Rule) -> bool {
        match self {
            Self::All => true,
            Self::Rules(rules) => rules.contains(&rule),
        }
    }

    fn read(value: &str) -> Self {
        if value.trim().eq_ignore_ascii_case("all") {
            return Self::All;
        }
        let known = value.split(',').filter_map(|name| Rule::named(name.trim()));
        Self::Rules(known.collect())
    }
}

impl Default for Choice {
    fn default() -> Self {
        Self::Rules(Vec::new())
    }
}

/// A text that is no setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A part that is not `key=value`.
    #[error("invalid check option \"{text}\"")]
    NotAPair {
        /// The part.
        text: String,
    },
    /// A key that does not exist.
    #[error("invalid check option \"{key}\"")]
    UnknownKey {
        /// The key.
        key: String,
    },
    /// A switch that is neither on nor off.
    #[error("failed to parse check option \"{key}\": \"{value}\" is neither true nor false")]
    NotASwitch {
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
}

impl gantry_model::Fault for SettingsError {
    fn kind(&self) -> gantry_model::FaultKind {
        gantry_model::FaultKind::Invalid
    }

    fn hints(&self) -> Vec<String> {
        vec!["write `# check=skip=<rule>,<rule>;error=true`".to_owned()]
    }
}

impl Settings {
    /// Reads the value of the `check` directive, or of the argument `BUILDKIT_DOCKERFILE_CHECK`.
    /// Rules of unknown name are passed over: other versions have others.
    ///
    /// # Errors
    /// An option that does not exist.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for part in text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let Some((key, value)) = part.split_once('=') else {
                return Err(SettingsError::NotAPair {
                    text: part.to_owned(),
                });
            };
            match key.trim() {
                "skip" => settings.skip = Choice::read(value),
                "experimental" => settings.experimental = Choice::read(value),
                "error" => settings.error = switch(key.trim(), value.trim())?,
                other => {
                    return Err(SettingsError::UnknownKey {
                        key: other.to_owned(),
                    });
                }
            }
        }
        Ok(settings)
    }

    /// Whether a rule is looked for.
    pub fn looks_for(&self, rule: Rule) -> bool {
        !self.skip.has(rule) && (!rule.is_experimental() || self.experimental.has(rule))
    }
}

fn switch(key: &str, value: &str) -> Result<bool, SettingsError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(SettingsError::NotASwitch {
            key: key.to_owned(),
            value: value.to_owned(),
        }),
    }
}
