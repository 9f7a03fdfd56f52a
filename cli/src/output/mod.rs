//! How results are written: tables for people, JSON for programs. Everything but results goes to stderr.

mod fields;
mod job;
mod table;
mod tensor;

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

pub(crate) use self::{
    fields::fields,
    job::of_job,
    table::{Table, properties},
};

/// How a result is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

impl Format {
    /// Writes a result: the value itself, or the table made of it.
    pub(crate) fn print(self, value: &impl Serialize, table: impl FnOnce() -> String) -> anyhow::Result<()> {
        let text = match self {
            Self::Json => serde_json::to_string_pretty(value)?,
            Self::Table => table(),
        };
        Ok(print(&text)?)
    }
}

/// Writes a text and a line's end to stdout. A reader who has gone away has read enough.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{}", text.trim_end_matches('\n')).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
