//! Asking a process of ours whether it is ready.

use std::time::Duration;

/// Both ends are on one machine; who does not answer within this is busy starting.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(25);

/// The readiness of one process, as others see it.
#[derive(Debug, Clone)]
pub(crate) struct Readyz {
    http: reqwest::Client,
    url: String,
}

impl Readyz {
    /// Of the process with this admin listener.
    pub(crate) fn of(admin_url: &str) -> anyhow::Result<Self> {
        // a proxy that the environment names has no business with this machine's own addresses
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
        Ok(Self {
            http,
            url: format!("{admin_url}/readyz"),
        })
    }

    /// Ends as soon as it is ready.
    pub(crate) async fn ready(&self) {
        while !self.is_ready().await {
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn is_ready(&self) -> bool {
        let answer = self.http.get(&self.url).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}
