//! Predefined build arguments, and the scope of variables at a place of a stage.

use std::collections::{BTreeMap, HashMap};

use crate::expand::Variables;

/// Arguments that every `RUN` may use without an `ARG`, and that leave no trace in the image.
pub const PROXY_ARGUMENTS: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Arguments about the platforms, set by the builder: seen before the first `FROM` always, in a
/// stage after an `ARG` of the name.
pub const PLATFORM_ARGUMENTS: [&str; 11] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];

/// Arguments that speak to the builder itself.
pub const BUILDER_ARGUMENTS: [&str; 13] = [
    "BUILDKIT_BUILD_NAME",
    "BUILDKIT_CACHE_MOUNT_NS",
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    "BUILDKIT_DOCKERFILE_CHECK",
    "BUILDKIT_DOCKERFILE_CHECK_EXPERIMENTAL",
    "BUILDKIT_HISTORY_PROVENANCE_V1",
    "BUILDKIT_INLINE_CACHE",
    "BUILDKIT_MULTI_PLATFORM",
    "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_SBOM_SCAN_CONTEXT",
    "BUILDKIT_SBOM_SCAN_STAGE",
    "BUILDKIT_SYNTAX",
    "SOURCE_DATE_EPOCH",
];

/// Whether an argument of that name may be given without an `ARG` that declares it.
pub fn is_predefined(name: &str) -> bool {
    PROXY_ARGUMENTS.contains(&name)
        || PLATFORM_ARGUMENTS.contains(&name)
        || BUILDER_ARGUMENTS.contains(&name)
}

/// Whether an argument is kept from the environment of a `RUN` even where an `ARG` declares it.
pub fn is_never_environment(name: &str) -> bool {
    matches!(
        name,
        "BUILDKIT_SBOM_SCAN_CONTEXT" | "BUILDKIT_SBOM_SCAN_STAGE"
    )
}

/// A value, and which of all it was when it was set.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    value: String,
    number: u64,
}

/// The variables at a place of a stage. `ENV` and `ARG` write the same names, the later one wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    values: BTreeMap<String, Written>,
    /// How often something was set.
    writes: u64,
    arguments: Vec<(String, Option<String>)>,
    /// Where each name stands in `arguments`.
    declared: HashMap<String, usize>,
}

impl Scope {
    /// A scope that begins with the environment of a base image.
    pub fn new(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut scope = Self::default();
        for (name, value) in environment {
            scope.set_environment(name, value);
        }
        scope
    }

    /// `ENV name=value`
    pub fn set_environment(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.writes += 1;
        let written = Written {
            value: value.into(),
            number: self.writes,
        };
        self.values.insert(name.into(), written);
    }

    /// `ARG name` with the value that it has; without one the name is declared, not set.
    pub fn declare_argument(&mut self, name: impl Into<String>, value: Option<String>) {
        let name = name.into();
        if let Some(value) = value.as_ref().filter(|_| !is_never_environment(&name)) {
            self.set_environment(name.clone(), value.clone());
        }
        match self.declared.get(&name) {
            Some(index) => self.arguments[*index].1 = value,
            None => {
                self.declared.insert(name.clone(), self.arguments.len());
                self.arguments.push((name, value));
            }
        }
    }

    /// Whether an `ARG` has declared the name.
    pub fn is_declared(&self, name: &str) -> bool {
        self.declared.contains_key(name)
    }

    /// The declared arguments, each once, in the order of their first `ARG`, with the value that
    /// the name has now.
    pub fn arguments(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.arguments.iter().map(|(name, value)| {
            let current = self.value(name).or(value.as_deref());
            (name.as_str(), current)
        })
    }

    /// Everything that is set, in the order of names: the environment of a `RUN`.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .map(|(name, written)| (name.as_str(), written.value.as_str()))
    }

    /// The names of everything that is set, those that were set last at the end.
    pub fn by_age(&self) -> Vec<&str> {
        let mut names: Vec<(&str, u64)> = self
            .values
            .iter()
            .map(|(name, written)| (name.as_str(), written.number))
            .collect();
        names.sort_by_key(|(_, number)| *number);
        names.into_iter().map(|(name, _)| name).collect()
    }
}

impl Variables for Scope {
    fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|written| written.value.as_str())
    }

    fn names(&self) -> Vec<&str> {
        self.values.keys().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Scope, is_predefined};
    use crate::expand::Variables;

    #[test]
    fn the_later_of_arg_and_env_wins() {
        let mut scope = Scope::new([("PATH".to_owned(), "/bin".to_owned())]);
        scope.declare_argument("VERSION", Some("1".to_owned()));
        assert_eq!(scope.value("VERSION"), Some("1"));
        scope.set_environment("VERSION", "2");
        assert_eq!(scope.value("VERSION"), Some("2"));
        scope.declare_argument("VERSION", Some("3".to_owned()));
        assert_eq!(scope.value("VERSION"), Some("3"));
        scope.declare_argument("UNSET", None);
        assert_eq!(scope.value("UNSET"), None);
        assert!(scope.is_declared("UNSET"));
        assert_eq!(scope.by_age(), ["PATH", "VERSION"]);
        scope.set_environment("PATH", "/sbin");
        assert_eq!(scope.by_age(), ["VERSION", "PATH"]);
        let arguments: Vec<_> = scope.arguments().collect();
        assert_eq!(arguments, [("VERSION", Some("3")), ("UNSET", None)]);
    }

    #[test]
    fn predefined() {
        for name in [
            "HTTP_PROXY",
            "no_proxy",
            "TARGETARCH",
            "BUILDKIT_INLINE_CACHE",
            "SOURCE_DATE_EPOCH",
        ] {
            assert!(is_predefined(name), "{name}");
        }
        assert!(!is_predefined("VERSION"));
        assert!(!is_predefined("Http_Proxy"));
    }
}
