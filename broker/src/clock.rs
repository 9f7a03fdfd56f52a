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
/// A slower answer, such as one that had to wait for a connection, says less than the sample before it.
const MAX_ROUND_TRIP: Duration = Duration::from_millis(500);
/// Unless that one is so old.
const MAX_AGE: Duration = Duration::from_secs(60);

/// The broker's time: its last answer plus the time that has passed here since. Wrong by at most one round trip.
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
        sample.there.plus(sample.here.elapsed())
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
        let asked = Instant::now();
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
        let round_trip = asked.elapsed();
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = info.time
            && (round_trip <= MAX_ROUND_TRIP || !sample.learned || sample.here.elapsed() > MAX_AGE)
        {
            *sample = Sample {
                here: asked + round_trip / 2,
                there,
                learned: true,
            };
        }
        Ok(())
    }
}
