//! `--progress=rawjson`: every event as a line of JSON, in the shape of BuildKit's `SolveStatus`.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_build::Event;
use gantry_build::progress::{LogStream, Unit, VertexId};
use gantry_model::Digest;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Turns events into lines.
#[derive(Debug)]
pub(crate) struct RawFormatter {
    began: Timestamp,
    vertices: HashMap<VertexId, (String, Option<Duration>)>,
}

impl RawFormatter {
    /// A formatter of a build that begins now.
    pub(crate) fn new(began: Timestamp) -> Self {
        Self {
            began,
            vertices: HashMap::new(),
        }
    }

    fn time(&self, at: Duration) -> String {
        let time = self.began.checked_add(at).unwrap_or(self.began);
        format!("{time:.9}")
    }

    fn vertex(&self, vertex: VertexId, more: Value) -> Value {
        let (name, started) = self.vertices.get(&vertex).cloned().unwrap_or_default();
        let mut document = json!({"digest": digest(vertex), "name": name});
        if let Some(at) = started {
            document["started"] = self.time(at).into();
        }
        for (key, value) in more.as_object().into_iter().flatten() {
            document[key] = value.clone();
        }
        json!({"vertexes": [document]})
    }

    /// The line of an event; `None` for one that has none.
    pub(crate) fn line(&mut self, event: Event<'_>) -> Option<String> {
        if let Event::Started { vertex, at } | Event::Cached { vertex, at } = event
            && let Some((_, started)) = self.vertices.get_mut(&vertex)
        {
            *started = Some(at);
        }
        let document = match event {
            Event::Vertex { vertex, name } => {
                self.vertices.insert(vertex, (name.to_owned(), None));
                self.vertex(vertex, json!({}))
            }
            Event::Started { vertex, .. } => self.vertex(vertex, json!({})),
            Event::Cached { vertex, at } => {
                self.vertex(vertex, json!({"completed": self.time(at), "cached": true}))
            }
            Event::Done { vertex, at } => self.vertex(vertex, json!({"completed": self.time(at)})),
            Event::Failed {
                vertex,
                message,
                at,
            } => self.vertex(
                vertex,
                json!({"completed": self.time(at), "error": message}),
            ),
            Event::Canceled { vertex, at } => self.vertex(
                vertex,
                json!({"completed": self.time(at), "error": "context canceled"}),
            ),
            Event::Log {
                vertex,
                stream,
                bytes,
                at,
            } => {
                let stream = match stream {
                    LogStream::Stdout => 1,
                    LogStream::Stderr => 2,
                };
                json!({"logs": [{
                    "vertex": digest(vertex),
                    "stream": stream,
                    "data": STANDARD.encode(bytes),
                    "timestamp": self.time(at),
                }]})
            }
            Event::Status {
                vertex,
                name,
                current,
                total,
                unit,
                done,
                at,
            } => {
                let mut status = json!({
                    "id": name,
                    "vertex": digest(vertex),
                    "timestamp": self.time(at),
                });
                if unit == Unit::Bytes {
                    status["current"] = current.into();
                    status["total"] = total.unwrap_or(0).into();
                }
                if done {
                    status["completed"] = self.time(at).into();
                }
                json!({"statuses": [status]})
            }
            Event::Warning { message, rendered } => json!({"warnings": [{
                "short": STANDARD.encode(message),
                "detail": rendered.map(|text| vec![STANDARD.encode(text)]),
            }]}),
            _ => return None,
        };
        Some(format!("{document}\n"))
    }
}

/// A name for a vertex that looks like BuildKit's.
fn digest(vertex: VertexId) -> String {
    let mut bytes = [0; 32];
    bytes[28..].copy_from_slice(&vertex.0.to_be_bytes());
    Digest::from_bytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_step() {
        let mut raw = RawFormatter::new(Timestamp::from_second(1).unwrap());
        let vertex = VertexId(7);
        let at = Duration::from_millis(1500);
        let mut line =
            |event| -> Value { serde_json::from_str(&raw.line(event).unwrap()).unwrap() };
        let name = "[2/2] RUN make";
        let made = line(Event::Vertex { vertex, name });
        assert_eq!(made["vertexes"][0]["name"], name);
        assert!(made["vertexes"][0]["started"].is_null());
        let started = line(Event::Started { vertex, at });
        let time = "1970-01-01T00:00:02.500000000Z";
        assert_eq!(started["vertexes"][0]["started"], time);
        let bytes = b"out";
        let stream = LogStream::Stderr;
        let log = line(Event::Log {
            vertex,
            stream,
            bytes,
            at,
        });
        assert_eq!(
            (
                log["logs"][0]["stream"].as_u64(),
                log["logs"][0]["data"].as_str()
            ),
            (Some(2), Some("b3V0"))
        );
        assert_eq!(log["logs"][0]["vertex"], started["vertexes"][0]["digest"]);
        let done = line(Event::Done { vertex, at });
        assert_eq!(done["vertexes"][0]["completed"], time);
    }
}
