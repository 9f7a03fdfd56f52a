//! Redis users that may read one tenant's outcomes and events, and nothing else: for clients that poll or subscribe in Redis
//! itself. Each has a name of its own, so that one can be replaced by another while both work.

use gristmill_schemas::{Digest, KeyId, TenantId, key};
use redis::Cmd;

use crate::store::{Store, StoreError};

const PREFIX: &str = "reader";

/// What a reader may run: reads by key, reads of streams, and listening to hints.
const COMMANDS: [&str; 19] = [
    "+ping",
    "+time",
    "+client|setname",
    "+exists",
    "+ttl",
    "+pttl",
    "+hget",
    "+hmget",
    "+hgetall",
    "+hexists",
    "+hlen",
    "+xlen",
    "+xrange",
    "+xrevrange",
    "+xread",
    "+subscribe",
    "+psubscribe",
    "+unsubscribe",
    "+punsubscribe",
];
/// What it may run on the streams of events besides, if it is to read them by consumer groups.
const GROUP_COMMANDS: &str = "+xreadgroup +xack +xpending +xclaim +xautoclaim +xinfo|groups +xinfo|consumers +xinfo|stream \
     +xgroup|create +xgroup|setid +xgroup|destroy +xgroup|createconsumer +xgroup|delconsumer";

/// A reader's name: `reader.<tenant>.<id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReaderName {
    /// Whose outcomes it reads.
    pub tenant: TenantId,
    /// What tells it from others.
    pub id: KeyId,
}

impl std::fmt::Display for ReaderName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{PREFIX}.{}.{}", self.tenant, self.id)
    }
}

/// Text that is no reader's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a reader's name: reader.<tenant>.<id>")]
pub struct NotAReader;

impl std::str::FromStr for ReaderName {
    type Err = NotAReader;

    fn from_str(text: &str) -> Result<Self, NotAReader> {
        let mut parts = text.split('.');
        let (Some(PREFIX), Some(tenant), Some(id), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAReader);
        };
        let (tenant, id) = (tenant.parse().ok(), id.parse().ok());
        let name = tenant.zip(id).map(|(tenant, id)| Self { tenant, id });
        name.ok_or(NotAReader)
    }
}

/// A reader with what it may do.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Its name.
    pub name: ReaderName,
    /// Digest of its password.
    pub password: Digest,
    /// Whether it may read events by consumer groups, which the server keeps for it.
    pub consumer_groups: bool,
}

/// What became of a change to the users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// The server has written it to its ACL file.
    ToFile,
    /// The server has no ACL file: it is forgotten at the server's next start.
    InMemoryOnly,
}

impl Reader {
    /// Its rules, as ACL SETUSER and an ACL file take them.
    #[must_use]
    pub fn rules(&self) -> Vec<String> {
        let tenant = &self.name.tenant;
        let mut rules: Vec<String> = ["reset", "on"].map(str::to_owned).into();
        rules.push(format!("#{}", self.password.hex()));
        let readable = [
            key::pattern::jobs(tenant),
            key::pattern::events(tenant),
            key::pattern::windows(tenant),
        ];
        rules.extend(readable.map(|pattern| format!("%R~{pattern}")));
        rules.push(format!("&{}", key::pattern::hints(tenant)));
        rules.extend(COMMANDS.map(str::to_owned));
        if self.consumer_groups {
            rules.push(format!("({GROUP_COMMANDS} ~{})", key::pattern::events(tenant)));
        }
        rules
    }

    /// Its line for an ACL file.
    #[must_use]
    pub fn acl_line(&self) -> String {
        format!("user {} {}", self.name, self.rules().join(" "))
    }
}

impl Store {
    /// Makes a reader.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_reader(&self, reader: &Reader) -> Result<Saved, StoreError> {
        let mut command = acl("SETUSER");
        command.arg(reader.name.to_string()).arg(reader.rules());
        self.command::<()>(&command).await?;
        self.save_users().await
    }

    /// The names of all readers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn readers(&self) -> Result<Vec<ReaderName>, StoreError> {
        let users: Vec<String> = self.command(&acl("USERS")).await?;
        let mut readers: Vec<ReaderName> = users.iter().filter_map(|user| user.parse().ok()).collect();
        readers.sort_unstable();
        Ok(readers)
    }

    /// Takes a reader away, and ends its connections; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_reader(&self, name: &ReaderName) -> Result<Option<Saved>, StoreError> {
        let mut command = acl("DELUSER");
        command.arg(name.to_string());
        let deleted: u64 = self.command(&command).await?;
        match deleted {
            0 => Ok(None),
            _ => self.save_users().await.map(Some),
        }
    }

    async fn save_users(&self) -> Result<Saved, StoreError> {
        match self.command::<()>(&acl("SAVE")).await {
            Ok(()) => Ok(Saved::ToFile),
            // the only answer of a server without an ACL file
            Err(error) if error.is_forbidden() => Ok(Saved::InMemoryOnly),
            Err(error) => Err(error),
        }
    }
}

fn acl(action: &str) -> Cmd {
    let mut command = redis::cmd("ACL");
    command.arg(action);
    command
}
