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
    field::MakeExt,
    filter::{LevelFilter, Targets},
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Writer, debug_fn},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::{
    config::{Config, keys},
    terminal,
};

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
    let json = match config.get(&keys::LOG_ENCODING) {
        "json" => true,
        "console" => false,
        _ => !terminal,
    };
    let level = match stream {
        Stream::Output | Stream::Chatter => config.get(&keys::LOG_LEVEL),
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
        false => lines
            .fmt_fields(debug_fn(plain_field).delimited(" "))
            .with_target(false)
            .with_ansi(terminal)
            .with_filter(filter)
            .boxed(),
    };
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// A field for people: the message by itself, the others by name; nothing in it acts on the terminal.
fn plain_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = format!("{value:?}");
    match field.name() {
        "message" => writer.write_str(&terminal::shown(&text)),
        name => write!(writer, "{name}={}", terminal::shown(&text)),
    }
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
        let mut line = format!("{{\"level\":\"{level}\",\"msg\":{message}");
        for (name, value) in fields {
            line.push_str(&format!(",{}:{value}", Value::from(name)));
        }
        writer.write_str(&terminal::json(&line))?;
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

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_the_keys_of_the_seed() {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber =
            tracing_subscriber::fmt().event_format(JsonLine).with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(recipient = "ab***@example.com", duration_ms = 12, "Email sent successfully");
        });
        let line: Value = serde_json::from_str(&sink.text()).unwrap();
        assert_eq!(line["level"], "info");
        assert_eq!(line["msg"], "Email sent successfully");
        assert_eq!(line["duration_ms"], 12);
        assert!(line["ts"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn neither_encoding_sends_on_what_a_terminal_acts_on() {
        let planted = "a\u{1b}[2J\u{9b}1m\u{202e}b\nc";
        let (json, console) = (Sink::default(), Sink::default());
        let (to_json, to_console) = (json.clone(), console.clone());
        let lines =
            tracing_subscriber::fmt().event_format(JsonLine).with_writer(move || to_json.clone()).finish();
        let people = tracing_subscriber::fmt()
            .fmt_fields(debug_fn(plain_field).delimited(" "))
            .with_ansi(false)
            .with_writer(move || to_console.clone())
            .finish();
        let say = || tracing::warn!(error = planted, shown = %planted, "the server said {planted}");
        tracing::subscriber::with_default(lines, say);
        tracing::subscriber::with_default(people, say);
        for sink in [&json, &console] {
            let text = sink.text();
            let line = text.trim_end_matches('\n');
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
            assert!(line.contains("the server said a"), "{line}");
        }
        let value: Value = serde_json::from_str(&json.text()).unwrap();
        assert_eq!(value["error"], planted);
    }
}
