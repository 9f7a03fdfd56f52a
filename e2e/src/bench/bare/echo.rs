//! The worker's side of the bare path.

use gristmill_broker::nats;
use std::{sync::Arc, time::Duration};

use anyhow::Context;
use async_nats::jetstream::{self, AckKind, consumer::pull};
use bytes::Bytes;
use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use tokio::sync::Semaphore;

use super::{CHANNEL, Part, STREAM, id, pack, say, unpack};

/// Numbers of an answer, as the model `light` has.
const NUMBERS: usize = 214;
/// Messages that are asked for at once.
const PULLED: usize = 8;
/// Messages whose echoes are on their way to the store.
const AT_ONCE: usize = 4;
/// How long echoes are kept, in seconds.
const KEPT: u64 = 3600;

pub(super) async fn run(part: Part) -> anyhow::Result<()> {
    let jetstream = jetstream::new(nats::bare(&part.nats_url).await?);
    let config = pull::Config {
        durable_name: Some("echo".to_owned()),
        ..pull::Config::default()
    };
    let consumer = jetstream.create_consumer_on_stream(config, STREAM).await?;
    let store = redis::Client::open(part.redis_url)?
        .get_multiplexed_async_connection()
        .await?;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    say(&part.announce, "ready")?;
    loop {
        let pull = consumer.batch().max_messages(PULLED).expires(Duration::from_secs(5));
        let mut messages = pull.messages().await?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(|error| anyhow::anyhow!("{error}"))?;
            let place = Arc::clone(&places).acquire_owned().await?;
            let store = store.clone();
            tokio::spawn(async move {
                if let Err(error) = answer(message, store).await {
                    // the door would wait for these echoes
                    eprintln!("{error:#}");
                    std::process::exit(1);
                }
                drop(place);
            });
        }
    }
}

/// Stores and publishes the echoes of one message, then acks it.
async fn answer(message: jetstream::Message, mut store: MultiplexedConnection) -> anyhow::Result<()> {
    let mut pipeline = redis::pipe();
    for (number, input) in unpack(message.payload.clone()) {
        let echo = echo(&input);
        let key = format!("bare:{}", id(number));
        pipeline.cmd("SET").arg(key).arg(&echo[..]).arg("EX").arg(KEPT).ignore();
        let hint = pack(&[(number, echo)]);
        pipeline.cmd("PUBLISH").arg(CHANNEL).arg(&hint[..]).ignore();
    }
    let stored: redis::RedisResult<()> = pipeline.query_async(&mut store).await;
    stored.context("the store")?;
    let acked = message.ack_with(AckKind::Ack).await;
    acked.map_err(|error| anyhow::anyhow!("the broker: {error}"))
}

fn echo(input: &[u8]) -> Bytes {
    let number = |bytes: &[u8]| i32::from_le_bytes(bytes.try_into().expect("four bytes")) as f32;
    let numbers = input.chunks_exact(4).take(NUMBERS);
    numbers.flat_map(|bytes| number(bytes).to_le_bytes()).collect()
}
