//! Alerts are of metrics that there are, and each of them is explained.

use std::{collections::BTreeSet, fs};

use gristmill_e2e::binary;

/// The words of a text that begin so.
fn words(text: &str, prefix: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with(prefix))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_alert_is_explained_and_asks_for_metrics_that_there_are() -> anyhow::Result<()> {
    let read = |name: &str| fs::read_to_string(binary::repository().join(name));
    let (rules, explained) = (read("deploy/alerts.yml")?, read("docs/OPERATIONS.md")?);
    let alerts = words(&rules, "Gristmill");
    assert!(alerts.len() > 10);
    assert_eq!(words(&explained, "Gristmill"), alerts);
    let mut known = BTreeSet::new();
    for room in ["broker", "ingest", "workers", "webhooks", "telemetry"] {
        known.extend(words(&read(&format!("{room}/src/metrics.rs"))?, "gristmill_"));
    }
    let asked = words(&rules, "gristmill_");
    let unknown: Vec<&String> = asked.difference(&known).collect();
    assert!(asked.len() > 10 && unknown.is_empty(), "{unknown:?}");
    Ok(())
}
