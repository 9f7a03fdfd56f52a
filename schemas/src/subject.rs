//! Names on the broker: the stream, its subjects and the durable consumers.

use crate::{
    digest::Digest,
    lane::Lane,
    name::{ModelName, TenantId, VersionName},
};

/// The stream that holds every accepted job until it is settled.
pub const STREAM: &str = "JOBS";
/// What the stream listens to.
pub const WILDCARD: &str = "jobs.>";
/// Where requests of clients come in over NATS itself. No stream listens to it.
pub const REQUESTS: &str = "gristmill.requests";
/// The stream that keeps the inputs of jobs that failed.
pub const DEAD_LETTERS: &str = "DEAD_LETTERS";
/// What that stream listens to.
pub const DEAD_LETTERS_WILDCARD: &str = "dead-letters.>";

/// Where the inputs of a tenant's failed jobs are kept: one subject a tenant, so that each has a bound of its own.
#[must_use]
pub fn dead_letters(tenant: &TenantId) -> String {
    format!("dead-letters.{tenant}")
}

/// The number of tenant groups: tenants of one group wait behind each other, groups do not.
pub const TENANT_GROUPS: u8 = 8;

/// One of [`TENANT_GROUPS`], fixed by the tenant's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantGroup(u8);

impl TenantGroup {
    /// Every group.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TENANT_GROUPS).map(Self)
    }

    /// The group a tenant is in.
    #[must_use]
    pub fn of(tenant: &TenantId) -> Self {
        Self(Digest::of(tenant.as_str().as_bytes()).as_bytes()[31] % TENANT_GROUPS)
    }

    /// Its number, from 0.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// One queue: what an envelope's jobs have in common, and what one consumer pulls.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Queue {
    /// The model.
    pub model: ModelName,
    /// Its version.
    pub version: VersionName,
    /// The lane.
    pub lane: Lane,
    /// The tenant group.
    pub group: TenantGroup,
}

/// A hint at a queue, short enough for an id: two queues may have the same one. The tenant group is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueTag(pub(crate) [u8; 2]);

impl QueueTag {
    /// The tag of a version's lane.
    #[must_use]
    pub fn of(model: &ModelName, version: &VersionName, lane: Lane) -> Self {
        let digest = Digest::of(format!("{model}={version}={lane}").as_bytes());
        Self(digest.as_bytes()[..2].try_into().expect("two of 32 bytes"))
    }
}

impl Queue {
    /// The queues of a model's version: every lane and group.
    pub fn of_version<'a>(model: &'a ModelName, version: &'a VersionName) -> impl Iterator<Item = Self> + 'a {
        Lane::ALL.into_iter().flat_map(move |lane| {
            TenantGroup::all().map(move |group| Self {
                model: model.clone(),
                version: version.clone(),
                lane,
                group,
            })
        })
    }

    /// `jobs.<model>.<version>.<lane>.<group>`.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("jobs.{}.{}.{}.{}", self.model, self.version, self.lane, self.group.0)
    }

    /// The durable consumer's name; no name holds a '=', so that it cannot be mistaken for another's.
    #[must_use]
    pub fn consumer(&self) -> String {
        format!("{}={}={}={}", self.model, self.version, self.lane, self.group.0)
    }
}
