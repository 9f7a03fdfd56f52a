//! The batch lane's tenth: an account of rows, kept only while the batch lane has work.

use gristmill_schemas::Lane;

/// One row in so many belongs to the batch lane.
const SHARE: u64 = 10;

/// What the batch lane is owed.
#[derive(Debug)]
pub(super) struct LaneShare {
    /// Rows handed out while the batch lane had work, less [`SHARE`] for each that was its own; never below 0, so that
    /// what it got while nobody else wanted it is not held against it.
    owed: u64,
    /// From here on the batch lane goes first. Nine full batches: small enough to be prompt, large enough that a full
    /// batch in turn for them is a tenth and no more.
    threshold: u64,
}

impl LaneShare {
    pub(super) fn new(max_rows: u32) -> Self {
        Self {
            owed: 0,
            threshold: (SHARE - 1) * u64::from(max_rows),
        }
    }

    pub(super) const fn owes_batch(&self) -> bool {
        self.owed >= self.threshold
    }

    /// Enters a batch; `batch_waited`: whether the batch lane had work when it was chosen.
    pub(super) fn count(&mut self, lane: Lane, rows: u32, batch_waited: bool) {
        let rows = u64::from(rows);
        self.owed = match lane {
            _ if !batch_waited => 0,
            Lane::Interactive => self.owed + rows,
            Lane::Batch => (self.owed + rows).saturating_sub(SHARE * rows),
        };
    }
}
