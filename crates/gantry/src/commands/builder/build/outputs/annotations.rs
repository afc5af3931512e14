//! Annotations as flags and attributes write them.

use gantry_engine::images::{Annotation, AnnotationPlace};
use gantry_model::Platform;

use crate::failure::Failure;
use crate::flags::value::unfit;

/// `[type[\[platform\]][,type…]:]key=value` of `--annotation`
pub(crate) fn of_flag(text: &str) -> Result<Vec<Annotation>, Failure> {
    let bad = |reason: String| Failure::from(unfit("--annotation", text)(reason));
    let Some((key, value)) = text.split_once('=') else {
        return Err(bad("expected key=value".to_owned()));
    };
    let (places, key) = match key.split_once(':') {
        Some((before, key)) if before.split(',').all(|word| place(word).is_ok()) => (before, key),
        _ => ("manifest", key),
    };
    if key.is_empty() {
        return Err(bad("the annotation has no name".to_owned()));
    }
    let mut all = Vec::new();
    for word in places.split(',') {
        let (place, platform) = place(word).map_err(bad)?;
        all.push(Annotation {
            place,
            platform,
            name: key.to_owned(),
            value: value.to_owned(),
        });
    }
    Ok(all)
}

/// The attribute `annotation[-type][\[platform\]].key`; `None` when it is another.
pub(super) fn of_attribute(key: &str, value: &str) -> Option<Result<Annotation, String>> {
    let rest = key.strip_prefix("annotation")?;
    // A dot within the brackets is none of the separator.
    let end = rest.find(']').map_or(0, |at| at + 1);
    let dot = end + rest[end..].find('.')?;
    let (word, name) = (&rest[..dot], &rest[dot + 1..]);
    let word = match word.strip_prefix('-') {
        Some(word) => word.to_owned(),
        None if word.is_empty() || word.starts_with('[') => format!("manifest{word}"),
        None => return None,
    };
    Some(place(&word).and_then(|(place, platform)| {
        if name.is_empty() {
            return Err(format!("{key} has no name"));
        }
        Ok(Annotation {
            place,
            platform,
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }))
}

/// `index`, `manifest[linux/amd64]`, …
fn place(word: &str) -> Result<(AnnotationPlace, Option<Platform>), String> {
    let (kind, platform) = match word.split_once('[') {
        Some((kind, rest)) => {
            let inside = rest.strip_suffix(']').ok_or("a bracket is not closed")?;
            let platform: Platform = inside
                .parse()
                .map_err(|error| format!("platform {inside:?}: {error}"))?;
            (kind, Some(platform))
        }
        None => (word, None),
    };
    let place = match kind {
        "manifest" => AnnotationPlace::Manifest,
        "manifest-descriptor" => AnnotationPlace::ManifestDescriptor,
        "index" => AnnotationPlace::Index,
        "index-descriptor" => AnnotationPlace::IndexDescriptor,
        other => return Err(format!("unknown annotation type {other:?}")),
    };
    if platform.is_some() && kind.starts_with("index") {
        return Err("an index has no platform".to_owned());
    }
    Ok((place, platform))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_where() {
        let all = of_flag("index,manifest[linux/arm64]:org.x=a:b=c").unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].place, AnnotationPlace::Index);
        assert_eq!(all[1].platform, Some("linux/arm64".parse().unwrap()));
        assert_eq!((&*all[1].name, &*all[1].value), ("org.x", "a:b=c"));
        let plain = of_flag("a:b=c").unwrap();
        assert_eq!(
            (plain[0].place, &*plain[0].name),
            (AnnotationPlace::Manifest, "a:b")
        );
        assert!(of_flag("x").is_err() && of_flag("index:=x").is_err());
    }

    #[test]
    fn attributes_say_where() {
        let (name, value) = ("annotation-manifest-descriptor[linux/arm/v7].org.x", "v");
        let found = of_attribute(name, value).unwrap().unwrap();
        assert_eq!(found.place, AnnotationPlace::ManifestDescriptor);
        assert_eq!(found.name, "org.x");
        assert!(found.platform.is_some());
        assert_eq!(
            of_attribute("annotation.a.b", "v").unwrap().unwrap().name,
            "a.b"
        );
        assert!(of_attribute("name", "v").is_none());
        assert!(of_attribute("annotation-tree.a", "v").unwrap().is_err());
        assert!(
            of_attribute("annotation-index[linux/amd64].a", "v")
                .unwrap()
                .is_err()
        );
    }
}
