//! API keys: how they are written and made, and the ring of those that are valid now, with what is set for their tenants.
//! Their records are the store's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use data_encoding::BASE32_NOPAD;
use gristmill_broker::{
    Store, StoreError, TenantSettings, Watch,
    api_keys::{ApiKeyRecord, Grant, Scope},
};
use gristmill_schemas::{Digest, KeyId, ModelName, Refusal, RefusalCode, TenantId};
use subtle::ConstantTimeEq;

/// Random bytes of a secret.
const SECRET_BYTES: usize = 32;
/// Characters of a written secret: 32 bytes in base 32.
const SECRET_LENGTH: usize = 52;
/// Random bytes of a generated key id.
const ID_BYTES: usize = 5;
/// Keys are read again this often, should a hint be lost.
const REFRESH: Duration = Duration::from_secs(5);

/// The secret half of an API key. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// SHA-256 of the secret as it is written: what is stored of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// An API key as its owner holds it: `gm_<id>_<secret>`.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// The public half.
    pub id: KeyId,
    /// The other one.
    pub secret: Secret,
}

/// Text that has not the form of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an API key: gm_<id>_<secret>")]
pub struct NotAnApiKey;

impl ApiKey {
    /// A new key with a random id.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut id = [0; ID_BYTES];
        getrandom::fill(&mut id)?;
        let id = BASE32_NOPAD.encode(&id).to_ascii_lowercase();
        Self::generate_for(id.parse().expect("base 32 in lower case is a name"))
    }

    /// A new key with this id.
    ///
    /// # Errors
    /// The operating system has no random bytes.
    pub fn generate_for(id: KeyId) -> Result<Self, getrandom::Error> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret)?;
        let secret = Secret(BASE32_NOPAD.encode(&secret).to_ascii_lowercase());
        Ok(Self { id, secret })
    }

    /// The whole key in the clear, for its owner, once.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("gm_{}_{}", self.id, self.secret.0)
    }
}

impl FromStr for ApiKey {
    type Err = NotAnApiKey;

    /// The id may hold underscores, the secret has none.
    fn from_str(text: &str) -> Result<Self, NotAnApiKey> {
        let (id, secret) = text
            .strip_prefix("gm_")
            .and_then(|rest| rest.rsplit_once('_'))
            .ok_or(NotAnApiKey)?;
        let sound = |byte: u8| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte);
        if secret.len() != SECRET_LENGTH || !secret.bytes().all(sound) {
            return Err(NotAnApiKey);
        }
        Ok(Self {
            id: id.parse().map_err(|_| NotAnApiKey)?,
            secret: Secret(secret.to_owned()),
        })
    }
}

/// Whom a valid key speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The tenant.
    pub tenant: TenantId,
    /// The key.
    pub key: KeyId,
    /// What is set for the tenant.
    pub settings: TenantSettings,
    /// Whether there is a secret that signs the tenant's webhooks: without one its jobs have none.
    pub has_webhooks: bool,
    /// What the key may be used for.
    pub grant: Grant,
}

impl Caller {
    /// Holds the key against what it is to be used for.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn check(&self, scope: Scope) -> Result<(), Refusal> {
        if self.grant.scopes.contains(&scope) {
            return Ok(());
        }
        let detail = format!("the API key {} has not the scope {scope}", self.key);
        Err(Refusal::new(RefusalCode::Forbidden, detail).at("Authorization"))
    }

    /// Holds the key against a model that a job is to be submitted for.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn check_model(&self, model: &ModelName) -> Result<(), Refusal> {
        if self.grant.covers(model) {
            return Ok(());
        }
        let models: Vec<_> = self.grant.models.iter().map(ModelName::as_str).collect();
        let detail = format!("the API key {} is not for model {model}", self.key);
        let refusal = Refusal::new(RefusalCode::Forbidden, detail).at("model");
        Err(refusal.limit(models.join(", ")))
    }
}

/// What the ring says of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is valid.
    Known(Caller),
    /// It is not: unknown, revoked and a wrong secret alike.
    Unknown,
    /// The store was never reached, so nobody can be told apart yet.
    NotLoaded,
}

/// What the store knows of keys and tenants.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Every key.
    pub keys: BTreeMap<KeyId, ApiKeyRecord>,
    /// Every tenant for whom anything is set.
    pub tenants: BTreeMap<TenantId, TenantSettings>,
    /// Every tenant that has webhooks.
    pub with_webhooks: BTreeSet<TenantId>,
}

impl Records {
    async fn read(store: &Store) -> Result<Self, StoreError> {
        Ok(Self {
            keys: store.api_keys().await?,
            tenants: store.tenants().await?,
            with_webhooks: store.webhooks().await?.into_keys().collect(),
        })
    }
}

/// The keys that are valid now: read from the store, and kept as they are while it is away. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct KeyRing(Arc<ArcSwapOption<Records>>);

impl KeyRing {
    /// Looks a key up. An unknown id takes the path of a wrong secret: it is compared too, with a digest nothing has.
    #[must_use]
    pub fn verify(&self, key: &ApiKey) -> Verdict {
        let records = self.0.load();
        let Some(records) = records.as_deref() else {
            return Verdict::NotLoaded;
        };
        let nobodys = Digest::from_bytes([0; 32]);
        let record = records.keys.get(&key.id);
        let stored = record.map_or(nobodys, |record| record.secret_digest);
        let same = bool::from(stored.as_bytes().ct_eq(key.secret.digest().as_bytes()));
        match record {
            Some(record) if same && record.revoked_at.is_none() => Verdict::Known(Caller {
                tenant: record.tenant.clone(),
                key: key.id.clone(),
                grant: record.grant.clone(),
                settings: records.tenants.get(&record.tenant).copied().unwrap_or_default(),
                has_webhooks: records.with_webhooks.contains(&record.tenant),
            }),
            _ => Verdict::Unknown,
        }
    }

    /// Whether the caller's key is still valid, with the same grant: asked by whoever serves one for long.
    #[must_use]
    pub fn still_knows(&self, caller: &Caller) -> bool {
        let records = self.0.load();
        let record = records.as_deref().and_then(|records| records.keys.get(&caller.key));
        record.is_some_and(|record| {
            record.revoked_at.is_none() && record.tenant == caller.tenant && record.grant == caller.grant
        })
    }

    /// Replaces what is known.
    pub fn load(&self, records: Records) {
        self.0.store(Some(Arc::new(records)));
    }

    /// Keeps the ring as the store has it: reads on every hint, and every few seconds should one be lost. Never ends.
    pub(crate) async fn follow(self, store: Store, watch: Watch) {
        let mut changes = watch.access_changed();
        loop {
            changes.mark_unchanged();
            match Records::read(&store).await {
                Ok(records) => self.load(records),
                Err(error) => {
                    tracing::warn!(%error, "API keys and tenants are not read anew; what is known stays valid")
                }
            }
            // whether by a hint or by the clock, the next thing is to read
            let _ = tokio::time::timeout(REFRESH, changes.changed()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use gristmill_schemas::Timestamp;

    use super::*;

    fn record(key: &ApiKey, revoked: bool) -> ApiKeyRecord {
        ApiKeyRecord {
            tenant: "acme".parse().unwrap(),
            secret_digest: key.secret.digest(),
            name: "test".to_owned(),
            grant: Grant::default(),
            created_at: Timestamp::from_millis(1),
            revoked_at: revoked.then_some(Timestamp::from_millis(2)),
        }
    }

    #[test]
    fn key_is_read_back_from_its_text_and_debug_shows_no_secret() {
        let key = ApiKey::generate_for("with_under_score".parse().unwrap()).unwrap();
        let text = key.reveal();
        let read: ApiKey = text.parse().unwrap();
        assert_eq!(
            (read.id.clone(), read.secret.digest()),
            (key.id.clone(), key.secret.digest())
        );
        let secret = text.rsplit('_').next().unwrap();
        assert!(!format!("{key:?}").contains(secret));
    }

    #[test]
    fn only_the_right_secret_of_a_live_key_is_known() {
        let (live, dead, stranger) = (
            ApiKey::generate().unwrap(),
            ApiKey::generate().unwrap(),
            ApiKey::generate().unwrap(),
        );
        let ring = KeyRing::default();
        assert_eq!(ring.verify(&live), Verdict::NotLoaded);
        let settings = TenantSettings {
            max_queued: Some(7),
            ..TenantSettings::default()
        };
        ring.load(Records {
            keys: [
                (live.id.clone(), record(&live, false)),
                (dead.id.clone(), record(&dead, true)),
            ]
            .into(),
            tenants: [("acme".parse().unwrap(), settings)].into(),
            with_webhooks: BTreeSet::new(),
        });
        let known = ring.verify(&live);
        assert!(matches!(known, Verdict::Known(caller) if caller.key == live.id && caller.settings == settings));
        let forged = ApiKey {
            id: live.id.clone(),
            secret: stranger.secret.clone(),
        };
        for key in [&dead, &stranger, &forged] {
            assert_eq!(ring.verify(key), Verdict::Unknown);
        }
    }

    #[test]
    fn text_of_another_form_is_no_key() {
        let secret = "a".repeat(SECRET_LENGTH);
        for text in [
            "",
            "gm_",
            "gm_a_b",
            &format!("gm__{secret}"),
            &format!("gx_a_{secret}"),
            &format!("gm_a_{secret}a"),
        ] {
            assert!(text.parse::<ApiKey>().is_err(), "{text}");
        }
        assert!(format!("gm_a_{secret}").parse::<ApiKey>().is_ok());
    }
}
