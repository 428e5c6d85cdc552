//! Logs in the shape of system C's samples: `level`, `msg`, `ts` and the event's own fields, one line each.
//!
//! Long-running commands log to standard output, as containers expect; the others to standard error, so that
//! `--json` output stays clean.

use std::{fmt, io::IsTerminal};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, Targets},
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::Config;

/// Where logs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// For commands that run until they are stopped.
    Output,
    /// For `dev`, whose output is the one line with the address.
    Chatter,
    /// For commands whose output is read by programs.
    Error,
}

/// Starts logging; a second call changes nothing.
pub(crate) fn start(config: &Config, stream: Stream) {
    let terminal = match stream {
        Stream::Output => std::io::stdout().is_terminal(),
        Stream::Chatter | Stream::Error => std::io::stderr().is_terminal(),
    };
    let json = match config.text("log.encoding") {
        "json" => true,
        "console" => false,
        _ => !terminal,
    };
    let level = match stream {
        Stream::Output | Stream::Chatter => config.text("log.level"),
        Stream::Error => "warn",
    };
    // lapin calls it an error when a queue that we look for is not there; our adapter tells what matters.
    let quiet = ["tokio_postgres", "hyper", "h2"].map(|target| (target, LevelFilter::WARN));
    let level = level.parse().unwrap_or(LevelFilter::INFO);
    let filter =
        Targets::new().with_default(level).with_targets(quiet).with_target("lapin", LevelFilter::OFF);
    let writer = move || -> Box<dyn std::io::Write> {
        match stream {
            Stream::Output => Box::new(std::io::stdout()),
            Stream::Chatter | Stream::Error => Box::new(std::io::stderr()),
        }
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match json {
        true => lines.event_format(JsonLine).with_filter(filter).boxed(),
        false => lines.with_target(false).with_ansi(terminal).with_filter(filter).boxed(),
    };
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Map::new();
        event.record(&mut Fields(&mut fields));
        let message = fields.remove("msg").unwrap_or_else(|| "".into());
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        write!(writer, "{{\"level\":\"{level}\",\"msg\":{message}")?;
        for (name, value) in fields {
            write!(writer, ",{}:{value}", Value::from(name))?;
        }
        writeln!(writer, ",\"ts\":\"{}\"}}", jiff::Timestamp::now())
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_line_has_the_keys_of_the_seed() {
        let buffer = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&buffer);
        struct Sink(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let subscriber = tracing_subscriber::fmt()
            .event_format(JsonLine)
            .with_writer(move || Sink(Arc::clone(&sink)))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(recipient = "ab***@example.com", duration_ms = 12, "Email sent successfully");
        });
        let line: Value = serde_json::from_slice(&buffer.lock().unwrap()).unwrap();
        assert_eq!(line["level"], "info");
        assert_eq!(line["msg"], "Email sent successfully");
        assert_eq!(line["duration_ms"], 12);
        assert!(line["ts"].as_str().unwrap().ends_with('Z'));
    }
}
