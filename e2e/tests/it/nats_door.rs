//! Load over NATS: ingests share it, and one that dies under it leaves nothing undone.

use gristmill_e2e::{Stack, load, wait};
use gristmill_loadtest::Model;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ingests_share_load_over_nats_and_one_may_be_killed() -> anyhow::Result<()> {
    let stack = Stack::start_in(tempfile::tempdir()?, &["--nats-door".to_owned()]).await?;
    let mut other = stack.another_ingest("other").await?;
    let _worker = stack.worker("worker", &[]).await?;
    let (url, key) = (stack.servers.nats.url(), stack.api_key("load").await?);
    stack.until_known(&key, &other).await?;
    let load = load::spawn_at((&url, &key), &[(Model::Identity, 3000, 16), (Model::Minilm, 100, 4)]);
    let accepted = async |ingest: &gristmill_e2e::Process| ingest.metric("gristmill_accepted_total", "").await;
    wait::until("both to have their share", || async {
        let shares = [accepted(&stack.ingest).await?, accepted(&other).await?];
        Ok(shares.iter().all(|share| *share >= 100.0).then_some(()))
    })
    .await?;
    other.kill().await?;
    // who had asked the dead one gets no reply, and asks again under the same key
    load.await?
}
