//! Claiming jobs before they run: passing over those that have ended, counting the attempts of those that were delivered
//! before. A first delivery is only a read: a durable write at the store costs as much as the commit itself.

use gristmill_schemas::{
    JobId, JobState, TenantId,
    key::{self, field},
};
use gristmill_telemetry::fail_points;
use redis::{Cmd, FromRedisValue, RedisError, Value};

use crate::{
    outcomes::parse_state,
    script,
    store::{Store, StoreError, kept_millis, translate},
};

/// A job that is about to run.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// The job.
    pub id: &'a JobId,
    /// For a job whose envelope was delivered before, so that an earlier attempt may have run it: this claim's own token,
    /// by which a claim that is made again, because its answer was lost, is counted once.
    pub redelivered: Option<u64>,
}

/// What may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It may run; this is the attempt's number, from 1, and its fence.
    Run {
        /// The attempt.
        attempt: u32,
    },
    /// It has ended already.
    Ended(JobState),
}

impl Store {
    /// Claims jobs in one round trip; answers stand in the order of the requests.
    ///
    /// # Errors
    /// [`StoreError`]: none of the jobs may run. Within the answer, a job with an error may not run.
    pub async fn claim(&self, requests: &[ClaimRequest<'_>]) -> Result<Vec<Result<Claim, StoreError>>, StoreError> {
        let commands = requests.iter().map(|request| Self::claim_command(*request));
        let answers = self.run_and_note_time(commands).await?;
        let claims = requests.iter().zip(answers);
        Ok(claims
            .map(|(request, answer)| read_claim(request.redelivered.is_some(), answer))
            .collect())
    }

    /// Notes that jobs of a first delivery are given back before anything of them was begun, so that the next delivery does
    /// not count as their second attempt.
    ///
    /// # Errors
    /// [`StoreError`]: then it does.
    pub async fn note_unbegun(&self, jobs: &[(&TenantId, &JobId)]) -> Result<(), StoreError> {
        let commands = jobs.iter().map(|(tenant, id)| {
            let mut command = script::UNBEGUN.call(1);
            command.arg(key::job(tenant, id)).arg(kept_millis(id));
            command
        });
        let answers = self.run(commands.collect()).await?;
        let mut failed = answers.into_iter().filter_map(Result::err);
        failed.next().map_or(Ok(()), |error| Err(translate(&error)))
    }

    fn claim_command(request: ClaimRequest<'_>) -> Cmd {
        let key = key::job(request.tenant, request.id);
        if let Some(token) = request.redelivered
            && !fail_points::is_on("bug-no-attempt-count")
        {
            let mut command = script::RECLAIM.call(1);
            command.arg(key).arg(kept_millis(request.id)).arg(token);
            return command;
        }
        let mut command = redis::cmd("HGET");
        command.arg(key).arg(field::STATE);
        command
    }
}

fn read_claim(redelivered: bool, answer: Result<Value, RedisError>) -> Result<Claim, StoreError> {
    let word = answer.and_then(|value| Option::<String>::from_redis_value(value).map_err(RedisError::from));
    let word = word.map_err(|error| translate(&error))?;
    match word {
        None => Ok(Claim::Run { attempt: 1 }),
        Some(word) if redelivered && word.parse::<u32>().is_ok() => Ok(Claim::Run {
            attempt: word.parse().expect("just parsed"),
        }),
        Some(word) => parse_state(&word).map(Claim::Ended),
    }
}
