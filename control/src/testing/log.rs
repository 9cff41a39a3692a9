//! Everything that is logged, to look for what must not be.
//!
//! One subscriber serves the whole process and keeps what a thread logs that asked for it. A subscriber a thread would miss lines:
//! what another thread has logged first, without one, is remembered as of no interest to anybody.

use std::{
    cell::RefCell,
    fmt::{Debug, Write},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

thread_local! {
    static LINES: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What this thread logs, at every level, for as long as this lives.
#[derive(Debug)]
pub struct Log(());

impl Log {
    /// Begins.
    pub fn capture() -> Self {
        // Fails if it is set already, which is as good.
        let _ = tracing::subscriber::set_global_default(Capture);
        LINES.set(Some(String::new()));
        Self(())
    }

    /// So far.
    pub fn text(&self) -> String {
        LINES.with_borrow(|lines| lines.clone().unwrap_or_default())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

struct Capture;

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

fn write(target: &str, record: impl FnOnce(&mut Line<'_>)) {
    LINES.with_borrow_mut(|lines| {
        if let Some(lines) = lines {
            lines.push_str(target);
            record(&mut Line(lines));
            lines.push('\n');
        }
    });
}

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        write(span.metadata().name(), |line| span.record(line));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        write("record", |line| values.record(line));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        write(event.metadata().target(), |line| event.record(line));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
