//! `[builder]`: the bounds of the build cache, and of what steps may take.

use gantry_model::quantity::parse_bytes;
use serde::Deserialize;

use super::limits::Refused;

/// The bounds of the build cache, and of what steps may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuilderConfig {
    /// Whether builds keep the cache within its bounds.
    pub gc: bool,
    /// Most bytes that only the cache keeps.
    pub cache_size: u64,
    /// Bytes of the file system that builds leave free, as long as there is cache to be removed.
    pub min_free: u64,
    /// Most processes and threads of a `RUN` step; as many as it likes without.
    pub pids_limit: Option<u32>,
    /// Certificate authorities that builds trust and lend to their steps: `host`, or a file.
    pub ca_certificates: Option<String>,
}

impl Default for BuilderConfig {
    fn default() -> Self {
        Self {
            gc: true,
            cache_size: 20 << 30,
            min_free: 1 << 30,
            pids_limit: Some(10_000),
            ca_certificates: None,
        }
    }
}

/// `[builder]` as written.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct WrittenBuilder {
    gc: Option<bool>,
    cache_size: Option<String>,
    min_free: Option<String>,
    pids_limit: Option<u32>,
    ca_certificates: Option<String>,
}

impl WrittenBuilder {
    /// Lays what is written over what is there.
    pub(super) fn apply(self, config: &mut BuilderConfig) -> Result<(), Refused> {
        config.gc = self.gc.unwrap_or(config.gc);
        if let Some(text) = self.cache_size {
            config.cache_size = match parse_bytes(&text) {
                Ok(bytes) if bytes > 0 => bytes,
                _ => return Err(("cache-size", text, "it is a size of at least a byte")),
            };
        }
        if let Some(text) = self.min_free {
            config.min_free = match parse_bytes(&text) {
                Ok(bytes) => bytes,
                _ => return Err(("min-free", text, "it is a size")),
            };
        }
        if let Some(limit) = self.pids_limit {
            config.pids_limit = (limit > 0).then_some(limit);
        }
        if let Some(text) = self.ca_certificates {
            if text != "host" && !text.starts_with('/') {
                let reason = "it is \"host\" or the absolute path of a file";
                return Err(("ca-certificates", text, reason));
            }
            config.ca_certificates = Some(text);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_what_is_none() {
        let applied = |text: &str| {
            let written: WrittenBuilder = toml::from_str(text).map_err(|_| ())?;
            let mut config = BuilderConfig::default();
            written.apply(&mut config).map_err(|_| ())?;
            Ok::<_, ()>(config)
        };
        let set = applied("gc = false\ncache-size = \"1g\"\nmin-free = \"0\"").unwrap();
        assert_eq!((set.gc, set.cache_size, set.min_free), (false, 1 << 30, 0));
        assert_eq!(applied("pids-limit = 0").unwrap().pids_limit, None);
        assert_eq!(applied("pids-limit = 7").unwrap().pids_limit, Some(7));
        assert_eq!(applied("").unwrap(), BuilderConfig::default());
        for text in [
            "cache-size = \"0\"",
            "cache-size = \"much\"",
            "min-free = 5",
            "size = 1",
            "pids-limit = -1",
            "ca-certificates = \"company.pem\"",
        ] {
            assert!(applied(text).is_err(), "{text}");
        }
    }
}
