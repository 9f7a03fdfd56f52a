//! The users of redis-server, as lines of its ACL file. Users that others have put there (`gristmill readers`) stay.

use std::fmt::Write as _;

use gristmill_schemas::Digest;

use super::{Access, Role};

/// Nobody is let in as this user. It may do everything all the same: redis-server reads its append-only file as it, and what
/// it may not do is lost then without a word, as far as it was written in a transaction or by a script.
const DEFAULT: &str = "user default off nopass ~* &* +@all";

/// What both kinds of process ask: how the server stands, and the scripts that write outcomes.
const COMMON: &str = "+ping +time +info +config|get +client|setname +evalsha +script|load +exists \
     +hget +hmget +hgetall +hexists +hset +hsetnx +hdel +hincrby +pexpire +del +publish \
     +xadd +zadd +zrem +zrange +zremrangebyscore";
/// What ingests ask besides.
const INGEST: &str = "+get +set +unlink +xrange +xrevrange +xdel +zrangebyscore +zrevrangebyscore \
     +subscribe +unsubscribe +psubscribe +punsubscribe";

/// Keys of jobs, of what tenants have, and of ingests among themselves; who may do what is read alone.
const INGEST_KEYS: &str = "~gm:{* ~gm:lead:* ~gm:writable ~gm:job-id-keys \
     %R~gm:api-keys %R~gm:tenants %R~gm:webhooks &gm:{* &gm:access:changed";
/// Keys of jobs and what their ends change.
const WORKER_KEYS: &str = "~gm:{*}:job:* ~gm:{*}:events ~gm:{*}:events-window ~gm:{*}:dead-letters ~gm:{*}:queued \
     ~gm:{*}:running ~gm:{*}:outbox ~gm:writable &gm:{*}:hints";

pub(super) fn users(access: &Access, file: &str) -> String {
    let ours = |line: &str| {
        let name = line.split_whitespace().nth(1).unwrap_or_default();
        name == "default" || Role::ALL.iter().any(|role| role.as_str() == name)
    };
    let others = file.lines().filter(|line| !line.trim().is_empty() && !ours(line));
    let mut lines = others.fold(String::new(), |lines, line| lines + line + "\n");
    let _ = writeln!(lines, "{DEFAULT}");
    for role in Role::ALL {
        let rules = match role {
            Role::Ingest => format!("resetchannels {INGEST_KEYS} -@all {COMMON} {INGEST}"),
            Role::Worker => format!("resetchannels {WORKER_KEYS} -@all {COMMON} +set"),
            Role::Operator => "~* &* +@all".to_owned(),
            Role::Client => continue,
        };
        let password = Digest::of(access.password(role).as_bytes()).hex();
        let _ = writeln!(lines, "user {} on #{password} {rules}", role.as_str());
    }
    lines
}
