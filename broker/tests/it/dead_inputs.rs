//! The inputs of failed jobs: kept as long as the job's own retention says, in a stream that once had one age for all.

use gristmill_broker::nats::bare;
use std::time::Duration;

use async_nats::jetstream::{self, stream};
use gristmill_broker::{DeadInputs, DeadLetterArgs};
use gristmill_schemas::subject::{DEAD_LETTERS, DEAD_LETTERS_WILDCARD};

use crate::{
    bench::BrokerBench,
    jobs::{job, tenant},
};

const ARGS: DeadLetterArgs = DeadLetterArgs {
    dead_letters_max_bytes: 1 << 20,
    dead_letters_per_tenant: 10,
};

#[tokio::test]
async fn inputs_live_as_long_as_their_jobs_retention_also_in_a_stream_of_an_earlier_build() {
    let bench = BrokerBench::start(&[]).await;
    let context = jetstream::new(bare(&bench.server.url()).await.unwrap());
    let earlier = stream::Config {
        name: DEAD_LETTERS.to_owned(),
        subjects: vec![DEAD_LETTERS_WILDCARD.to_owned()],
        max_age: Duration::from_secs(24 * 3600),
        ..stream::Config::default()
    };
    context.create_stream(earlier).await.unwrap();
    let inputs = DeadInputs::new(&bench.broker);
    inputs.ensure_stream(&ARGS, 1).await.unwrap();
    let job = job(3);
    let kept = inputs.keep(&job).await.unwrap();
    assert_eq!(inputs.read(&tenant(), kept).await.unwrap(), Some(job.clone()));
    let stream = context.get_stream(DEAD_LETTERS).await.unwrap();
    let message = stream.get_raw_message(kept.sequence()).await.unwrap();
    let lives = message.headers.get("Nats-TTL").unwrap().as_str().to_owned();
    assert_eq!(lives, job.id.retention().as_duration().as_secs().to_string());
    inputs.forget(kept).await;
    assert_eq!(inputs.read(&tenant(), kept).await.unwrap(), None);
}
