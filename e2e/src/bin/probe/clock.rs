//! Measurement 6: is the server's time in the reply to a look at the stream, how long does it take, how well does it tell?

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use async_nats::datetime::parse_rfc3339;
use async_nats::jetstream::stream::RetentionPolicy;

use crate::bench::{Bench, STREAM};
use crate::door::{Door, Mode};
use crate::load::closed_loop;
use crate::table::{Table, ms};

const SAMPLES: usize = 300;
const LOADS: [(&str, Mode, usize); 3] = [
    ("idle", Mode::Plain, 0),
    ("64 callers, one publish a job", Mode::Plain, 64),
    (
        "64 callers, envelopes",
        Mode::Envelopes {
            max_jobs: 64,
            in_flight: 1,
        },
        64,
    ),
];

/// Measures and prints.
pub(crate) async fn measure(bench: &Bench) -> anyhow::Result<()> {
    let mut table = Table::new(
        "raw $JS.API.STREAM.INFO; the server's clock is ours here, so the offset should be 0",
        &[
            "load",
            "`ts`",
            "p50 ms",
            "p99 ms",
            "offset p50 ms",
            "offset by the quickest reply ms",
        ],
    );
    for (name, mode, callers) in LOADS {
        bench.stream(RetentionPolicy::WorkQueue).await?;
        let door = Door::open(mode, &bench.js, "jobs.m.1.batch.0");
        let js = bench.connect().await?;
        let (_, mut looks) = tokio::try_join!(closed_loop(&door, callers, Duration::from_secs(3)), looks(&js))?;
        looks.sort_by_key(|look| look.took);
        let quickest = looks.first().context("no looks")?;
        let slow = &looks[looks.len() * 99 / 100];
        let mut offsets: Vec<f64> = looks.iter().map(|look| look.offset).collect();
        offsets.sort_by(f64::total_cmp);
        table.row([
            name.into(),
            quickest.stamp.clone(),
            ms(looks[looks.len() / 2].took),
            ms(slow.took),
            format!("{:+.3}", offsets[offsets.len() / 2]),
            format!("{:+.3}", quickest.offset),
        ]);
    }
    table.print();
    Ok(())
}

/// One request.
struct Look {
    took: Duration,
    stamp: String,
    /// Milliseconds that the server's clock is ahead of the middle of the request.
    offset: f64,
}

async fn looks(js: &async_nats::jetstream::Context) -> anyhow::Result<Vec<Look>> {
    let client = js.client();
    let mut looks = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let (before, begun) = (SystemTime::now(), Instant::now());
        let reply = client
            .request(format!("$JS.API.STREAM.INFO.{STREAM}"), "".into())
            .await?;
        let took = begun.elapsed();
        let reply: serde_json::Value = serde_json::from_slice(&reply.payload)?;
        let stamp = reply["ts"].as_str().context("the reply has no `ts`")?.to_owned();
        let server = parse_rfc3339(&stamp)
            .map_err(anyhow::Error::from_boxed)?
            .unix_timestamp_nanos();
        let middle = (before + took / 2).duration_since(UNIX_EPOCH)?.as_nanos();
        let offset = (server - i128::try_from(middle)?) as f64 / 1e6;
        looks.push(Look { took, stamp, offset });
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(looks)
}
