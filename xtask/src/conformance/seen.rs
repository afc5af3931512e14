//! Images as those see them who use them: the files that are others than the base's, whatever
//! layer they are in, and a history of instructions, whatever words it has.
//!
//! It is for builders that cut layers and write history in another way than BuildKit.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// Lines of a listing by path.
type Tree = BTreeMap<String, String>;

/// Folders and files that Buildah makes to mount something on, beside those that are left out of
/// every description.
const MOUNT_POINTS: [&str; 3] = ["etc/hostname", "run", "run/.containerenv"];

/// A base image.
#[derive(Debug, Default)]
pub(super) struct Seen {
    tree: Tree,
    history: Vec<String>,
}

impl Seen {
    /// Of the description of the base, in which no layer is the base's.
    pub(super) fn of_base(description: &str) -> Self {
        let mut tree = Tree::new();
        for layer in layers(description) {
            apply(&mut tree, &layer);
        }
        let history = lines(description, "history ").map(str::to_owned).collect();
        Self { tree, history }
    }

    /// The text that is compared, of the description of an image over this base or over nothing.
    pub(super) fn compared(&self, description: &str) -> String {
        let mut text = String::new();
        for platform in lines(description, "platform ") {
            text += &format!("platform {platform}\n");
        }
        text += &config(description);
        for line in lines(description, "history ") {
            if !self.history.iter().any(|known| known == line) {
                text += &format!("history {}\n", instruction(line));
            }
        }
        let empty = Tree::new();
        let over_base = description.contains("\nlayer of the base\n");
        let base = if over_base { &self.tree } else { &empty };
        let mut tree = base.clone();
        for layer in layers(description) {
            apply(&mut tree, &layer);
        }
        text + &changes(base, &tree)
    }
}

/// What follows a word at the beginning of lines.
fn lines<'a>(description: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    description
        .lines()
        .filter_map(move |line| line.strip_prefix(word))
}

/// A line for each value of the configuration, without the name of the machine it was made on and
/// without a field that BuildKit alone writes with every `CMD`.
fn config(description: &str) -> String {
    let text = description.split("\nconfig ").nth(1).unwrap_or_default();
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let config = values.flatten().next().unwrap_or_default();
    let mut lines = String::new();
    for (field, value) in config.as_object().into_iter().flatten() {
        match value {
            _ if field == "Hostname" || field == "ArgsEscaped" => {}
            Value::Array(all) if field == "Env" => all
                .iter()
                .for_each(|one| lines += &format!("config Env {one}\n")),
            Value::Object(all) => all
                .iter()
                .for_each(|(key, one)| lines += &format!("config {field} {key} {one}\n")),
            _ => lines += &format!("config {field} {value}\n"),
        }
    }
    lines
}

/// Of `"created by" (comment) [no layer]` the command of a step, and of other instructions only
/// which it is: Buildah writes digests for sources and variables without their values.
fn instruction(line: &str) -> String {
    let created_by = line.rsplit_once("\" (").map_or(line, |(words, _)| words);
    let created_by = created_by.trim_start_matches('"');
    let created_by = created_by.trim_end_matches(" # buildkit");
    let command = match created_by.strip_prefix("/bin/sh -c #(nop) ") {
        Some(other) => Err(other),
        None if created_by.starts_with(['/', '|']) => Ok(created_by),
        None => created_by.strip_prefix("RUN ").ok_or(created_by),
    };
    match command {
        Ok(command) => format!("RUN {}", without_mounts(command.trim())),
        Err(other) => {
            let word = other.split([' ', '\t']).next().unwrap_or_default();
            word.to_uppercase()
        }
    }
}

/// Buildah has the mounts of a step between the shell and the command.
fn without_mounts(command: &str) -> String {
    let words = command
        .split(' ')
        .filter(|word| !word.starts_with("--mount="));
    words.collect::<Vec<_>>().join(" ")
}

/// The lines of the layers that are not the base's.
fn layers(description: &str) -> Vec<Vec<&str>> {
    let mut layers: Vec<Vec<&str>> = Vec::new();
    for line in description
        .lines()
        .skip_while(|line| !line.starts_with("layer"))
    {
        match line.strip_prefix("  ") {
            Some(entry) => layers
                .last_mut()
                .into_iter()
                .for_each(|layer| layer.push(entry)),
            None => layers.push(Vec::new()),
        }
    }
    layers
}

/// The path of an entry, without a slash at its end.
fn path(entry: &str) -> &str {
    let fields = match entry.split(' ').next() {
        Some("f") => 5,
        Some("n") => 4,
        Some("w" | "h") => 1,
        _ => 3,
    };
    let rest = entry.splitn(fields + 1, ' ').last().unwrap_or_default();
    let rest = rest.split(" -> ").next().unwrap_or_default();
    let rest = rest.split(" = ").next().unwrap_or_default();
    rest.trim_end_matches('/')
}

/// Puts a layer over a tree.
fn apply(tree: &mut Tree, layer: &[&str]) {
    let (gone, there): (Vec<&str>, Vec<&str>) = layer
        .iter()
        .copied()
        .partition(|entry| entry.starts_with("w "));
    for whiteout in gone {
        let (folder, name) = split(path(whiteout));
        match name.strip_prefix(".wh.") {
            Some(".wh..opq") => remove_below(tree, folder),
            Some(name) => {
                let path = join(folder, name);
                remove_below(tree, &path);
                tree.remove(&path);
            }
            None => {}
        }
    }
    for entry in there {
        if !entry.starts_with("d ") {
            remove_below(tree, path(entry));
        }
        tree.insert(path(entry).to_owned(), entry.to_owned());
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

fn remove_below(tree: &mut Tree, folder: &str) {
    let start = join(folder, "");
    tree.retain(|path, _| !path.starts_with(&start));
}

/// What one tree has and another has not, and the other way round.
fn changes(base: &Tree, tree: &Tree) -> String {
    let mut text = String::new();
    for (path, entry) in tree {
        let start = join(path, "");
        let is_folder = || tree.keys().any(|path| path.starts_with(&start));
        let is_mount_point = || MOUNT_POINTS.contains(&path.as_str()) && !is_folder();
        if base.get(path) != Some(entry) && !is_mount_point() {
            writeln!(text, "  {entry}").unwrap_or_default();
        }
    }
    for path in base.keys().filter(|path| !tree.contains_key(*path)) {
        writeln!(text, "  gone {path}").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "platform linux/amd64\nconfig {}\nhistory \"import\" ()\nlayer\n  \
        d 0755 0:0 etc/\n  f 0644 0:0 1 aa etc/a\n  f 0644 0:0 1 bb etc/b\n  \
        d 0755 0:0 home/\n  f 0644 0:0 1 cc home/with blank\n";

    fn compared(rest: &str) -> String {
        let text = format!("platform linux/amd64\nconfig {{}}\n{rest}");
        let text = Seen::of_base(BASE).compared(&text);
        text.trim_start_matches("platform linux/amd64\n").to_owned()
    }

    #[test]
    fn layers_count_as_one() {
        let one = "layer of the base\nlayer\n  d 0755 0:0 etc/\n  f 0600 0:0 1 aa etc/a\n  \
            w etc/.wh.b\n  w .wh.home\n  l 0777 0:0 x -> etc\n";
        let several = "layer of the base\nlayer\n  f 0600 0:0 1 aa etc/a\n  w etc/.wh.b\n  \
            d 0755 0:0 x/\n  f 0644 0:0 1 dd x/y\n\
            layer\n  w .wh.home\n  w .wh.x\n  l 0777 0:0 x -> etc\n";
        let seen = "  f 0600 0:0 1 aa etc/a\n  l 0777 0:0 x -> etc\n  \
            gone etc/b\n  gone home\n  gone home/with blank\n";
        assert_eq!(compared(one), seen);
        assert_eq!(compared(several), seen);
    }

    #[test]
    fn folders_are_emptied_and_replaced() {
        let text = "layer of the base\nlayer\n  w home/.wh..wh..opq\n  d 0755 0:0 home/\n  \
            f 0644 0:0 1 dd etc\n";
        let seen = "  f 0644 0:0 1 dd etc\n  gone etc/a\n  gone etc/b\n  gone home/with blank\n";
        assert_eq!(compared(text), seen);
    }

    #[test]
    fn without_the_base_all_is_there() {
        let text = "layer\n  d 0755 0:0 etc/\n  f 0644 0:0 1 aa etc/a\n";
        assert_eq!(
            compared(text),
            "  d 0755 0:0 etc/\n  f 0644 0:0 1 aa etc/a\n"
        );
    }

    #[test]
    fn what_was_made_to_mount_on_is_left_out() {
        let text = "layer of the base\nlayer\n  f 0755 0:0 0 00 etc/hostname\n  d 0755 0:0 run/\n";
        assert_eq!(compared(text), "");
        let kept = "layer of the base\nlayer\n  d 0755 0:0 run/\n  f 0644 0:0 1 dd run/x\n";
        assert_eq!(
            compared(kept),
            "  d 0755 0:0 run/\n  f 0644 0:0 1 dd run/x\n"
        );
    }

    #[test]
    fn history_has_one_vocabulary() {
        let buildkit = "history \"import\" ()\n\
            history \"ENV A=1\" (buildkit.dockerfile.v0) [no layer]\n\
            history \"RUN |1 A=1 /bin/sh -c echo # buildkit\" (buildkit.dockerfile.v0)\n\
            history \"COPY a /b # buildkit\" (buildkit.dockerfile.v0)\n";
        let buildah = "history \"import\" ()\n\
            history \"/bin/sh -c #(nop) env A=$A\" (FROM 1) [no layer]\n\
            history \"|1 A=1 /bin/sh -c echo \" (FROM 2) [no layer]\n\
            history \"/bin/sh -c #(nop) COPY file:00 in /b \" (FROM 3)\n";
        let words = "history ENV\nhistory RUN |1 A=1 /bin/sh -c echo\nhistory COPY\n";
        assert_eq!(compared(buildkit), words);
        assert_eq!(compared(buildah), words);
    }

    #[test]
    fn a_configuration_has_a_line_a_value() {
        let text = "platform linux/amd64\nconfig {\n  \"Cmd\": [\"a\", \"b\"],\n  \
            \"Env\": [\"A=1\", \"B=2\"],\n  \"Hostname\": \"made\",\n  \
            \"Labels\": {\"k\": \"v\"}\n}\nlayer of the base\n";
        assert_eq!(
            Seen::of_base(BASE).compared(text),
            "platform linux/amd64\nconfig Cmd [\"a\",\"b\"]\nconfig Env \"A=1\"\n\
             config Env \"B=2\"\nconfig Labels k \"v\"\n"
        );
    }
}
