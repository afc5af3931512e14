//! Which events are meant, by Docker's rules.

use gantry_model::{Event, EventType};

use crate::flags::filter::{Filters, has_label};

/// The filters of `events`.
pub(crate) const FILTERS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

/// Whether an event is meant. Values of one filter are alternatives, filters all have to fit;
/// labels all have to be there.
pub(crate) fn fits(filters: &Filters, event: &Event) -> bool {
    let kind = event.kind.to_string();
    let attribute = |name: &str| event.actor.attributes.get(name).map(String::as_str);
    // A filter that is named after a kind of thing compares ids and names of whatever it is.
    let names_it = |wanted: &str| {
        event.actor.id.starts_with(wanted)
            || attribute("name").is_some_and(|name| name.starts_with(wanted))
    };
    let of_kind = |name: &str| filters.any(name, |wanted| kind == name && names_it(wanted));
    filters.any("type", |wanted| kind == wanted)
        && filters.any("event", |wanted| action_fits(&event.action, wanted))
        && filters.any("scope", |wanted| wanted == "local")
        && filters.all("label", |label| has_label(&event.actor.attributes, label))
        && filters.any("image", |wanted| image_fits(event, wanted))
        && [
            "config",
            "container",
            "daemon",
            "network",
            "node",
            "plugin",
            "secret",
            "service",
            "volume",
        ]
        .into_iter()
        .all(of_kind)
}

/// `exec_start` and `health_status` are meant with what follows their colon, too.
fn action_fits(action: &str, wanted: &str) -> bool {
    action == wanted
        || action
            .split_once(':')
            .is_some_and(|(word, _)| word == wanted)
}

/// The image itself, or that of a container; a name without its tag means every tag.
fn image_fits(event: &Event, wanted: &str) -> bool {
    let attribute = match event.kind {
        EventType::Container => "image",
        EventType::Image => "name",
        _ => return false,
    };
    let name = event.actor.attributes.get(attribute).map(String::as_str);
    [Some(event.actor.id.as_str()), name]
        .into_iter()
        .flatten()
        .any(|name| name == wanted || without_tag(name) == wanted)
}

fn without_tag(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_choose_as_dockers() {
        let die = Event::new(EventType::Container, "die", "0123456789ab")
            .with("image", "busybox:1")
            .with("name", "web")
            .with("role", "front");
        let exec = Event::new(
            EventType::Container,
            "exec_start: sh -c true",
            "0123456789ab",
        );
        let pull = Event::new(EventType::Image, "pull", "busybox:1").with("name", "busybox");
        for (flags, of_die, of_exec, of_pull) in [
            (&[][..], true, true, true),
            (&["type=container"], true, true, false),
            (&["type=image", "type=container"], true, true, true),
            (&["container=web"], true, false, false),
            (&["container=01234"], true, true, false),
            (&["container=db"], false, false, false),
            (&["event=die", "event=pull"], true, false, true),
            (&["event=exec_start"], false, true, false),
            (&["image=busybox"], true, false, true),
            (&["image=busybox:1"], true, false, true),
            (&["label=role"], true, false, false),
            (&["label=role=back"], false, false, false),
            (&["scope=local"], true, true, true),
            (&["scope=swarm"], false, false, false),
            (&["volume=v"], false, false, false),
            (&["daemon=x"], false, false, false),
        ] {
            let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
            let filters = Filters::parse(&flags, FILTERS).unwrap();
            let got = [&die, &exec, &pull].map(|event| fits(&filters, event));
            assert_eq!(got, [of_die, of_exec, of_pull], "{flags:?}");
        }
    }
}
