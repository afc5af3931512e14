//! Shows what happens: what is still known, and then what comes.

mod filter;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use gantry_engine::events::EventsError;
use gantry_model::{Event, EventType};
use gotmpl::Value;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::flags::filter::Filters;
use crate::output::template::{self, Subject, Template};
use crate::output::{go_json, time};

/// The words behind the command.
#[derive(Debug, Clone, Args)]
pub(crate) struct EventsArgs {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    pub(crate) filter: Vec<String>,
    /// Format output by a Go template: 'json' or 'TEMPLATE'
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Show all events created since timestamp
    #[arg(long, value_name = "string")]
    pub(crate) since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "string")]
    pub(crate) until: Option<String>,
}

pub(crate) fn run(context: &Context, args: EventsArgs) -> Outcome {
    let now = Timestamp::now();
    let filters = Filters::parse(&args.filter, filter::FILTERS)?;
    let since = point("since", args.since.as_deref(), now)?.unwrap_or(now);
    let until = point("until", args.until.as_deref(), now)?;
    let mut lines = Lines::new(args.format.as_deref())?;
    let engine = context.engine()?;
    let mut reader = engine.events()?;
    let path = engine.run_root().to_owned();
    let failed = |source| {
        let path = path.clone();
        Failure::from(EventsError { path, source })
    };
    let wanted = |event: &Event| {
        nanoseconds(since) <= i128::from(event.time_nano)
            && until.is_none_or(|until| i128::from(event.time_nano) <= nanoseconds(until))
            && filter::fits(&filters, event)
    };
    let deadline = until.map(|until| instant(until, now));
    loop {
        let text: String = reader
            .read()
            .map_err(failed)?
            .iter()
            .filter(|event| wanted(event))
            .map(|event| lines.line(event))
            .collect::<Result<_, _>>()?;
        if !text.is_empty() {
            context.ui.data(&text)?;
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Ok(Exit::SUCCESS);
        }
        reader.wait(deadline).map_err(failed)?;
    }
}

fn nanoseconds(time: Timestamp) -> i128 {
    time.as_nanosecond()
}

/// When a moment of the calendar comes by the clock that waits count in.
fn instant(until: Timestamp, now: Timestamp) -> Instant {
    let left = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    // Beyond what an `Instant` can say is beyond what anybody waits for.
    let begin = Instant::now();
    begin
        .checked_add(left)
        .unwrap_or_else(|| begin + Duration::from_hours(24 * 365 * 30))
}

fn point(flag: &str, text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match time::point(text, now) {
        Some(time) => Ok(Some(time)),
        None => Err(Failure::invalid(format!(
            "invalid value for {flag:?}: failed to parse {text:?} as a time or a duration"
        ))),
    }
}

/// How events are written.
enum Lines {
    Text,
    Json,
    Template(Box<Template>),
}

impl Lines {
    fn new(format: Option<&str>) -> Result<Self, Failure> {
        Ok(match format.map(str::trim) {
            None | Some("") => Self::Text,
            Some("json" | "{{json .}}" | "{{ json . }}") => Self::Json,
            Some(text) => {
                let text = template::unescape(text);
                Self::Template(Box::new(Template::parse(&text, Subject::Document)?))
            }
        })
    }

    fn line(&mut self, event: &Event) -> Result<String, Failure> {
        let mut line = match self {
            Self::Text => text(event, &TimeZone::system()),
            Self::Json => go_json::compact(&document(event)),
            Self::Template(template) => template.execute(&value(event))?,
        };
        line.push('\n');
        Ok(line)
    }
}

/// `TIME TYPE ACTION ID (NAME=VALUE, …)`.
fn text(event: &Event, zone: &TimeZone) -> String {
    let time = Timestamp::from_nanosecond(i128::from(event.time_nano)).unwrap_or_default();
    let offset = zone.to_offset(time);
    let zoned = time.to_zoned(zone.clone());
    let time = zoned.strftime(match offset.is_zero() {
        true => "%Y-%m-%dT%H:%M:%S.%9fZ",
        false => "%Y-%m-%dT%H:%M:%S.%9f%:z",
    });
    let (kind, action, id) = (event.kind, &event.action, &event.actor.id);
    let attributes: Vec<String> = event
        .actor
        .attributes
        .iter()
        // One line is one event, whatever an image's labels say.
        .map(|(name, value)| format!("{name}={value}").replace(['\n', '\r'], " "))
        .collect();
    if attributes.is_empty() {
        return format!("{time} {kind} {action} {id}");
    }
    format!("{time} {kind} {action} {id} ({})", attributes.join(", "))
}

/// The fields that Docker has kept from its first days for containers and images.
fn legacy(event: &Event) -> Option<(&str, &str, &str)> {
    let from = match event.kind {
        EventType::Container => event
            .actor
            .attributes
            .get("image")
            .map_or("", String::as_str),
        EventType::Image => "",
        _ => return None,
    };
    Some((&event.action, &event.actor.id, from))
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    status: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    from: &'a str,
    #[serde(rename = "Type")]
    kind: EventType,
    #[serde(rename = "Action")]
    action: &'a str,
    #[serde(rename = "Actor")]
    actor: &'a gantry_model::event::Actor,
    scope: &'static str,
    time: i64,
    #[serde(rename = "timeNano")]
    time_nano: i64,
}

fn document(event: &Event) -> Document<'_> {
    let (status, id, from) = legacy(event).unwrap_or_default();
    Document {
        status,
        id,
        from,
        kind: event.kind,
        action: &event.action,
        actor: &event.actor,
        scope: "local",
        time: event.time_nano.div_euclid(1_000_000_000),
        time_nano: event.time_nano,
    }
}

/// The event under the names that templates have for its fields.
fn value(event: &Event) -> Value {
    let string = |text: &str| Value::String(text.into());
    let map = |fields: BTreeMap<&str, Value>| {
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value));
        Value::Map(Arc::new(fields.collect()))
    };
    let attributes = event.actor.attributes.iter();
    let actor = map(BTreeMap::from([
        ("ID", string(&event.actor.id)),
        (
            "Attributes",
            map(attributes.map(|(k, v)| (k.as_str(), string(v))).collect()),
        ),
    ]));
    let (status, id, from) = legacy(event).unwrap_or_default();
    map(BTreeMap::from([
        ("Status", string(status)),
        ("ID", string(id)),
        ("From", string(from)),
        ("Type", string(&event.kind.to_string())),
        ("Action", string(&event.action)),
        ("Actor", actor),
        ("Scope", string("local")),
        (
            "Time",
            Value::Int(event.time_nano.div_euclid(1_000_000_000)),
        ),
        ("TimeNano", Value::Int(event.time_nano)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            time_nano: 1_795_263_149_192_406_067,
            ..Event::new(EventType::Container, "create", "abc")
                .with("image", "busybox")
                .with("name", "web")
        }
    }

    #[test]
    fn events_read_as_dockers() {
        assert_eq!(
            text(&event(), &TimeZone::UTC),
            "2026-11-21T12:12:29.192406067Z container create abc (image=busybox, name=web)"
        );
        let forged = event().with("label", "x)\nforged (y");
        assert_eq!(text(&forged, &TimeZone::UTC).lines().count(), 1);
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert!(text(&event(), &zone).starts_with("2026-11-21T14:12:29.192406067+02:00 "));
        let show = |format| Lines::new(Some(format)).unwrap().line(&event()).unwrap();
        let json = "{\"status\":\"create\",\"id\":\"abc\",\"from\":\"busybox\",\"Type\":\"container\",\"Action\":\"create\",\"Actor\":{\"ID\":\"abc\",\"Attributes\":{\"image\":\"busybox\",\"name\":\"web\"}},\"scope\":\"local\",\"time\":1795263149,\"timeNano\":1795263149192406067}\n";
        assert_eq!(show("json"), json);
        assert_eq!(show("{{json .}}"), json);
        assert_eq!(
            show("{{.Type}} {{.Status}} {{.ID}} {{.Actor.Attributes.name}} {{.Time}}"),
            "container create abc web 1795263149\n"
        );
        let network = Event::new(EventType::Network, "connect", "n");
        assert!(!go_json::compact(&document(&network)).contains("status"));
    }
}
