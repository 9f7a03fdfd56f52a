//! What each role may do on the servers and what it may not, asked of the servers themselves.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use gristmill_servers::{Durability, Nats, Pair, Redis, Role};

/// What nats-server complains of when this is sent to it.
fn complaints(nats: &Nats, role: Role, lines: &str) -> Vec<String> {
    let url = nats.url_of(role);
    let (user, address) = url.strip_prefix("nats://").unwrap().split_once('@').unwrap();
    let (user, password) = user.split_once(':').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(super::DEADLINE)).unwrap();
    let hello =
        format!("CONNECT {{\"verbose\":false,\"user\":\"{user}\",\"pass\":\"{password}\"}}\r\n{lines}\r\nPING\r\n");
    stream.write_all(hello.as_bytes()).unwrap();
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let until_pong = lines.take_while(|line| line != "PONG");
    until_pong.filter(|line| line.starts_with("-ERR")).collect()
}

#[tokio::test]
async fn role_sends_and_hears_on_nats_what_is_its_own_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::start(Durability::ProcessCrash, dir.path()).await.unwrap();
    let publish = |subject: &str| format!("PUB {subject} 0\r\n");
    let subscribe = |subject: &str| format!("SUB {subject} 1");
    for (role, line) in [
        (Role::Ingest, publish("jobs.identity.1.interactive.0")),
        (Role::Ingest, subscribe("_INBOX.ingest.x.*")),
        (Role::Ingest, subscribe("gristmill.requests")),
        (
            Role::Worker,
            publish("$JS.API.CONSUMER.MSG.NEXT.JOBS.identity=1=batch=0"),
        ),
        (Role::Worker, publish("$JS.ACK.JOBS.a.b.c.d.e")),
        (Role::Worker, publish("dead-letters.acme")),
        (Role::Client, publish("gristmill.requests")),
        (Role::Operator, publish("$JS.API.STREAM.PURGE.JOBS")),
    ] {
        assert_eq!(complaints(&pair.nats, role, &line), [""; 0], "{role:?} {line}");
    }
    for (role, line) in [
        // a worker publishes no jobs, and takes none but by pulling
        (Role::Worker, publish("jobs.identity.1.interactive.0")),
        (Role::Worker, publish("$JS.API.STREAM.MSG.GET.JOBS")),
        (Role::Worker, publish("$JS.API.STREAM.MSG.DELETE.JOBS")),
        (Role::Worker, publish("$JS.API.STREAM.UPDATE.JOBS")),
        (Role::Worker, publish("$JS.API.STREAM.PURGE.JOBS")),
        (Role::Worker, publish("gristmill.requests")),
        (Role::Worker, subscribe("jobs.>")),
        (Role::Worker, subscribe("gristmill.requests")),
        (Role::Worker, subscribe("_INBOX.ingest.>")),
        // an ingest consumes nothing
        (
            Role::Ingest,
            publish("$JS.API.CONSUMER.MSG.NEXT.JOBS.identity=1=batch=0"),
        ),
        (Role::Ingest, publish("$JS.API.CONSUMER.CREATE.JOBS.mine")),
        (Role::Ingest, publish("$JS.API.CONSUMER.DURABLE.CREATE.JOBS.mine")),
        (Role::Ingest, publish("$JS.ACK.JOBS.a.b.c.d.e")),
        (Role::Ingest, publish("$JS.API.STREAM.PURGE.JOBS")),
        (Role::Ingest, publish("$JS.API.STREAM.DELETE.JOBS")),
        (Role::Ingest, publish("$JS.API.STREAM.CREATE.OTHER")),
        (Role::Ingest, subscribe("jobs.>")),
        (Role::Ingest, subscribe(">")),
        (Role::Ingest, subscribe("_INBOX.client.>")),
        (Role::Client, publish("jobs.identity.1.interactive.0")),
        (Role::Client, publish("$JS.API.STREAM.INFO.JOBS")),
        (Role::Client, subscribe("gristmill.requests")),
        (Role::Client, subscribe("_INBOX.>")),
    ] {
        let complaints = complaints(&pair.nats, role, &line);
        assert!(
            complaints
                .iter()
                .any(|complaint| complaint.contains("Permissions Violation")),
            "{role:?} {line}: {complaints:?}"
        );
    }
}

#[tokio::test]
async fn who_does_not_say_who_he_is_is_let_in_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::start(Durability::ProcessCrash, dir.path()).await.unwrap();
    let url = pair.nats.url();
    let mut stream = TcpStream::connect(url.rsplit('@').next().unwrap()).unwrap();
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.contains("Authorization Violation"), "{said}");

    let url = pair.redis.url();
    let mut stream = TcpStream::connect(url.rsplit('@').next().unwrap()).unwrap();
    stream.write_all(b"GET gm:writable\r\nINFO\r\nQUIT\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        matches!(lines[..], [get, info, "+OK"] if get.starts_with("-NOAUTH") && info.starts_with("-NOAUTH")),
        "{said}"
    );
}

/// What redis-server answers.
fn answer(redis: &Redis, role: Role, command: &str) -> String {
    super::redis_client::call(&redis.url_of(role), command)
}

#[tokio::test]
async fn role_runs_on_redis_what_is_its_own_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::start(Durability::ProcessCrash, dir.path()).await.unwrap();
    for (role, command) in [
        (Role::Ingest, "HGETALL gm:api-keys"),
        (Role::Ingest, "HGETALL gm:webhooks"),
        (Role::Ingest, "HGET gm:{acme:3}:job:x state"),
        (Role::Ingest, "SET gm:lead:reconciler me"),
        (Role::Ingest, "CONFIG GET appendfsync"),
        (Role::Ingest, "PUBLISH gm:{acme:3}:hints x"),
        (Role::Worker, "HSET gm:{acme:3}:job:x attempts 2"),
        (Role::Worker, "XADD gm:{acme:3}:outbox * id x"),
        (Role::Worker, "XADD gm:{acme:3}:job:x:progress * attempt 1"),
        (Role::Worker, "ZADD gm:{acme:3}:running 1 x"),
        (Role::Worker, "PUBLISH gm:{acme:3}:hints x"),
        (Role::Operator, "HSET gm:api-keys x y"),
        (Role::Operator, "ACL LIST"),
    ] {
        let answer = answer(&pair.redis, role, command);
        assert!(!answer.starts_with('-'), "{role:?} {command}: {answer}");
    }
    for (role, command) in [
        (Role::Ingest, "HSET gm:api-keys x y"),
        (Role::Ingest, "HDEL gm:tenants x"),
        (Role::Ingest, "HSET gm:webhooks x y"),
        (Role::Ingest, "GET other"),
        (Role::Worker, "HGETALL gm:api-keys"),
        (Role::Worker, "HGETALL gm:webhooks"),
        (Role::Worker, "HGETALL gm:{acme:webhooks}:delivery:x"),
        (Role::Worker, "SET gm:lead:reconciler me"),
        (Role::Worker, "PUBLISH gm:access:changed x"),
        (Role::Worker, "SUBSCRIBE gm:{acme:3}:hints"),
    ] {
        let answer = answer(&pair.redis, role, command);
        assert!(answer.starts_with("-NOPERM"), "{role:?} {command}: {answer}");
    }
    for role in [Role::Ingest, Role::Worker] {
        for command in [
            "KEYS *",
            "SCAN 0",
            "FLUSHALL",
            "CONFIG SET appendfsync no",
            "EVAL 1 0",
            "ACL LIST",
            "SHUTDOWN",
            "REPLICAOF 127.0.0.1 1",
            "MONITOR",
            "SAVE",
        ] {
            let answer = answer(&pair.redis, role, command);
            assert!(answer.starts_with("-NOPERM"), "{role:?} {command}: {answer}");
        }
    }
}

#[tokio::test]
async fn users_that_others_have_made_stay_through_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut pair = Pair::start(Durability::ProcessCrash, dir.path()).await.unwrap();
    let (before, url) = (answer(&pair.redis, Role::Operator, "ACL WHOAMI"), pair.redis.url());
    answer(&pair.redis, Role::Operator, "ACL SETUSER reader.acme.x on nopass");
    assert_eq!(answer(&pair.redis, Role::Operator, "ACL SAVE"), "+OK\r\n");
    pair.redis.restart().await.unwrap();
    assert_eq!(
        (answer(&pair.redis, Role::Operator, "ACL WHOAMI"), pair.redis.url()),
        (before, url)
    );
    assert!(answer(&pair.redis, Role::Operator, "ACL LIST").contains("user reader.acme.x on"));
}

/// The server reads its file as the default user: what that one may not do would be gone.
#[tokio::test]
async fn what_a_script_has_written_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut pair = Pair::start(Durability::PowerLoss, dir.path()).await.unwrap();
    let script = "redis.call('SET', KEYS[1], 1); return redis.call('SET', KEYS[2], 2)";
    let wrote = answer(
        &pair.redis,
        Role::Operator,
        &format!("EVAL \"{script}\" 2 gm:{{a:1}}:x gm:{{a:1}}:y"),
    );
    assert!(!wrote.starts_with('-'), "{wrote}");
    pair.redis.kill().await.unwrap();
    pair.redis.restart().await.unwrap();
    assert_eq!(answer(&pair.redis, Role::Operator, "GET gm:{a:1}:y"), "$1\r\n2\r\n");
}
