//! The connection of the hints: subscribes to what is wanted, passes on what it hears, and is made again when it is lost.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use tokio::sync::mpsc;

use crate::{
    api_keys,
    backoff::Backoff,
    hint::{Hint, News},
    metrics,
    store::Store,
    watch::{RECONNECT_PAUSES, Shared},
};

/// Channels nobody waits on any more are kept this long, since the next job of their tenant is likely near.
const SWEEP: Duration = Duration::from_secs(60);

/// Bounds one SUBSCRIBE or UNSUBSCRIBE.
const CHANNELS_AT_ONCE: usize = 256;

/// The task that owns the connection.
pub(super) struct Listener {
    pub(super) store: Store,
    pub(super) shared: Arc<Shared>,
    pub(super) wished: mpsc::UnboundedReceiver<String>,
}

impl Listener {
    /// Listens for ever, on one connection after another.
    pub(super) async fn run(mut self) {
        let fresh = Backoff::new(RECONNECT_PAUSES.0, RECONNECT_PAUSES.1);
        let mut backoff = fresh.clone();
        loop {
            match self.store.subscriber().await {
                Ok(connection) => {
                    backoff = fresh.clone();
                    let (sink, stream) = connection.split();
                    if let Err(error) = self.listen(sink, stream).await {
                        tracing::warn!(%error, "hints of outcomes: connection lost");
                    }
                    metrics::connections_lost("redis").increment(1);
                    self.shared.lost();
                }
                Err(error) => tracing::debug!(%error, "hints of outcomes: no connection"),
            }
            backoff.wait().await;
        }
    }

    /// Subscribes to all that is wanted and passes hints on until the connection ends.
    async fn listen(&mut self, mut sink: PubSubSink, mut hints: PubSubStream) -> redis::RedisResult<()> {
        sink.subscribe(api_keys::CHANGED).await?;
        self.shared.access.send_modify(|changes| *changes += 1);
        let wanted: Vec<String> = self.shared.channels().wanted.keys().cloned().collect();
        for channels in wanted.chunks(CHANNELS_AT_ONCE) {
            self.subscribe(&mut sink, channels).await?;
        }
        let mut sweep = tokio::time::interval(SWEEP);
        let mut wishes = Vec::new();
        loop {
            tokio::select! {
                hint = hints.next() => match hint {
                    Some(hint) => self.pass_on(&hint),
                    None => return Ok(()),
                },
                1.. = self.wished.recv_many(&mut wishes, CHANNELS_AT_ONCE) => {
                    // not again those that the reconnection has seen to, nor those that nobody waits on any more
                    let channels = self.shared.unconfirmed(wishes.drain(..));
                    self.subscribe(&mut sink, &channels).await?;
                }
                _ = sweep.tick() => self.sweep(&mut sink).await?,
            }
        }
    }

    async fn subscribe(&self, sink: &mut PubSubSink, channels: &[String]) -> redis::RedisResult<()> {
        if !channels.is_empty() {
            sink.subscribe(channels).await?;
            self.shared.confirm(channels);
        }
        Ok(())
    }

    fn pass_on(&self, hint: &redis::Msg) {
        if hint.get_channel_name() == api_keys::CHANGED {
            self.shared.access.send_modify(|changes| *changes += 1);
            return;
        }
        let parsed = Hint::parse(hint.get_payload_bytes());
        match parsed.as_ref().map(|hint| (&hint.id, &hint.news)) {
            Some((id, News::Progress)) => self.shared.progressing.tell(id),
            Some((id, News::Ended(ended))) => {
                self.shared.following.tell(hint.get_channel_name());
                self.shared.wake(id, ended.as_ref());
            }
            // of a newer build, perhaps: whoever looks knows
            None => self.shared.following.tell(hint.get_channel_name()),
        }
    }

    async fn sweep(&self, sink: &mut PubSubSink) -> redis::RedisResult<()> {
        let idle: Vec<String> = {
            let mut channels = self.shared.channels();
            let idle: Vec<_> = channels
                .wanted
                .extract_if(|_, waiters| *waiters == 0)
                .map(|(channel, _)| channel)
                .collect();
            for channel in &idle {
                channels.confirmed.remove(channel);
            }
            idle
        };
        for channels in idle.chunks(CHANNELS_AT_ONCE) {
            sink.unsubscribe(channels).await?;
        }
        Ok(())
    }
}
