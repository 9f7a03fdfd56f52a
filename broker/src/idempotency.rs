//! Idempotency keys: the same key and body mean the same job, also when the fate of its publish was not known.

use gristmill_schemas::{Digest, JobId, TenantId, key};

use crate::{
    script,
    store::{Store, StoreError, kept_millis, translate},
};

/// What a key stood for before this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Nothing: it stands for this request's job now.
    New,
    /// The same body, and nobody knows whether that job was published: publish it again under this id.
    Pending(JobId),
    /// The same body, published as this job.
    Confirmed(JobId),
    /// Another body.
    Mismatch,
}

const PENDING: &str = "pending";
const CONFIRMED: &str = "confirmed";

impl Store {
    /// Takes the key for a job, or tells what it stands for already.
    ///
    /// # Errors
    /// [`StoreError`]; after a time-out the key may have been taken for this very id.
    pub async fn idempotency_begin(
        &self,
        tenant: &TenantId,
        key: &str,
        job: (Digest, JobId),
    ) -> Result<Begun, StoreError> {
        let body = job.0;
        let name = key::idempotency(tenant, key);
        let value = record(PENDING, job);
        let mut command = redis::cmd("SET");
        command
            .arg(name)
            .arg(&value)
            .arg("NX")
            .arg("GET")
            .arg("PX")
            .arg(kept_millis(&job.1));
        let Some(earlier) = self.command::<Option<String>>(&command).await? else {
            return Ok(Begun::New);
        };
        let mut words = earlier.split(' ');
        let (state, earlier_id, earlier_body) = (words.next(), words.next(), words.next());
        let unreadable = || StoreError::Unreadable("an idempotency record".to_owned());
        let earlier_id: JobId = earlier_id.and_then(|id| id.parse().ok()).ok_or_else(unreadable)?;
        match state {
            _ if earlier_body != Some(body.hex().as_str()) => Ok(Begun::Mismatch),
            Some(CONFIRMED) => Ok(Begun::Confirmed(earlier_id)),
            Some(PENDING) => Ok(Begun::Pending(earlier_id)),
            _ => Err(unreadable()),
        }
    }

    /// The job was published: later requests with the key need not publish it again. Losing this write is harmless.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn idempotency_confirm(
        &self,
        tenant: &TenantId,
        key: &str,
        job: (Digest, JobId),
    ) -> Result<(), StoreError> {
        let mut command = redis::cmd("SET");
        command.arg(key::idempotency(tenant, key)).arg(record(CONFIRMED, job));
        command.arg("PX").arg(kept_millis(&job.1));
        self.command::<Option<String>>(&command).await.map(drop)
    }

    /// The job was certainly not published: the key is free again, unless somebody has confirmed it meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]; the key then stays pending, and a retry publishes under the same id.
    pub async fn idempotency_forget(
        &self,
        tenant: &TenantId,
        key: &str,
        job: (Digest, JobId),
    ) -> Result<(), StoreError> {
        let mut command = script::FORGET.call(1);
        command.arg(key::idempotency(tenant, key)).arg(record(PENDING, job));
        let answers = self.run(vec![command]).await?;
        answers
            .into_iter()
            .try_for_each(|answer| answer.map(drop).map_err(|error| translate(&error)))
    }
}

fn record(state: &str, (body, id): (Digest, JobId)) -> String {
    format!("{state} {id} {}", body.hex())
}
