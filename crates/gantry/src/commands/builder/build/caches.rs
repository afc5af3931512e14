//! `--cache-from` and `--cache-to`: caches that builds elsewhere share.

use std::collections::BTreeMap;

use gantry_engine::caches::{CacheForm, CachePlace};
use gantry_engine::images::LayerCompression;
use gantry_model::Reference;
use gantry_model::mount::split_csv;

use super::outputs::Output;
use crate::failure::Failure;

mod exported;
mod imported;

pub(crate) use exported::{Leaving, write_inline};
pub(crate) use imported::Imported;

/// A cache that is written.
#[derive(Debug, Clone)]
pub(crate) struct CacheTo {
    /// Where; within the image without.
    pub(crate) place: Option<CachePlace>,
    /// Whether the steps of all stages are in it, not only those of the image.
    pub(crate) all: bool,
    /// Whether the cache mounts that the build used are in it.
    pub(crate) mounts: bool,
    /// How it leaves.
    pub(crate) form: CacheForm,
    /// Whether the build goes on when it cannot be written.
    pub(crate) ignore_error: bool,
}

/// The attributes of one flag.
struct Attributes<'t> {
    flag: &'static str,
    text: &'t str,
    all: BTreeMap<String, String>,
}

impl<'t> Attributes<'t> {
    /// `type=…,key=value…`, or the reference of a registry alone.
    fn parse(flag: &'static str, text: &'t str) -> Result<Self, Failure> {
        let mut all = BTreeMap::new();
        let fields = split_csv(text);
        if let [only] = &fields[..]
            && !only.contains('=')
        {
            all.insert("type".to_owned(), "registry".to_owned());
            all.insert("ref".to_owned(), only.clone());
        } else {
            for field in &fields {
                let Some((key, value)) = field.split_once('=') else {
                    return Err(Failure::invalid(format!(
                        "{flag} {text}: {field:?} has no value"
                    )));
                };
                all.insert(key.trim().to_lowercase(), value.to_owned());
            }
        }
        Ok(Self { flag, text, all })
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.all.remove(key).filter(|value| !value.is_empty())
    }

    fn need(&mut self, key: &str) -> Result<String, Failure> {
        self.take(key)
            .ok_or_else(|| self.wrong(&format!("{key} is required")))
    }

    fn truth(&mut self, key: &str, usual: bool) -> Result<bool, Failure> {
        match self.take(key).as_deref() {
            None => Ok(usual),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(self.wrong(&format!("{key}={other}: expected true or false"))),
        }
    }

    fn wrong(&self, reason: &str) -> Failure {
        Failure::invalid(format!("{} {}: {reason}", self.flag, self.text))
    }

    fn refused(&self, reason: &str) -> Failure {
        let (flag, text) = (self.flag, self.text);
        Failure::unsupported(format!("{flag} {text} is not supported: {reason}"))
    }

    /// The type, of which only what is stored nowhere but here is left out.
    fn kind(&mut self) -> Result<String, Failure> {
        let kind = self.need("type")?;
        match kind.as_str() {
            "registry" | "local" | "inline" => Ok(kind),
            "gha" | "s3" | "azblob" => Err(self.refused(
                "caches are kept in registries and folders: choose type=registry or type=local",
            )),
            _ => Err(self.wrong("the types are registry, local and inline")),
        }
    }

    fn reference(&mut self) -> Result<Reference, Failure> {
        let text = self.need("ref")?;
        text.parse()
            .map_err(|error| self.wrong(&format!("ref: {error}")))
    }

    fn folder(&mut self, key: &str) -> Result<CachePlace, Failure> {
        let digest = self.take("digest").map(|text| {
            text.parse()
                .map_err(|error| self.wrong(&format!("digest: {error}")))
        });
        Ok(CachePlace::Folder {
            folder: self.need(key)?.into(),
            tag: self.take("tag").unwrap_or_else(|| "latest".to_owned()),
            digest: digest.transpose()?,
        })
    }

    fn form(&mut self) -> Result<CacheForm, Failure> {
        let compression = match self.take("compression").as_deref() {
            None | Some("gzip") => LayerCompression::Gzip,
            Some("zstd") => LayerCompression::Zstd,
            Some("uncompressed") => LayerCompression::Uncompressed,
            Some("estargz") => {
                return Err(self.refused(
                    "a table of contents makes other layers than the steps made, which no step would find",
                ));
            }
            Some(_) => return Err(self.wrong("compression is gzip, zstd or uncompressed")),
        };
        let level = self.take("compression-level").map(|text| {
            let bad = |wanted: String| self.wrong(&format!("compression-level is {wanted}"));
            compression.level(&text).map_err(bad)
        });
        let level = level.transpose()?;
        let oci = self.truth("oci-mediatypes", true)?;
        let manifest = self.truth("image-manifest", oci)?;
        if !oci && (manifest || compression == LayerCompression::Zstd) {
            return Err(self.wrong("image-manifest and zstd need oci-mediatypes=true"));
        }
        Ok(CacheForm {
            compression,
            level,
            force: self.truth("force-compression", false)?,
            manifest,
            oci,
            reset: false,
        })
    }

    /// Refuses what nobody used.
    fn end(self) -> Result<(), Failure> {
        match self.all.first_key_value() {
            None => Ok(()),
            Some((key, _)) => Err(self.wrong(&format!("there is no attribute {key:?} here"))),
        }
    }
}

/// Where caches are that steps are looked for in.
pub(crate) fn sources(texts: &[String]) -> Result<Vec<CachePlace>, Failure> {
    let mut places = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let mut attributes = Attributes::parse("--cache-from", text)?;
        let place = match attributes.kind()?.as_str() {
            "registry" => CachePlace::Registry(attributes.reference()?),
            "local" => attributes.folder("src")?,
            _ => {
                let advice = "name the image that has it: type=registry,ref=IMAGE";
                return Err(attributes.refused(advice));
            }
        };
        attributes.end()?;
        places.push(place);
    }
    Ok(places)
}

/// The caches that are written.
pub(crate) fn targets(texts: &[String]) -> Result<Vec<CacheTo>, Failure> {
    let mut targets = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let mut attributes = Attributes::parse("--cache-to", text)?;
        let kind = attributes.kind()?;
        let all = match attributes.take("mode").as_deref() {
            None | Some("min") => false,
            Some("max") if kind == "inline" => {
                let reason = "an image has the layers of its own steps alone: choose type=registry";
                return Err(attributes.refused(reason));
            }
            Some("max") => true,
            Some(_) => return Err(attributes.wrong("mode is min or max")),
        };
        let place = match kind.as_str() {
            "registry" => Some(CachePlace::Registry(attributes.reference()?)),
            "local" => Some(attributes.folder("dest")?),
            _ => None,
        };
        let mounts = attributes.truth("mounts", false)?;
        if mounts && place.is_none() {
            let reason = "an image has the layers of its own steps alone, and whoever runs it would \
                          fetch the mounts: choose type=registry or type=local";
            return Err(attributes.refused(reason));
        }
        let mut form = CacheForm::default();
        if place.is_some() {
            form = attributes.form()?;
        }
        if kind == "local" {
            form.reset = attributes.truth("reset", false)?;
        }
        let ignore_error = attributes.truth("ignore-error", false)?;
        attributes.end()?;
        targets.push(CacheTo {
            place,
            all,
            mounts,
            form,
            ignore_error,
        });
    }
    Ok(targets)
}

/// What caches within images cannot be combined with.
pub(crate) fn check(targets: &[CacheTo], outputs: &[Output], squash: bool) -> Result<(), Failure> {
    let changes = |output: &Output| {
        let (form, rewrite) = match output {
            Output::Image(image) => (&image.form, image.rewrite_timestamp),
            Output::Layout(layout) => (&layout.form, layout.rewrite_timestamp),
            Output::Files(_) | Output::Nothing => return false,
        };
        rewrite || form.compression == LayerCompression::Estargz
    };
    let changed = squash || outputs.iter().any(changes);
    if targets.iter().any(|to| to.place.is_none()) && changed {
        return Err(Failure::unsupported(
            "--cache-to type=inline is not supported with --squash, rewrite-timestamp or estargz: the image \
             then has other layers than its steps made, which no step would find",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_targets() {
        let from = sources(&["r.example/c:1".into(), "type=local,src=d,tag=x".into()]).unwrap();
        assert!(matches!(&from[0], CachePlace::Registry(name) if name.tag() == Some("1")));
        assert!(matches!(&from[1], CachePlace::Folder { tag, .. } if tag == "x"));
        let to =
            "type=local,dest=d,mode=max,mounts=true,compression=zstd,ignore-error=true,reset=true";
        let to = targets(&[to.into(), "type=inline".into()]).unwrap();
        assert!(to[0].all && to[0].ignore_error && to[0].form.reset);
        assert_eq!(to[0].form.compression, LayerCompression::Zstd);
        assert!(to[0].mounts && !to[1].mounts);
        assert!(to[1].place.is_none());
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (text, want) in [
            ("type=s3,bucket=x", "type=registry"),
            ("type=tape", "registry, local and inline"),
            ("type=registry", "ref is required"),
            ("type=registry,ref=a,colour=red", "colour"),
            ("type=registry,ref=a,mode=most", "min or max"),
            ("type=inline,mode=max", "type=registry"),
            ("type=inline,mounts=true", "type=registry or type=local"),
            ("type=registry,ref=a,mounts=some", "true or false"),
            ("type=gha,scope=x", "type=registry or type=local"),
            ("type=azblob,name=x", "type=registry or type=local"),
            (
                "type=registry,ref=a,compression=estargz",
                "table of contents",
            ),
            (
                "type=registry,ref=a,oci-mediatypes=false,image-manifest=true",
                "oci-mediatypes",
            ),
            ("type=local", "dest is required"),
        ] {
            let said = format!("{:?}", targets(&[text.into()]).unwrap_err());
            assert!(said.contains(want), "{text}: {said}");
        }
        for (text, want) in [
            ("type=inline", "type=registry,ref=IMAGE"),
            ("type=gha", "type=registry or type=local"),
            ("type=s3,bucket=x", "type=registry or type=local"),
            ("type=azblob,name=x", "type=registry or type=local"),
        ] {
            let said = format!("{:?}", sources(&[text.into()]).unwrap_err());
            assert!(said.contains(want), "{text}: {said}");
        }
    }
}
