//! One ingest's clock and one worker's are two hours off, in opposite directions: whatever is decided by a clock, deadlines
//! first, must not be decided by theirs.

use std::time::SystemTime;

use futures_util::future::BoxFuture;

use crate::chaos::{
    cluster::{ClockShift, Setup},
    fault::{Fault, Proof, Scene},
    member::Member,
    plan::Mix,
};

/// The fault.
#[derive(Debug)]
pub(super) struct ShiftedClocks(ClockShift, &'static str);

impl ShiftedClocks {
    pub(super) const INGEST_AHEAD: Self = Self(
        ClockShift {
            ingest: "+2h",
            worker: "-2h",
        },
        "clocks-ingest-ahead-worker-behind",
    );
    pub(super) const INGEST_BEHIND: Self = Self(
        ClockShift {
            ingest: "-2h",
            worker: "+2h",
        },
        "clocks-ingest-behind-worker-ahead",
    );
}

impl Fault for ShiftedClocks {
    fn name(&self) -> &'static str {
        self.1
    }

    fn setup(&self) -> Setup {
        Setup {
            clock_shift: Some(self.0),
            ..Setup::default()
        }
    }

    fn mix(&self, _jobs: u64) -> Mix {
        Mix {
            hurried: 20,
            ..Mix::default()
        }
    }

    fn inject<'s>(&'s self, scene: &'s mut Scene) -> BoxFuture<'s, anyhow::Result<()>> {
        Box::pin(async move {
            scene.injected();
            scene.until_accepted(100).await
        })
    }

    fn proof<'s>(&'s self, scene: &'s Scene) -> BoxFuture<'s, anyhow::Result<Proof>> {
        Box::pin(async move {
            let cluster = &scene.cluster;
            Ok(Proof::of([
                ("minutes the ingest is off", minutes_off(&cluster.ingests[0]).await?),
                ("minutes the worker is off", minutes_off(&cluster.workers[0]).await?),
            ]))
        })
    }
}

/// By its own clock, which every HTTP answer shows.
async fn minutes_off(member: &Member) -> anyhow::Result<u64> {
    let answer = reqwest::get(format!("{}/livez", member.process()?.at.admin_url)).await?;
    let date = answer.headers().get(reqwest::header::DATE);
    let date = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let theirs = date.unwrap_or_else(SystemTime::now);
    let off = match theirs.duration_since(SystemTime::now()) {
        Ok(ahead) => ahead,
        Err(behind) => behind.duration(),
    };
    Ok(off.as_secs() / 60)
}
