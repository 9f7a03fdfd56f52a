//! How much memory the store uses, of how much it may.

use crate::store::{Store, StoreError};

/// Bytes, as the store itself counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreMemory {
    /// In use.
    pub used: u64,
    /// `maxmemory`; 0 where there is no limit.
    pub max: u64,
}

impl Store {
    /// Asks the store; it answers within microseconds, whatever it holds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn memory(&self) -> Result<StoreMemory, StoreError> {
        let text: String = self.command(redis::cmd("INFO").arg("memory")).await?;
        let figure = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|figure| figure.trim().parse().ok())
                .ok_or_else(|| StoreError::Unreadable(format!("{name} in INFO memory")))
        };
        Ok(StoreMemory {
            used: figure("used_memory")?,
            max: figure("maxmemory")?,
        })
    }
}
