//! How much goes into one batch: rows, tokens with padding, and how much padding is worth it.

use std::time::Duration;

use gristmill_schemas::manifest::Batching;

/// At most this share of a batch's tokens is padding (one in so many): a call that computes more of it than that takes
/// longer than the two calls it would save.
const PADDING_SHARE: u64 = 4;
/// Rows below this length cost about the same: padding among them is not counted.
const SHORT_ROW: u32 = 16;

/// The bounds that a manifest sets.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) max_rows: u32,
    pub(super) max_delay: Duration,
    max_tokens: Option<u32>,
}

impl Bounds {
    pub(super) fn new(batching: &Batching) -> Self {
        Self {
            max_rows: batching.max_batch_size.max(1),
            max_delay: batching.max_queue_delay.as_duration(),
            max_tokens: batching.max_batch_tokens,
        }
    }

    /// The rows of this length that one batch can hold; a row too long for any batch has one to itself.
    pub(super) fn capacity(&self, tokens: u32) -> u32 {
        let by_tokens = self.max_tokens.map_or(u32::MAX, |max| (max / tokens.max(1)).max(1));
        self.max_rows.min(by_tokens)
    }
}

/// A batch being put together.
#[derive(Debug)]
pub(super) struct Room<'b> {
    bounds: &'b Bounds,
    rows: u32,
    longest: u32,
    /// Tokens without padding, short rows counted as [`SHORT_ROW`].
    real: u64,
}

impl<'b> Room<'b> {
    pub(super) const fn new(bounds: &'b Bounds) -> Self {
        Self {
            bounds,
            rows: 0,
            longest: 0,
            real: 0,
        }
    }

    /// How many rows of this length can be added.
    pub(super) fn left(&self, tokens: u32) -> u32 {
        self.bounds.capacity(self.longest.max(tokens)).saturating_sub(self.rows)
    }

    /// Whether rows of this length would bring more padding than they are worth.
    pub(super) fn wastes(&self, rows: u32, tokens: u32) -> bool {
        let longest = u64::from(self.longest.max(tokens).max(SHORT_ROW));
        let padded = u64::from(self.rows + rows) * longest;
        let real = self.real + Self::real(rows, tokens);
        padded - real > padded / PADDING_SHARE
    }

    pub(super) fn add(&mut self, rows: u32, tokens: u32) {
        self.rows += rows;
        self.longest = self.longest.max(tokens);
        self.real += Self::real(rows, tokens);
    }

    /// Whether not even a row of one token can be added.
    pub(super) fn is_full(&self) -> bool {
        self.left(1) == 0
    }

    fn real(rows: u32, tokens: u32) -> u64 {
        u64::from(rows) * u64::from(tokens.max(SHORT_ROW))
    }
}
