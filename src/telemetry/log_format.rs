//! One event as one line, in stock's layout. Source: cluster-agent-kubernetes 7.7.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use muster_actors::kernel::clock::Clock;
use serde_json::{Map as JsonMap, Value as Json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// How lines look.
#[derive(Clone)]
pub(super) struct LineFormat {
    /// `cluster` or `core`; upper case in text lines.
    pub(super) agent: &'static str,
    /// One JSON object per line.
    pub(super) json: bool,
    /// Times in RFC 3339 form.
    pub(super) rfc3339: bool,
    /// What time it is.
    pub(super) clock: Arc<dyn Clock>,
}

impl LineFormat {
    fn time(&self) -> String {
        let timestamp = Timestamp::from_nanosecond(i128::from(self.clock.unix_nanos())).unwrap_or_default();
        if self.rfc3339 {
            return timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        }
        timestamp.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    }
}

/// The fields of an event, the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, Json)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Json) {
        if field.name() == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.others.push((field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Json::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Json::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Json::from(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Json::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Json::from(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Json::from(format!("{value:?}")));
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let (file, line) = (metadata.file().unwrap_or("unknown"), metadata.line().unwrap_or_default());
        let function = metadata.module_path().and_then(|path| path.rsplit("::").next()).unwrap_or("unknown");
        let spans: Vec<String> = context
            .event_scope()
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
            .map(|span| {
                let extensions = span.extensions();
                let inside = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.fields.as_str());
                format!("{}{{{inside}}}", span.name())
            })
            .collect();
        if self.json {
            let mut object = JsonMap::new();
            object.insert("agent".to_owned(), Json::from(self.agent));
            object.insert("time".to_owned(), Json::from(self.time()));
            object.insert("level".to_owned(), Json::from(word(*metadata.level())));
            object.insert("file".to_owned(), Json::from(file));
            object.insert("line".to_owned(), Json::from(line.to_string()));
            object.insert("func".to_owned(), Json::from(function));
            object.insert("msg".to_owned(), Json::from(fields.message));
            if !spans.is_empty() {
                object.insert("spans".to_owned(), Json::from(spans));
            }
            for (name, value) in fields.others {
                object.entry(name).or_insert(value);
            }
            return writeln!(out, "{}", Json::Object(object));
        }
        let mut text = fields.message;
        for (name, value) in fields.others {
            match value {
                Json::String(value) if value.contains(char::is_whitespace) || value.is_empty() => write!(text, " {name}={value:?}")?,
                Json::String(value) => write!(text, " {name}={value}")?,
                value => write!(text, " {name}={value}")?,
            }
        }
        for span in spans {
            write!(text, " in {span}")?;
        }
        // A line break inside a value would make two lines of one event.
        let text = text.replace('\n', "\\n");
        let agent = self.agent.to_uppercase();
        writeln!(out, "{} | {agent} | {} | ({file}:{line} in {function}) | {text}", self.time(), word(*metadata.level()))
    }
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}
