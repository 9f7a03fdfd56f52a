//! Tables without lines, so that they can be cut up by other programs as well.

use comfy_table::{ContentArrangement, presets};

/// A table with a heading.
#[derive(Debug)]
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// An empty one.
    pub(crate) fn new(columns: impl IntoIterator<Item = String>) -> Self {
        let mut table = plain();
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(columns.into_iter().map(|column| column.to_uppercase()));
        Self(table)
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.add_row(cells);
    }

    /// As text.
    pub(crate) fn text(self) -> String {
        trimmed(&self.0)
    }
}

/// Names and values, one pair a line, however long: an id or a key must stay in one piece.
pub(crate) fn properties<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = plain();
    for (name, value) in pairs {
        table.add_row([name.to_owned(), value]);
    }
    trimmed(&table)
}

fn plain() -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn trimmed(table: &comfy_table::Table) -> String {
    let lines = table.lines().map(|line| {
        let line = line.strip_prefix(' ').unwrap_or(&line);
        line.trim_end().to_owned()
    });
    let lines: Vec<_> = lines.collect();
    lines.join("\n")
}
