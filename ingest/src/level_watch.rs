//! Whether the servers still keep the durability level while an ingest runs. What is found makes the process degraded and
//! does not end it.

use std::time::{Duration, Instant};

use gristmill_broker::{Broker, Level, LevelError};

/// How often the broker is looked at as long as all is well and it was not restarted. The store is asked each time.
const INTERVAL: Duration = Duration::from_secs(30);

/// What was found last.
#[derive(Debug)]
pub(crate) struct LevelWatch {
    level: Level,
    broker: Finding,
    store: Finding,
    /// The connection that the broker's finding is of.
    connection: u64,
    /// Until when that finding is believed.
    look_again: Instant,
}

impl LevelWatch {
    /// Begins with servers that were found good at start.
    pub(crate) fn new(level: Level, broker: &Broker) -> Self {
        Self {
            level,
            broker: Finding::default(),
            store: Finding::default(),
            connection: broker.connections(),
            look_again: Instant::now() + INTERVAL,
        }
    }

    /// What is wrong with the broker, which is connected.
    pub(crate) async fn broker(&mut self, broker: &Broker) -> Option<&str> {
        let connection = broker.connections();
        if self.connection != connection {
            self.connection = connection;
            self.look_again = Instant::now();
        }
        // as long as anything is wrong it is looked at each time
        if Instant::now() >= self.look_again && self.broker.note(self.level.of_broker().await) {
            self.look_again = Instant::now() + INTERVAL;
        }
        self.broker.0.as_deref()
    }

    /// What is wrong with the store, which answers.
    pub(crate) async fn store(&mut self) -> Option<&str> {
        self.store.note(self.level.of_store().await);
        self.store.0.as_deref()
    }
}

/// What is wrong with one server, as far as is known.
#[derive(Debug, Default)]
struct Finding(Option<String>);

impl Finding {
    /// True if it was looked at and all is well.
    fn note(&mut self, found: Result<(), LevelError>) -> bool {
        let trouble = match found {
            Ok(()) => None,
            // what was known is believed until there is an answer
            Err(error @ LevelError::Away(..)) => {
                tracing::debug!(%error, "the durability level was not looked at");
                return false;
            }
            Err(error @ (LevelError::Weak(..) | LevelError::Hidden(..))) => Some(error.to_string()),
        };
        if trouble != self.0 {
            match &trouble {
                Some(trouble) => tracing::error!("{trouble}"),
                None => tracing::info!("the durability level is kept again"),
            }
            self.0 = trouble;
        }
        self.0.is_none()
    }
}
