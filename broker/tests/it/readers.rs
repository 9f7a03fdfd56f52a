//! Users that read one tenant's outcomes and events: what they may, and all that they may not.

use gristmill_broker::readers::{Reader, ReaderName, Saved};
use gristmill_schemas::{
    Digest, JobState, Lineage, Outcome, TenantId,
    key::{self, BUCKETS},
};
use redis::{Client, RedisError, Value, aio::MultiplexedConnection};

use crate::{
    bench::{StoreBench, within},
    jobs::{id, success, tenant},
};

const PASSWORD: &str = "a password of a test";

fn reader(id: &str, consumer_groups: bool) -> Reader {
    Reader {
        name: ReaderName {
            tenant: tenant(),
            id: id.parse().unwrap(),
        },
        password: Digest::of(PASSWORD.as_bytes()),
        consumer_groups,
    }
}

async fn connected(bench: &StoreBench, reader: &Reader) -> Result<MultiplexedConnection, RedisError> {
    let address = bench.server.url().rsplit('@').next().unwrap().to_owned();
    let password = PASSWORD.replace(' ', "%20");
    let client = Client::open(format!("redis://{}:{password}@{address}", reader.name)).unwrap();
    within("a connection", client.get_multiplexed_async_connection()).await
}

async fn ask(connection: &mut MultiplexedConnection, command: &str) -> Result<Value, RedisError> {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap());
    within(
        "an answer",
        words.fold(&mut cmd, |cmd, word| cmd.arg(word)).query_async(connection),
    )
    .await
}

/// Ends a job of each of two tenants; the keys of theirs.
async fn two_tenants(bench: &StoreBench) -> ([String; 2], [String; 2]) {
    let (own, foreign): (TenantId, TenantId) = (tenant(), format!("{}-2", tenant()).parse().unwrap());
    let keys = [own, foreign].map(|tenant| {
        let id = id();
        let (outcome, lineage) = success(id);
        let lineage = Lineage {
            tenant: tenant.clone(),
            ..lineage
        };
        (
            outcome,
            lineage,
            key::job(&tenant, &id),
            key::events(&tenant, id.bucket(BUCKETS)),
        )
    });
    for (outcome, lineage, ..) in &keys {
        bench.store.settle(&lineage.tenant, outcome, lineage).await.unwrap();
    }
    let [(_, _, own_job, own_events), (_, _, foreign_job, foreign_events)] = keys;
    ([own_job, own_events], [foreign_job, foreign_events])
}

#[tokio::test]
async fn reader_reads_its_tenants_outcomes_and_events() {
    let bench = StoreBench::start().await;
    let ([job, events], _) = two_tenants(&bench).await;
    let reader = reader("one", false);
    assert_eq!(bench.store.put_reader(&reader).await, Ok(Saved::ToFile));
    let mut connection = connected(&bench, &reader).await.unwrap();
    let outcome: Vec<u8> = redis::cmd("HGET")
        .arg(&job)
        .arg("outcome")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(Outcome::decode(&outcome).unwrap().state(), JobState::Succeeded);
    for command in [
        format!("HGETALL {job}"),
        format!("XRANGE {events} - +"),
        format!("XREAD COUNT 10 STREAMS {events} 0-0"),
        format!("XLEN {events}"),
        format!("HMGET {events}-window from last"),
        format!("XREAD COUNT 10 STREAMS {job}:progress 0-0"),
        "PING".to_owned(),
    ] {
        let answer = ask(&mut connection, &command).await;
        assert!(answer.is_ok(), "{command}: {answer:?}");
    }
    let address = bench.server.url().rsplit('@').next().unwrap().to_owned();
    let url = format!("redis://{}:{}@{address}", reader.name, PASSWORD.replace(' ', "%20"));
    let mut hints = Client::open(url).unwrap().get_async_pubsub().await.unwrap();
    hints.psubscribe(key::pattern::hints(&tenant())).await.unwrap();
    assert!(hints.psubscribe("gm:*").await.is_err());
}

#[tokio::test]
async fn reader_may_nothing_else() {
    let bench = StoreBench::start().await;
    let ([job, events], [foreign_job, foreign_events]) = two_tenants(&bench).await;
    let idempotency = key::idempotency(&tenant(), "order-17");
    bench.ask::<()>(&format!("SET {idempotency} x")).await;
    for (id, consumer_groups) in [("plain", false), ("groups", true)] {
        let reader = reader(id, consumer_groups);
        bench.store.put_reader(&reader).await.unwrap();
        let mut connection = connected(&bench, &reader).await.unwrap();
        for command in [
            // other keys
            format!("HGETALL {foreign_job}"),
            format!("XRANGE {foreign_events} - +"),
            format!("XRANGE {foreign_job}:progress - +"),
            format!("XREAD STREAMS {events} {foreign_events} 0-0 0-0"),
            format!("HGETALL {}", key::API_KEYS),
            format!("HGETALL {}", key::TENANTS),
            format!("HGETALL {}", key::queued(&tenant(), 0)),
            format!("GET {idempotency}"),
            format!("SUBSCRIBE gm:{{{}-2:1}}:hints", tenant()),
            // writes
            format!("HSET {job} state failed"),
            format!("DEL {job}"),
            format!("XADD {events} * id x state x"),
            format!("XTRIM {events} MAXLEN 0"),
            format!("XDEL {events} 1-1"),
            format!("EXPIRE {job} 1"),
            format!("COPY {job} x"),
            format!("SORT {job} STORE x"),
            format!("PUBLISH {} x", key::hints(&tenant(), 0)),
            // whatever looks at or changes more than keys
            "EVAL return{} 0".to_owned(),
            "FUNCTION LIST".to_owned(),
            "CONFIG GET dir".to_owned(),
            "KEYS *".to_owned(),
            "SCAN 0".to_owned(),
            "RANDOMKEY".to_owned(),
            "DBSIZE".to_owned(),
            "ACL LIST".to_owned(),
            "ACL SETUSER x".to_owned(),
            "CLIENT LIST".to_owned(),
            "MONITOR".to_owned(),
            "INFO".to_owned(),
            "FLUSHALL".to_owned(),
            "SHUTDOWN".to_owned(),
            "SELECT 1".to_owned(),
            "MULTI".to_owned(),
        ] {
            let refused = ask(&mut connection, &command).await.expect_err(&command);
            assert_eq!(refused.code(), Some("NOPERM"), "{command}: {refused}");
        }
        let group = ask(&mut connection, &format!("XGROUP CREATE {events} mine 0")).await;
        assert_eq!(group.is_ok(), consumer_groups, "{group:?}");
        let foreign = ask(&mut connection, &format!("XGROUP CREATE {foreign_events} mine 0")).await;
        assert_eq!(foreign.unwrap_err().code(), Some("NOPERM"));
        if consumer_groups {
            let read = ask(
                &mut connection,
                &format!("XREADGROUP GROUP mine one COUNT 1 STREAMS {events} >"),
            )
            .await;
            assert!(
                matches!(&read, Ok(Value::Array(streams)) if streams.len() == 1),
                "{read:?}"
            );
        }
    }
    assert_eq!(bench.ask::<String>(&format!("HGET {job} state")).await, "succeeded");
}

#[tokio::test]
async fn readers_outlive_the_server_and_one_that_is_deleted_is_gone() {
    let mut bench = StoreBench::start().await;
    let (old, new) = (reader("old", false), reader("new", false));
    for reader in [&old, &new] {
        bench.store.put_reader(reader).await.unwrap();
    }
    bench.server.kill().await.unwrap();
    bench.server.restart().await.unwrap();
    let names = within("the readers", bench.store.readers()).await.unwrap();
    assert_eq!(names, [new.name.clone(), old.name.clone()]);
    assert_eq!(bench.store.delete_reader(&old.name).await, Ok(Some(Saved::ToFile)));
    assert_eq!(bench.store.delete_reader(&old.name).await, Ok(None));
    assert!(connected(&bench, &old).await.is_err());
    assert!(connected(&bench, &new).await.is_ok());
}
