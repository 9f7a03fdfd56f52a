//! Waiting for a condition, with the one deadline of these tests.

use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(25);

/// What the condition gives once it holds.
pub(crate) async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(held) = condition().await {
                return held;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let held = tokio::time::timeout(LIMIT, waiting).await;
    held.unwrap_or_else(|_| panic!("waited {LIMIT:?} in vain for {what}"))
}
