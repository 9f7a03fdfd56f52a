//! The development key: made once a data folder, kept in a file of its owner's, and known to the store.

use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use gristmill_broker::{
    ServerUrl, Store, StoreArgs, StoreError,
    api_keys::{ApiKeyRecord, Grant},
};
use gristmill_ingest::keys::ApiKey;
use gristmill_schemas::TenantId;

use super::data_dir::DevKeyFile;
use crate::atomic_file;

/// Whom it speaks for.
pub(super) const TENANT: &str = "dev";
/// The pause before a store that cannot be reached is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// The key in the clear; afterwards the store knows it. Waits for the store.
///
/// # Errors
/// The file is not readable or no key, or the key was revoked.
pub(super) async fn ensure(file: &DevKeyFile, redis_url: &ServerUrl) -> anyhow::Result<String> {
    let key = read_or_make(file)?;
    let store = Store::connect(&StoreArgs {
        redis_url: redis_url.clone(),
    })?;
    loop {
        match register(&store, &key).await {
            Ok(Standing::Valid) => return Ok(key.reveal()),
            Ok(Standing::Revoked) => bail!(
                "the development key {} was revoked: remove {} to get another one",
                key.id,
                file.0.display()
            ),
            Err(error) => {
                tracing::warn!(%error, "waiting for the store");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

enum Standing {
    Valid,
    Revoked,
}

async fn register(store: &Store, key: &ApiKey) -> Result<Standing, StoreError> {
    if let Some(known) = store.api_keys().await?.remove(&key.id) {
        return Ok(if known.revoked_at.is_some() {
            Standing::Revoked
        } else {
            Standing::Valid
        });
    }
    let record = ApiKeyRecord {
        tenant: TENANT.parse::<TenantId>().expect("a plain word is a name"),
        secret_digest: key.secret.digest(),
        name: "made by gristmill up".to_owned(),
        grant: Grant::default(),
        created_at: SystemTime::now().into(),
        revoked_at: None,
    };
    store.put_api_key(&key.id, &record).await.map(|()| Standing::Valid)
}

fn read_or_make(file: &DevKeyFile) -> anyhow::Result<ApiKey> {
    if let Some(text) = file.read()? {
        // the text itself is secret
        return text.parse().with_context(|| format!("read {}", file.0.display()));
    }
    let key = ApiKey::generate()?;
    atomic_file::write(&file.0, format!("{}\n", key.reveal()).as_bytes())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_made_once_and_only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let file = DevKeyFile::of(dir.path());
        let made = read_or_make(&file).unwrap().reveal();
        assert_eq!(read_or_make(&file).unwrap().reveal(), made);
        assert_eq!(std::fs::metadata(&file.0).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
