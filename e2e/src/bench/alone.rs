//! One durable publish and one durable commit, one after the other and with nothing around them: what a job at low load cannot be
//! faster than.

use gristmill_broker::nats::bare;
use std::time::Instant;

use async_nats::jetstream::{self, stream};
use gristmill_servers::Pair;

/// As many bytes as an envelope of one identity job and as its outcome take.
const BYTES: usize = 1024;
const TIMES: usize = 300;
const STREAM: &str = "BENCH";

/// The median time of a pair, in milliseconds.
///
/// # Errors
/// A server does not answer.
pub async fn pair_ms(servers: &Pair) -> anyhow::Result<f64> {
    let jetstream = jetstream::new(bare(&servers.nats.url()).await?);
    let config = stream::Config {
        name: STREAM.to_owned(),
        subjects: vec!["bench".to_owned()],
        storage: stream::StorageType::File,
        max_messages: 10_000,
        ..stream::Config::default()
    };
    jetstream.get_or_create_stream(config).await?;
    let client = redis::Client::open(servers.redis.url())?;
    let mut redis = client.get_multiplexed_async_connection().await?;
    let payload = vec![7_u8; BYTES];
    let mut times = Vec::with_capacity(TIMES);
    for number in 0..TIMES {
        let began = Instant::now();
        jetstream.publish("bench", payload.clone().into()).await?.await?;
        let mut set = redis::cmd("SET");
        set.arg(format!("bench:{}", number % 100)).arg(&payload);
        set.exec_async(&mut redis).await?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[TIMES / 2])
}
