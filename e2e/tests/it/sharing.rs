//! Several workers: each takes its share, and one that dies leaves nothing undone.

use gristmill_e2e::{Stack, load, wait};
use gristmill_loadtest::Model;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_share_mixed_jobs_and_one_may_be_killed() -> anyhow::Result<()> {
    let stack = Stack::start().await?;
    let workers = [stack.worker("first", &[]).await?, stack.worker("second", &[]).await?];
    let loads = [
        (Model::Identity, 1400, 32),
        (Model::Magika, 400, 16),
        (Model::Minilm, 200, 16),
    ];
    load::run_all(&stack, &loads).await?;
    let shares = [
        workers[0].metric("gristmill_jobs_ended_total", "").await?,
        workers[1].metric("gristmill_jobs_ended_total", "").await?,
    ];
    let total: f64 = shares.iter().sum();
    assert!(total >= 2000.0, "{shares:?}");
    assert!(
        shares.iter().all(|share| *share >= 0.3 * total),
        "each worker takes its share: {shares:?}"
    );

    let [mut victim, survivor] = workers;
    let killed = async {
        wait::until("the victim to hold claimed batches", || async {
            let busy = victim.metric("gristmill_envelopes_held", "").await?;
            let claimed = victim.metric("gristmill_attempts_total", "").await?;
            let ended = victim.metric("gristmill_jobs_ended_total", "").await?;
            Ok((busy > 0.0 && claimed > ended).then_some(()))
        })
        .await?;
        victim.kill().await
    };
    let (load, killed) = tokio::join!(load::run_all(&stack, &loads), killed);
    killed?;
    load?;
    let redelivered = survivor
        .metric("gristmill_deliveries_total", "redelivered=\"true\"")
        .await?;
    assert!(
        redelivered >= 1.0,
        "what the victim held was delivered again: {redelivered}"
    );
    Ok(())
}
