//! `--provenance`, `--sbom` and `--attest`: what is said of an image that leaves.

use gantry_build::provenance::{self, ProvenanceOptions};
use gantry_build::{BuildRequest, BuiltImage, BuiltTarget, CachedStep};
use gantry_engine::Engine;
use gantry_engine::images::Attestation;
use gantry_model::mount::split_csv;

use super::outputs::Output;
use crate::failure::Failure;

/// What is to be said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attest {
    /// How the image came to be.
    provenance: Option<ProvenanceOptions>,
    /// What is in it.
    sbom: bool,
}

/// What the flags ask for; the last word on each kind counts.
pub(crate) fn parse(
    attest: &[String],
    provenance: Option<&str>,
    sbom: Option<&str>,
) -> Result<Attest, Failure> {
    let mut wanted = Attest::default();
    for text in attest {
        let fields = split_csv(text);
        let (kind, rest): (Vec<&String>, Vec<&String>) =
            fields.iter().partition(|field| field.starts_with("type="));
        match kind.first().map(|field| field.as_str()) {
            Some("type=provenance") => wanted.provenance = of_provenance("--attest", &rest)?,
            Some("type=sbom") => wanted.sbom = of_sbom("--attest", &rest)?,
            _ => {
                return Err(Failure::invalid(format!(
                    "--attest {text}: expected type=provenance or type=sbom"
                )));
            }
        }
    }
    if let Some(text) = provenance.filter(|text| !text.is_empty()) {
        let fields = split_csv(text);
        wanted.provenance = of_provenance("--provenance", &fields.iter().collect::<Vec<_>>())?;
    }
    if let Some(text) = sbom.filter(|text| !text.is_empty()) {
        let fields = split_csv(text);
        wanted.sbom = of_sbom("--sbom", &fields.iter().collect::<Vec<_>>())?;
    }
    Ok(wanted)
}

/// `true`, `false`, or the one as a field.
fn truth(flag: &str, field: &str) -> Result<bool, Failure> {
    match field {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Failure::invalid(format!(
            "{flag}: {field:?} is not known here"
        ))),
    }
}

fn of_provenance(flag: &str, fields: &[&String]) -> Result<Option<ProvenanceOptions>, Failure> {
    let mut options = ProvenanceOptions::default();
    let mut wanted = true;
    for field in fields {
        match field.split_once('=') {
            Some(("mode", mode @ ("min" | "max"))) => options.max = mode == "max",
            Some(("version", "v1")) => {}
            Some(("version", other)) => {
                return Err(Failure::unsupported(format!(
                    "{flag} version={other} is not supported: provenance is written as SLSA v1"
                )));
            }
            Some(("builder-id", id)) => id.clone_into(&mut options.builder),
            Some(("reproducible", word)) => options.reproducible = truth(flag, word)?,
            Some(("disabled", word)) => wanted = !truth(flag, word)?,
            Some(("mode" | "inline-only" | "filename", _)) => {
                return Err(Failure::unsupported(format!(
                    "{flag} {field} is not supported: mode is min or max"
                )));
            }
            _ => wanted = truth(flag, field)?,
        }
    }
    Ok(wanted.then_some(options))
}

fn of_sbom(flag: &str, fields: &[&String]) -> Result<bool, Failure> {
    let mut wanted = true;
    for field in fields {
        match field.split_once('=') {
            Some(("generator", image)) => {
                return Err(Failure::unsupported(format!(
                    "{flag} generator={image} is not supported: no image is run to look at another, \
                     the scanner is built in"
                )));
            }
            Some(("disabled", word)) => wanted = !truth(flag, word)?,
            _ => wanted = truth(flag, field)?,
        }
    }
    Ok(wanted)
}

/// Refuses what nobody would ever see.
pub(crate) fn check(attest: &Attest, outputs: &[Output]) -> Result<(), Failure> {
    let carries = |output: &Output| match output {
        Output::Image(image) => image.push,
        Output::Layout(_) | Output::Files(_) => true,
        Output::Nothing => false,
    };
    if *attest != Attest::default() && !outputs.iter().any(carries) {
        return Err(Failure::unsupported(
            "attestations are not supported without an output that carries them: add --push, or \
             choose type=oci, type=local or type=tar",
        ));
    }
    Ok(())
}

/// What there is to say of images, and what it is taken from.
pub(crate) struct Witness<'a> {
    pub(crate) attest: &'a Attest,
    pub(crate) request: &'a BuildRequest,
    pub(crate) steps: &'a [CachedStep],
    /// When the build began; nothing where results are to be the same each time.
    pub(crate) began: Option<jiff::Timestamp>,
}

impl Witness<'_> {
    /// What is said of one image; `warn` hears what could not be found out.
    pub(crate) fn of(
        &self,
        engine: &Engine,
        target: &BuiltTarget,
        image: &BuiltImage,
        warn: impl Fn(&str),
    ) -> Result<Vec<Attestation>, Failure> {
        let mut all = Vec::new();
        if self.attest.sbom {
            let sbom = engine.images().sbom(&image.config, image.base_layers)?;
            sbom.gaps.iter().for_each(|gap| warn(gap));
            all.push(sbom.attestation);
        }
        if let Some(options) = &self.attest.provenance {
            let now = jiff::Timestamp::now().to_string();
            let options = ProvenanceOptions {
                times: self.began.map(|began| (began.to_string(), now)),
                ..options.clone()
            };
            all.push(Attestation {
                predicate_type: provenance::PREDICATE_TYPE.to_owned(),
                predicate: provenance::predicate(self.request, target, image, self.steps, &options),
            });
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        let none = Attest::default();
        assert_eq!(parse(&[], None, None).unwrap(), none);
        let both = parse(&["type=sbom".into()], Some("mode=max,builder-id=me"), None).unwrap();
        let options = both.provenance.unwrap();
        assert!(both.sbom && options.max && options.builder == "me");
        let off = parse(
            &["type=provenance,mode=max".into()],
            Some("false"),
            Some("0"),
        );
        assert_eq!(off.unwrap(), none);
        let off = parse(&["type=sbom,disabled=true".into()], None, None);
        assert_eq!(off.unwrap(), none);
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (attest, want) in [
            ("type=provenance,version=v0.2", "SLSA v1"),
            ("type=provenance,mode=mid", "min or max"),
            ("type=sbom,generator=x/y", "generator=x/y"),
            ("type=vex", "type=sbom"),
            ("type=sbom,colour", "colour"),
        ] {
            let said = format!("{:?}", parse(&[attest.into()], None, None).unwrap_err());
            assert!(said.contains(want), "{attest}: {said}");
        }
        let asked = parse(&[], None, Some("true")).unwrap();
        assert!(check(&asked, &[Output::Nothing]).is_err());
    }
}
