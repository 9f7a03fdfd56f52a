//! All that is known of one job, gathered from the history and the stores. Gathers, and judges nothing.

use std::{collections::BTreeMap, time::Duration};

use gristmill_schemas::{JobId, JobState, Timestamp};

use crate::chaos::{
    checker::Evidence,
    history::{Answer, Call, Denial, End, Op, Way},
    question,
    stores::StoredJob,
};

/// One time that its owner was told of it.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'e> {
    /// When he asked.
    pub invoked: Duration,
    /// When he was told.
    pub completed: Duration,
    /// By which way he asked; none for a submission or a cancel.
    pub way: Option<Way>,
    /// What he was told.
    pub answer: &'e Answer,
}

/// One job's file.
#[derive(Debug, Clone)]
pub struct Dossier<'e> {
    /// The job.
    pub id: JobId,
    /// Whose it is, as far as a client knows: an index of the tenants.
    pub tenant: Option<usize>,
    /// Whether its submission was answered with a 200 or 202.
    pub accepted: bool,
    /// What was asked, by each submission that got this id.
    pub nonces: Vec<u64>,
    /// What its owner was told, in the order he was told.
    pub sightings: Vec<Sighting<'e>>,
    /// Refusals of reads by its owner.
    pub denials: Vec<&'e Denial>,
    /// When a cancel was first asked for.
    pub cancel_asked: Option<Duration>,
    /// When one was first confirmed.
    pub cancel_confirmed: Option<Duration>,
    /// Its hash, if there is one.
    pub stored: Option<&'e StoredJob>,
}

impl<'e> Dossier<'e> {
    fn new(id: JobId) -> Self {
        Self {
            id,
            tenant: None,
            accepted: false,
            nonces: Vec::new(),
            sightings: Vec::new(),
            denials: Vec::new(),
            cancel_asked: None,
            cancel_confirmed: None,
            stored: None,
        }
    }

    /// The files of all jobs that a client has heard of or a store holds.
    #[must_use]
    pub fn all(evidence: &'e Evidence) -> BTreeMap<JobId, Self> {
        let mut all = BTreeMap::new();
        for op in &evidence.ops {
            let about = match (&op.call, &op.end) {
                (Call::Read { id, .. } | Call::Cancel(id), _) => Some(*id),
                (Call::Submit { .. }, End::Ok(answer)) => Some(answer.id),
                (Call::Submit { .. }, End::Fail(denial)) => denial.id,
                (Call::Submit { .. }, End::Info(_)) | (Call::Foreign(_), _) => None,
            };
            if let Some(id) = about {
                all.entry(id).or_insert_with(|| Self::new(id)).add(op);
            }
        }
        for stored in &evidence.stored.jobs {
            all.entry(stored.id).or_insert_with(|| Self::new(stored.id)).stored = Some(stored);
        }
        for dossier in all.values_mut() {
            dossier.sightings.sort_by_key(|sighting| sighting.completed);
        }
        all
    }

    fn add(&mut self, op: &'e Op) {
        let way = match &op.call {
            Call::Submit { nonce, .. } => {
                self.tenant = Some(op.tenant);
                self.accepted |= matches!(op.end, End::Ok(_));
                if !self.nonces.contains(nonce) {
                    self.nonces.push(*nonce);
                }
                None
            }
            Call::Read { way, .. } => Some(*way),
            Call::Cancel(_) => {
                self.cancel_asked = Some(self.cancel_asked.map_or(op.invoked, |at| at.min(op.invoked)));
                if matches!(op.end, End::Ok(_)) {
                    let confirmed = self.cancel_confirmed.map_or(op.completed, |at| at.min(op.completed));
                    self.cancel_confirmed = Some(confirmed);
                }
                None
            }
            Call::Foreign(_) => None,
        };
        match &op.end {
            End::Ok(answer) => self.sightings.push(Sighting {
                invoked: op.invoked,
                completed: op.completed,
                way,
                answer,
            }),
            End::Fail(denial) if way.is_some() => self.denials.push(denial),
            End::Fail(_) | End::Info(_) => {}
        }
    }

    /// What was asked, if that is not in doubt.
    #[must_use]
    pub fn nonce(&self) -> Option<u64> {
        self.nonces.first().copied()
    }

    /// Whether a client has heard of it.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.nonces.is_empty()
    }

    /// Sightings of its end.
    pub fn endings(&self) -> impl Iterator<Item = &Sighting<'e>> {
        self.sightings
            .iter()
            .filter(|sighting| sighting.answer.state.is_terminal())
    }

    /// How it ended, by whoever knows.
    #[must_use]
    pub fn state(&self) -> Option<JobState> {
        let stored = self.stored.and_then(|stored| stored.state);
        stored.or_else(|| self.endings().next().map(|sighting| sighting.answer.state))
    }

    /// The moment past which it is expired, by the broker's clock.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        let lineage = self.stored.and_then(|stored| stored.lineage.as_ref());
        let published_at = lineage.and_then(|lineage| lineage.stages.published_at);
        published_at
            .unwrap_or_else(|| self.id.accepted_at())
            .plus(self.id.time_to_live().into())
    }

    /// Which of these nonces its stored input is the question of.
    #[must_use]
    pub fn asks_one_of(&self, nonces: impl Iterator<Item = u64>) -> Option<u64> {
        let digest = self.stored?.lineage.as_ref()?.input_digest?;
        let mut nonces = nonces;
        nonces.find(|nonce| question::input_digest(*nonce) == digest)
    }
}
