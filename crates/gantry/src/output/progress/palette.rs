//! The colours of the live view, which `BUILDKIT_COLORS` changes:
//! `run=green:warning=yellow:error=red:cancel=255,165,0`.

/// A colour as the parameters of SGR (ECMA-48).
type Color = String;

/// What is shown in which colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Palette {
    /// Steps that ended well.
    pub(crate) run: Color,
    pub(crate) warning: Color,
    pub(crate) error: Color,
    pub(crate) cancel: Color,
}

impl Default for Palette {
    fn default() -> Self {
        let [run, warning, error, cancel] = ["36", "33", "31", "33"].map(str::to_owned);
        Self {
            run,
            warning,
            error,
            cancel,
        }
    }
}

impl Palette {
    /// The one that a text asks for, and the parts of it that mean nothing.
    pub(crate) fn parse(text: &str) -> (Self, Vec<&str>) {
        let mut palette = Self::default();
        let mut unknown = Vec::new();
        for part in text.split(':').filter(|part| !part.is_empty()) {
            let chosen = part.split_once('=');
            let chosen = chosen.and_then(|(name, value)| Some((name, color(value)?)));
            match chosen {
                Some(("run", color)) => palette.run = color,
                Some(("warning", color)) => palette.warning = color,
                Some(("error", color)) => palette.error = color,
                Some(("cancel", color)) => palette.cancel = color,
                _ => unknown.push(part),
            }
        }
        (palette, unknown)
    }
}

/// A colour by its name, or by red, green and blue.
fn color(text: &str) -> Option<Color> {
    let text = text.to_ascii_lowercase();
    if let Some((red, rest)) = text.split_once(',') {
        let (green, blue) = rest.split_once(',')?;
        let [red, green, blue] = [red, green, blue].map(|part| part.trim().parse::<u8>().ok());
        return Some(format!("38;2;{};{};{}", red?, green?, blue?));
    }
    if text == "default" {
        return Some("39".to_owned());
    }
    let (name, first) = match text.strip_prefix("light-") {
        Some(name) => (name, 90),
        None => (&*text, 30),
    };
    const NAMES: [&str; 8] = [
        "black", "red", "green", "yellow", "blue", "magenta", "cyan", "white",
    ];
    let place = NAMES.iter().position(|known| *known == name)?;
    Some((first + place).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_have_names_or_numbers() {
        let (palette, unknown) = Palette::parse("run=Light-Green:error=1,20,255:cancel=default");
        let shown = (&*palette.run, &*palette.error, &*palette.cancel);
        assert_eq!(shown, ("92", "38;2;1;20;255", "39"));
        assert_eq!((unknown, palette.warning), (vec![], "33".to_owned()));
        let wrong = "run=pink:go=red:error=1,2:warning=1,2,256:x";
        let parts: Vec<&str> = wrong.split(':').collect();
        assert_eq!(Palette::parse(wrong), (Palette::default(), parts));
    }
}
