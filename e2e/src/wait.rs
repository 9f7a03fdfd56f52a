//! Waiting for a condition, with one deadline for all.

use std::{future::Future, time::Duration};

use anyhow::bail;
use tokio::time::Instant;

/// No test waits longer for anything.
const DEADLINE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// Asks until the answer is there.
///
/// # Errors
/// It never was; the error names what was waited for.
pub async fn until<T, F>(what: &str, mut ask: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = Instant::now() + DEADLINE;
    let mut last = None;
    while Instant::now() < deadline {
        match ask().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
    match last {
        Some(error) => Err(error.context(format!("waited {DEADLINE:?} for {what}"))),
        None => bail!("waited {DEADLINE:?} for {what}"),
    }
}
