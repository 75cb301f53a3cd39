//! The log: events on standard error.

mod clean;

use clean::Clean;

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line that people read.
    #[default]
    Text,
    /// A line that is an object of JSON.
    Json,
}

/// Begins to write events to standard error. `TENANTRY_LOG` says which, in the syntax of
/// tracing-subscriber's `EnvFilter`. A panic is an event as well.
pub(crate) fn begin(format: Format) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TENANTRY_LOG")
        .unwrap_or_else(|_| "warn,sqlx=error,tenantry=info,tenantry_sync=info".into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(move || Clean {
            to: std::io::stderr(),
            is_json: format == Format::Json,
        });
    match format {
        Format::Text => log.init(),
        Format::Json => log.json().flatten_event(true).init(),
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map_or_else(String::new, ToString::to_string);
        // What it says may be of a customer's directory; it is one line all the same.
        let said = panic.payload_as_str().unwrap_or_default();
        tracing::error!(place, said, "a panic: this is a defect of the program");
    }));
}
