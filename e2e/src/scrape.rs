//! Reading single figures out of a process's metrics.

use anyhow::Context;

/// All that a process tells.
///
/// # Errors
/// It does not answer.
pub async fn text(admin_url: &str) -> anyhow::Result<String> {
    let reply = reqwest::get(format!("{admin_url}/metrics")).await?;
    Ok(reply.error_for_status()?.text().await?)
}

/// The sum of a metric over all its series whose labels contain `with`; 0 if there is none yet.
///
/// # Errors
/// The process does not answer, or not in the text format.
pub async fn sum(admin_url: &str, name: &str, with: &str) -> anyhow::Result<f64> {
    sum_in(&text(admin_url).await?, name, with)
}

/// [`sum`] of what a process has told.
///
/// # Errors
/// It is not in the text format.
pub fn sum_in(text: &str, name: &str, with: &str) -> anyhow::Result<f64> {
    let of_metric = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(with))
    };
    let value = |line: &str| -> anyhow::Result<f64> {
        let (_, value) = line.rsplit_once(' ').context("a sample has a value")?;
        value.parse().with_context(|| format!("a sample's value: {line}"))
    };
    text.lines().filter(of_metric).map(value).sum()
}
