//! Whether the servers run with what the durability level promises: the flags, the check, and what may come out of it. It
//! changes no setting, and whether to go on without the promise is the caller's decision.

mod broker;
mod monitor;
mod store;

use std::fmt;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use gristmill_schemas::Durability;

use crate::{Broker, ServerUrl, Store};

/// What the servers are to promise, and where to see that they do.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Durability")]
pub struct DurabilityArgs {
    /// What an acknowledged write survives: power-loss or process-crash
    #[arg(long, env = "GRISTMILL_DURABILITY", default_value_t, value_name = "LEVEL")]
    pub durability: Durability,
    /// Monitoring endpoint of the NATS server, or those of a cluster with commas between; power-loss needs it
    #[arg(long, env = "GRISTMILL_NATS_MONITOR_URL", value_name = "URL")]
    pub nats_monitor_url: Option<ServerUrl>,
    /// Start even if a server does not show its settings: you vouch for them
    #[arg(long, env = "GRISTMILL_DURABILITY_UNCHECKED")]
    pub durability_unchecked: bool,
}

impl DurabilityArgs {
    /// What can be known to be wrong without a server, each a sentence.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let Some(url) = &self.nats_monitor_url else {
            if self.durability == Durability::PowerLoss && !self.durability_unchecked {
                problems.push(UNMONITORED.to_owned());
            }
            return problems;
        };
        for url in url.each() {
            if !url.reveal().starts_with("http://") {
                problems.push(format!("--nats-monitor-url {url} must begin with http://"));
            }
        }
        problems
    }
}

/// Said when the command line is read, and again by a check without one.
const UNMONITORED: &str = "--durability power-loss needs --nats-monitor-url, where the NATS server shows its sync_interval: set `http: 8222` in the \
     server's configuration; or give --durability-unchecked if you vouch for it, or --durability process-crash";

/// A setting that keeps less than the level promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weakness {
    /// Which server, in words.
    pub server: String,
    /// The setting's name in the server's own language.
    pub setting: &'static str,
    /// What it is.
    pub found: String,
    /// What the level wants.
    pub wanted: &'static str,
    /// Where to change it.
    pub remedy: &'static str,
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            server,
            setting,
            found,
            wanted,
            remedy,
        } = self;
        write!(f, "{server} has {setting} {found}, wanted is {wanted}: {remedy}")
    }
}

/// Why the level cannot be relied upon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    /// Settings that were seen and keep less.
    #[error("durability level {0} is not kept: {list}", list = listed(.1))]
    Weak(Durability, Vec<Weakness>),
    /// A server that does not show its settings, and will not.
    #[error("durability level {0} cannot be checked: {1}")]
    Hidden(Durability, String),
    /// One that does not answer now.
    #[error("durability level {0} cannot be checked yet: {1}")]
    Away(Durability, String),
}

impl LevelError {
    /// Whether asking again may find something else without anybody changing a setting.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Weak(..) | Self::Hidden(..) => false,
            Self::Away(..) => true,
        }
    }
}

fn listed(weaknesses: &[Weakness]) -> String {
    let texts: Vec<String> = weaknesses.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// What the look at one server came to, without the level's name.
enum Unseen {
    Hidden(String),
    Away(String),
}

/// The check of one process. Clones are the same.
#[derive(Debug, Clone)]
pub struct Level {
    args: Arc<DurabilityArgs>,
    broker: Broker,
    store: Store,
    /// Whether it was said that nobody checks.
    told: Arc<AtomicBool>,
}

impl Level {
    /// Of these servers.
    #[must_use]
    pub fn new(args: &DurabilityArgs, broker: &Broker, store: &Store) -> Self {
        Self {
            args: Arc::new(args.clone()),
            broker: broker.clone(),
            store: store.clone(),
            told: Arc::default(),
        }
    }

    /// Whether the broker keeps the level: every server that shows its settings, the one we are connected to among them,
    /// and the streams, as far as they are there.
    ///
    /// # Errors
    /// [`LevelError`].
    pub async fn of_broker(&self) -> Result<(), LevelError> {
        let streams = broker::streams(&self.broker).await;
        let mut weak = streams.map_err(|away| LevelError::Away(self.args.durability, away))?;
        let seen = monitor::servers(&self.args, &self.broker.server_id()).await;
        let unseen = seen.map(|servers| weak.extend(servers)).err();
        self.verdict(weak, unseen)
    }

    /// Whether the store does.
    ///
    /// # Errors
    /// [`LevelError`].
    pub async fn of_store(&self) -> Result<(), LevelError> {
        match store::weaknesses(&self.store, self.args.durability).await {
            Ok(weak) => self.verdict(weak, None),
            Err(unseen) => self.verdict(Vec::new(), Some(unseen)),
        }
    }

    fn verdict(&self, weak: Vec<Weakness>, unseen: Option<Unseen>) -> Result<(), LevelError> {
        let level = self.args.durability;
        let error = match unseen {
            // what was seen weighs more than what was not
            _ if !weak.is_empty() => return Err(LevelError::Weak(level, weak)),
            None => return Ok(()),
            Some(Unseen::Hidden(why)) => LevelError::Hidden(level, why),
            Some(Unseen::Away(why)) => LevelError::Away(level, why),
        };
        if !self.args.durability_unchecked {
            return Err(error);
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "going on unchecked, as --durability-unchecked says");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_loss_needs_a_place_to_look_or_somebody_who_vouches() {
        let args = |durability, url: Option<&str>, durability_unchecked| DurabilityArgs {
            durability,
            nats_monitor_url: url.map(|url| ServerUrl::new(url.to_owned())),
            durability_unchecked,
        };
        let here = Some("http://one:8222,http://two:8222");
        for (args, problems) in [
            (args(Durability::PowerLoss, here, false), 0),
            (args(Durability::PowerLoss, None, false), 1),
            (args(Durability::PowerLoss, None, true), 0),
            (args(Durability::ProcessCrash, None, false), 0),
            (
                args(Durability::PowerLoss, Some("http://one,two,nats://three"), false),
                2,
            ),
        ] {
            assert_eq!(args.problems().len(), problems, "{args:?}");
        }
    }
}
