//! What the store says of its settings.

use std::collections::HashMap;

use gristmill_schemas::Durability;

use super::{Unseen, Weakness};
use crate::store::Store;

/// A setting, what it may be at a level, and how that is called.
struct Demand {
    setting: &'static str,
    wanted: &'static str,
    accepted: &'static [&'static str],
    remedy: &'static str,
}

const APPENDONLY: Demand = Demand {
    setting: "appendonly",
    wanted: "yes",
    accepted: &["yes"],
    remedy: "set `appendonly yes` in redis.conf, or by CONFIG SET and CONFIG REWRITE",
};
const POLICY: Demand = Demand {
    setting: "maxmemory-policy",
    wanted: "noeviction",
    accepted: &["noeviction"],
    remedy: "set `maxmemory-policy noeviction` in redis.conf, or by CONFIG SET and CONFIG REWRITE: others throw outcomes away",
};
const POWER_LOSS: &[Demand] = &[
    APPENDONLY,
    Demand {
        setting: "appendfsync",
        wanted: "always",
        accepted: &["always"],
        remedy: "set `appendfsync always` in redis.conf, or by CONFIG SET and CONFIG REWRITE; or give --durability process-crash",
    },
    // while the file is rewritten, yes turns always into no
    Demand {
        setting: "no-appendfsync-on-rewrite",
        wanted: "no",
        accepted: &["no"],
        remedy: "set `no-appendfsync-on-rewrite no` in redis.conf, or by CONFIG SET and CONFIG REWRITE",
    },
    POLICY,
];
const PROCESS_CRASH: &[Demand] = &[
    APPENDONLY,
    // By `no` every write is with the operating system before its answer leaves. By everysec it is not while a fsync is
    // under way: Redis then answers at once and writes up to 2 s later, and a kill on a slow disk loses all of that
    // (Redis 7.0: 13,858 of 95,111 acknowledged writes where a fsync took 1.5 s; by `no` and by always none).
    Demand {
        setting: "appendfsync",
        wanted: "no or always",
        accepted: &["no", "always"],
        remedy: "set `appendfsync no` in redis.conf, or by CONFIG SET and CONFIG REWRITE: everysec answers before it writes while a fsync \
                 is under way",
    },
    POLICY,
];

/// The settings that keep less than the level.
pub(super) async fn weaknesses(store: &Store, level: Durability) -> Result<Vec<Weakness>, Unseen> {
    let demands = match level {
        Durability::PowerLoss => POWER_LOSS,
        Durability::ProcessCrash => PROCESS_CRASH,
    };
    let server = format!("Redis at {}", store.url());
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET")
        .arg(demands.iter().map(|demand| demand.setting).collect::<Vec<_>>());
    let found: HashMap<String, String> = store.command(&ask).await.map_err(|error| {
        if error.is_forbidden() {
            Unseen::Hidden(format!(
                "{server} does not let CONFIG GET be run: let our user run it (ACL rule +config|get), or give --durability-unchecked"
            ))
        } else {
            Unseen::Away(format!("{server}: {error}"))
        }
    })?;
    let mut weak = Vec::new();
    for demand in demands {
        let Some(found) = found.get(demand.setting) else {
            return Err(Unseen::Hidden(format!(
                "{server} shows no {}: if you vouch for it give --durability-unchecked",
                demand.setting
            )));
        };
        if !demand.accepted.contains(&found.as_str()) {
            weak.push(Weakness {
                server: server.clone(),
                setting: demand.setting,
                found: found.clone(),
                wanted: demand.wanted,
                remedy: demand.remedy,
            });
        }
    }
    Ok(weak)
}
