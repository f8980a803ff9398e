//! The log: one line an event on standard error, as text for people or as JSON.
//!
//! No field and no message, whoever wrote it, brings a line end, a control or a
//! hidden character into a line, or more than 2,000 characters.

mod json;
mod line;
mod text;

use std::io::{self, Write};

use serde_json::Value;
use thiserror::Error;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use self::line::Line;
use crate::core::event::Event;
use crate::core::tell::tell;

/// The target of lines that tell an event.
pub const EVENT_TARGET: &str = "tubewarden::event";

/// The scheduler calls it an error when a task that waits for it is ended. What of its
/// trouble matters is told by `schedule`; a filter that names it shows all the same.
const MUTED: &str = "tokio_cron_scheduler=off";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// How the log is written.
#[derive(Debug, Clone)]
pub struct LogOptions {
    pub format: Format,
    /// A level, or a filter like `info,tubewarden::peertube=debug`.
    pub filter: String,
    /// Whether text has colours.
    pub ansi: bool,
}

#[derive(Debug, Error)]
pub enum LogError {
    #[error("read the log filter {filter:?}; write a level, or something like \"info,tubewarden::store=debug\"")]
    Filter {
        filter: String,
        #[source]
        source: ParseError,
    },
    #[error("start the log, which may be done once in a process")]
    Started(#[source] TryInitError),
}

/// Starts the log of this process, on standard error.
pub fn init(options: &LogOptions) -> Result<(), LogError> {
    subscriber(options, io::stderr)?.try_init().map_err(LogError::Started)
}

/// Tells an event: at info if the configuration wants to see it, else at debug.
pub fn event(event: &Event, visible: bool) {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let data = |key| text(event.data.get(key));
    let seconds = |key| event.data.get(key).and_then(Value::as_f64);
    let video = |key| text(event.data.get("video").and_then(|video| video.get(key)));
    macro_rules! write {
        ($level:expr) => {
            tracing::event!(
                target: EVENT_TARGET,
                $level,
                event_type = event.type_name(),
                event_id = event.id,
                peertube_instance = event.instance(),
                job_type = data("job_type"),
                job_id = data("job_id"),
                wait_seconds = seconds("wait_seconds"),
                run_seconds = seconds("run_seconds"),
                error = data("error"),
                video_uuid = video("uuid"),
                video_name = video("name"),
                "{}",
                tell(event)
            )
        };
    }
    if visible { write!(Level::INFO) } else { write!(Level::DEBUG) }
}

/// All of the log but where it goes.
fn subscriber<W>(options: &LogOptions, writer: W) -> Result<impl Subscriber + Send + Sync + use<W>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .with_regex(false)
        .parse(format!("{MUTED},{}", options.filter))
        .map_err(|source| LogError::Filter { filter: options.filter.clone(), source })?;
    let lines = Lines { format: options.format, ansi: options.ansi, writer };
    Ok(tracing_subscriber::registry().with(filter).with(lines))
}

/// Writes each event of `tracing` as one line. Spans are not shown.
struct Lines<W> {
    format: Format,
    ansi: bool,
    writer: W,
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let line = Line::of(event);
        let mut out = match self.format {
            Format::Json => json::format(&line),
            Format::Text => text::format(&line, self.ansi),
        };
        out.push('\n');
        // A log that can't be written is no reason to end, and there is nowhere to say so.
        let _ = self.writer.make_writer_for(event.metadata()).write_all(out.as_bytes());
    }
}

fn tells_an_event(metadata: &Metadata<'_>) -> bool {
    metadata.target() == EVENT_TARGET
}

#[cfg(test)]
mod tests;
