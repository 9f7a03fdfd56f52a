//! Pages of lists.

use gristmill_schemas::{Refusal, RefusalCode, dead_letter::MAX_PAGE};

/// Entries of a page whose size nobody has said.
pub(crate) const USUAL: usize = 50;

/// Reads the size of a page.
///
/// # Errors
/// `invalid_value`.
pub(crate) fn size(text: &str) -> Result<usize, Refusal> {
    let size = text.parse().ok().filter(|size| (1..=MAX_PAGE).contains(size));
    size.ok_or_else(|| {
        let refusal = Refusal::new(RefusalCode::InvalidValue, "a page has a number of entries").at("limit");
        refusal.limit(format_args!("1 to {MAX_PAGE}"))
    })
}

/// What a cursor means that cannot be read.
pub(crate) fn foreign_cursor(field: &str) -> Refusal {
    Refusal::new(RefusalCode::InvalidValue, "the cursor is none of ours").at(field)
}
