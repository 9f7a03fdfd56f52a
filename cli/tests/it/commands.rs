//! The commands for people, one after the other, against one `gristmill up`.

use std::{path::Path, process::Output};

use gristmill_servers::Signal;
use serde_json::{Value, json};

use crate::{
    gristmill::{command, stderr, stdout},
    instance::{Instance, Ready},
};

/// Runs command lines of one user.
struct User<'a> {
    ready: &'a Ready,
    data_dir: &'a Path,
}

impl User<'_> {
    async fn run(&self, args: &[&str]) -> Output {
        let mut command = command(args);
        command.env("GRISTMILL_URL", &self.ready.url);
        let redis_url = self.data_dir.join("redis-url");
        command.env("GRISTMILL_REDIS_URL", format!("@{}", redis_url.display()));
        // the key is found in it
        command.env("GRISTMILL_DATA_DIR", self.data_dir);
        tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap()
    }

    async fn succeeds(&self, args: &[&str]) -> String {
        let ended = self.run(args).await;
        assert!(ended.status.success(), "{args:?}: {}", stderr(&ended));
        stdout(&ended)
    }

    async fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--output", "json"]).collect();
        serde_json::from_str(&self.succeeds(&args).await).unwrap()
    }

    /// The one line of an error.
    async fn fails(&self, args: &[&str]) -> String {
        let ended = self.run(args).await;
        assert_eq!(ended.status.code(), Some(1), "{args:?}: {}", stdout(&ended));
        stderr(&ended)
    }
}

#[tokio::test]
async fn people_can_submit_look_cancel_and_administer_keys_and_tenants() {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Instance::start(dir.path(), &[]).await;
    let ready = up.ready().await;
    let user = User {
        ready: &ready,
        data_dir: &dir.path().join("data"),
    };
    jobs(&user, dir.path()).await;
    models(&user).await;
    keys(&user).await;
    tenants(&user).await;
    up.signal(Signal::SIGINT);
    assert_eq!(up.ended().await.code(), Some(0), "{}", up.log());
}

async fn jobs(user: &User<'_>, dir: &Path) {
    let inputs = dir.join("inputs.json");
    let inputs = inputs.to_str().unwrap();
    std::fs::write(
        inputs,
        r#"[{"name":"x","datatype":"FP32","shape":[2,1],"data":[[1],[2.5]]}]"#,
    )
    .unwrap();
    let job = user.json(&["submit", "--model", "identity", "--json", inputs]).await;
    assert_eq!(job["outputs"][0]["data"], serde_json::json!([1.0, 2.5]));
    let id = job["id"].as_str().unwrap();

    for table in [
        user.succeeds(&["job", "get", id]).await,
        user.succeeds(&["job", "watch", id]).await,
        user.succeeds(&["submit", "--model", "identity", "--json", inputs])
            .await,
    ] {
        assert!(
            table.contains("succeeded") && table.contains("\nINPUT  Y\n0      [1.0000]\n1      [2.5000]"),
            "{table}"
        );
    }
    let lineage = user.succeeds(&["job", "lineage", id]).await;
    assert!(
        lineage.lines().any(|line| line.starts_with("model.artifact ")),
        "{lineage}"
    );
    assert_eq!(user.json(&["job", "lineage", id]).await["job_id"], id);
    let refused = user.fails(&["job", "cancel", id]).await;
    assert!(refused.starts_with("error: The job has ended already: "), "{refused}");
    assert!(refused.ends_with("(already_terminal)\n"), "{refused}");

    // no worker here serves this model, so the job stands where it is
    let waiting = ["submit", "--model", "magika", "--file", "Makefile", "--no-wait"];
    let queued = user.json(&waiting).await;
    assert_eq!(queued["status"], "queued");
    let cancelled = user.json(&["job", "cancel", queued["id"].as_str().unwrap()]).await;
    assert_eq!(cancelled["status"], "cancelled");
    let told = user.fails(&["job", "watch", queued["id"].as_str().unwrap()]).await;
    assert_eq!(told, "error: the job ended as cancelled\n");
}

async fn models(user: &User<'_>) {
    let list = user.succeeds(&["models"]).await;
    assert!(list.starts_with("NAME") && list.contains("\nminilm"), "{list}");
    let one = user.succeeds(&["models", "minilm"]).await;
    assert!(one.contains("[n, 384]") && one.contains("curl "), "{one}");
    let refused = user.fails(&["submit", "--model", "identity", "--text", "x"]).await;
    assert!(refused.contains("--json"), "{refused}");
    let refused = user
        .fails(&["submit", "--model", "minilm", "--text", "x", "--deadline", "48h"])
        .await;
    assert!(
        refused.contains("(deadline_out_of_range, field deadline, limit "),
        "{refused}"
    );
}

async fn tenants(user: &User<'_>) {
    let set = async |flags: &[&str]| user.json(&[&["tenants", "set", "acme"], flags].concat()).await[0].clone();
    assert_eq!(
        set(&["--retention", "7days"]).await,
        json!({"tenant": "acme", "retention": "7days"})
    );
    let both = set(&["--max-queued", "0"]).await;
    assert_eq!(both, json!({"tenant": "acme", "retention": "7days", "max_queued": 0}));
    let listed = user.succeeds(&["tenants", "list"]).await;
    assert!(listed.contains("7days") && listed.contains("no limit"), "{listed}");
    assert_eq!(
        set(&["--retention", "default", "--max-queued", "default"]).await,
        json!({"tenant": "acme"})
    );
    assert_eq!(
        user.json(&["tenants", "list"]).await,
        json!([]),
        "defaults leave no record"
    );
    let unreadable = user.run(&["tenants", "set", "acme", "--retention", "90days"]).await;
    assert!(
        stderr(&unreadable).contains("at most 45days"),
        "{}",
        stderr(&unreadable)
    );
    let idle = user.run(&["tenants", "set", "acme"]).await;
    assert!(
        !idle.status.success() && stderr(&idle).contains("--retention <TIME>"),
        "{}",
        stderr(&idle)
    );
}

async fn keys(user: &User<'_>) {
    let made = user.json(&["keys", "create", "--tenant", "acme", "--name", "ci"]).await;
    let (id, key) = (made["id"].as_str().unwrap(), made["api_key"].as_str().unwrap());
    let listed = user.succeeds(&["keys", "list"]).await;
    assert!(
        listed.contains(id) && listed.contains("acme") && !listed.contains(key),
        "{listed}"
    );
    crate::wait::until("the ingest to take the new key", async || {
        user.run(&["models", "--api-key", key])
            .await
            .status
            .success()
            .then_some(())
    })
    .await;
    let revoked = user.json(&["keys", "revoke", id]).await;
    assert!(revoked[0]["revoked_at"].is_string(), "{revoked}");
    crate::wait::until("the ingest to refuse the revoked key", async || {
        let ended = user.run(&["models", "--api-key", key]).await;
        stderr(&ended).contains("(unauthenticated)").then_some(())
    })
    .await;
    let create = ["keys", "create", "--tenant", "acme", "--scope", "submit"];
    let limited = user
        .json(&[&create[..], &["--model", "light", "--model", "minilm"]].concat())
        .await;
    assert_eq!(limited["scopes"], serde_json::json!(["submit"]));
    assert_eq!(limited["models"], serde_json::json!(["light", "minilm"]));
    let listed = user.succeeds(&["keys", "list"]).await;
    assert!(
        listed.contains("light,minilm") && listed.contains("submit,read,operate"),
        "{listed}"
    );
    let key = limited["api_key"].as_str().unwrap();
    crate::wait::until("the ingest to know what the limited key is for", async || {
        let ended = user.run(&["dlq", "list", "--api-key", key]).await;
        stderr(&ended)
            .contains("(forbidden, field Authorization)")
            .then_some(())
    })
    .await;
    let unknown = user
        .run(&["keys", "create", "--tenant", "acme", "--scope", "write"])
        .await;
    assert_eq!(unknown.status.code(), Some(64));
    assert!(stderr(&unknown).contains("expected submit, read or operate"));
    assert_eq!(
        user.fails(&["keys", "revoke", "nobodys"]).await,
        "error: there is no API key nobodys\n"
    );
}
