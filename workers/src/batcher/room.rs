//! How much goes into one batch: rows, tokens with padding, and how much padding is worth it.

use std::time::Duration;

use gristmill_schemas::{Span, manifest::Batching};

/// Padding that a job may bring into a batch, in tokens: as much as the engine call costs that it saves. MiniLM's graph
/// takes 0.22 ms a token on a CPU core from 16 tokens on, batched or not, and 1.5 to 2 ms a call; the claim and the commit
/// around a call are counted as as much again.
const CALL: u64 = 16;

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
            max_delay: batching.max_queue_delay.map_or(Duration::ZERO, Span::as_duration),
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
}

impl<'b> Room<'b> {
    pub(super) const fn new(bounds: &'b Bounds) -> Self {
        Self {
            bounds,
            rows: 0,
            longest: 0,
        }
    }

    /// How many rows of this length can be added.
    pub(super) fn left(&self, tokens: u32) -> u32 {
        self.bounds.capacity(self.longest.max(tokens)).saturating_sub(self.rows)
    }

    /// Whether rows of this length would bring more padding than they are worth.
    pub(super) fn wastes(&self, rows: u32, tokens: u32) -> bool {
        let padded = |rows: u32, longest: u32| u64::from(rows) * u64::from(longest);
        let before = padded(self.rows, self.longest) + padded(rows, tokens);
        padded(self.rows + rows, self.longest.max(tokens)) - before > CALL
    }

    pub(super) fn add(&mut self, rows: u32, tokens: u32) {
        self.rows += rows;
        self.longest = self.longest.max(tokens);
    }

    /// Whether not even a row of one token can be added.
    pub(super) fn is_full(&self) -> bool {
        self.left(1) == 0
    }
}
