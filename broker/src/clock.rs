//! The broker's clock: the one by which deadlines count, known in every process without trusting its own clock.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use async_nats::jetstream;
use gristmill_schemas::{Timestamp, subject};
use serde::Deserialize;
use tokio::sync::watch;

use crate::{
    metrics,
    nats::{BrokerError, Link},
};

/// How often the time is asked for anew; clocks drift by less than a millisecond in between.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
/// A sample that is so old gives way to any newer one: clocks drift, and a new leader has a clock of its own.
const MAX_AGE: Duration = Duration::from_secs(60);

/// The broker's time: its answer plus the time that has passed here since the answer came. So it is late by what the answer
/// took on its way and never early, and nothing expires before its time. Of the samples of a minute the least late counts.
#[derive(Clone, Debug)]
pub struct BrokerClock {
    jetstream: jetstream::Context,
    sample: Arc<Mutex<Sample>>,
    /// Why the last sample was not to be had.
    trouble: Arc<Mutex<Option<String>>>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    here: Instant,
    there: Timestamp,
    /// False as long as it is only this host's own clock.
    learned: bool,
}

impl Sample {
    fn at(&self, here: Instant) -> Timestamp {
        self.there.plus(here.saturating_duration_since(self.here))
    }

    /// The one that says more, of this and a newer one.
    fn or(self, newer: Self) -> Self {
        let is_old = newer.here.saturating_duration_since(self.here) > MAX_AGE;
        if !self.learned || is_old || newer.there >= self.at(newer.here) {
            newer
        } else {
            self
        }
    }
}

#[derive(Deserialize)]
struct StreamInfo {
    state: StreamState,
    /// RFC 3339, with up to nanoseconds.
    #[serde(rename = "ts")]
    time: Option<Timestamp>,
}

#[derive(Deserialize)]
struct StreamState {
    messages: u32,
    bytes: u64,
}

impl BrokerClock {
    pub(crate) fn start(jetstream: jetstream::Context, mut link: watch::Receiver<Link>) -> Self {
        let first = Sample {
            here: Instant::now(),
            there: SystemTime::now().into(),
            learned: false,
        };
        let clock = Self {
            jetstream,
            sample: Arc::new(Mutex::new(first)),
            trouble: Arc::default(),
        };
        let sampler = clock.clone();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            // ends with the client: then nobody is connected any more
            while link.wait_for(|link| link.up).await.is_ok() {
                ticks.tick().await;
                if let Err(error) = sampler.sample().await {
                    tracing::debug!(%error, "the broker's time is not known anew");
                }
            }
        });
        clock
    }

    /// The broker's time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let sample = *self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        sample.at(Instant::now())
    }

    /// Why the stream could not be asked when it was asked last.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for the time, and for how full the stream is.
    pub(crate) async fn sample(&self) -> Result<(), BrokerError> {
        let asked = self.ask().await;
        let trouble = asked.as_ref().err().map(ToString::to_string);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        asked
    }

    async fn ask(&self) -> Result<(), BrokerError> {
        let subject = format!("STREAM.INFO.{}", subject::STREAM);
        let reply: jetstream::response::Response<StreamInfo> = self
            .jetstream
            .request(subject, &())
            .await
            .map_err(|error| BrokerError::JetStream(error.to_string()))?;
        let info = match reply {
            jetstream::response::Response::Ok(info) => info,
            jetstream::response::Response::Err { error } => return Err(BrokerError::JetStream(error.to_string())),
        };
        metrics::stream_envelopes().set(info.state.messages);
        metrics::stream_bytes().set(info.state.bytes as f64);
        if let Some(there) = info.time {
            let newer = Sample {
                here: Instant::now(),
                there,
                learned: true,
            };
            let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
            *sample = sample.or(newer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_late_sample_counts_until_it_is_old() {
        let start = Instant::now();
        let sample = |after: u64, there: u64, learned| Sample {
            here: start + Duration::from_secs(after),
            there: Timestamp::from_millis(there * 1000),
            learned,
        };
        let own = sample(0, 5_000, false);
        let first = own.or(sample(1, 1_001, true));
        assert_eq!(first.there, Timestamp::from_millis(1_001_000));
        // its answer took three seconds more on its way
        let late = first.or(sample(11, 1_008, true));
        assert_eq!(
            late.at(start + Duration::from_secs(11)),
            Timestamp::from_millis(1_011_000)
        );
        let sooner = late.or(sample(21, 1_022, true));
        assert_eq!(
            sooner.at(start + Duration::from_secs(21)),
            Timestamp::from_millis(1_022_000)
        );
        // a broker whose clock was set back is believed after a while
        let stepped = sample(90, 500, true);
        assert_eq!(sooner.or(stepped).there, stepped.there);
    }
}
