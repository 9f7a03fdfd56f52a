//! A running `gristmill up` in a folder of its own.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
};

use gristmill_servers::{Child, Output, Signal};
use nix::{errno::Errno, sys::signal::kill, unistd::Pid};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{gristmill, wait::until};

/// What the ready file says.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ready {
    pub(crate) url: String,
    pub(crate) admin_url: String,
    pub(crate) api_key: String,
    pub(crate) nats_url: String,
    pub(crate) redis_url: String,
    pub(crate) nats_pid: Option<u32>,
    pub(crate) redis_pid: Option<u32>,
    pub(crate) ingest_pid: u32,
    pub(crate) workers: Vec<Worker>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Worker {
    pub(crate) pid: u32,
    pub(crate) admin_url: String,
}

impl Ready {
    /// Every child.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let workers = self.workers.iter().map(|worker| worker.pid);
        let servers = [self.nats_pid, self.redis_pid].into_iter().flatten();
        workers.chain(servers).chain([self.ingest_pid]).collect()
    }
}

/// One `gristmill up`; dropping it kills it, and with it its children.
#[derive(Debug)]
pub(crate) struct Instance {
    child: Child,
    dir: PathBuf,
}

/// The way from the repository's root to a folder.
fn from_repository(dir: &Path) -> PathBuf {
    let up = gristmill::repository()
        .components()
        .skip(1)
        .map(|_| "..")
        .collect::<PathBuf>();
    up.join(dir.strip_prefix("/").unwrap())
}

impl Instance {
    /// Starts one on free ports with one worker, which serves the model `identity` alone.
    pub(crate) async fn start(dir: &Path, more: &[&str]) -> Self {
        // relative, as the default is
        let (data_dir, ready_file) = (from_repository(dir).join("data"), dir.join("ready.json"));
        let mut command = gristmill::command(&["up", "--port", "0", "--workers", "1"]);
        command
            .arg("--data-dir")
            .arg(data_dir)
            .arg("--ready-file")
            .arg(ready_file);
        command.args(more).env("GRISTMILL_MODELS", "identity");
        let child = Child::spawn(command, "up", Output::File(dir.join("up.log")))
            .await
            .unwrap();
        Self {
            child,
            dir: dir.to_owned(),
        }
    }

    /// What the ready file says, once it is there and as the condition wants it.
    pub(crate) async fn ready_when(&mut self, what: &str, condition: impl Fn(&Ready) -> bool) -> Ready {
        until(what, || {
            assert!(
                self.child.is_running().unwrap(),
                "gristmill up has ended:\n{}",
                self.log()
            );
            let text = std::fs::read(self.dir.join("ready.json")).ok();
            let ready: Option<Ready> = text.map(|text| serde_json::from_slice(&text).unwrap());
            std::future::ready(ready.filter(&condition))
        })
        .await
    }

    /// What the ready file says, once it is there.
    pub(crate) async fn ready(&mut self) -> Ready {
        self.ready_when("gristmill up to be ready", |_| true).await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.child.signal(signal).unwrap();
    }

    /// How it ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        until("gristmill up to end", || {
            let running = self.child.is_running().unwrap();
            std::future::ready((!running).then_some(()))
        })
        .await;
        self.child.wait().await.unwrap()
    }

    /// Everything that it and its children have written.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("up.log")).unwrap_or_default()
    }
}

/// Sends a signal to a process that the test knows the pid of.
pub(crate) fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
}

/// Waits until these processes are gone.
pub(crate) async fn gone(pids: &[u32]) {
    for pid in pids {
        let process = Pid::from_raw((*pid).try_into().unwrap());
        until(&format!("process {pid} to be gone"), || {
            std::future::ready((kill(process, None) == Err(Errno::ESRCH)).then_some(()))
        })
        .await;
    }
}

/// Submits rows to `identity` until they come back, and gives the job.
pub(crate) async fn answered(ready: &Ready) -> Value {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let body = json!({
        "model": "identity",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]}],
    });
    let job = until("a job to be answered", || {
        let call = http.post(format!("{}/v1/jobs", ready.url)).bearer_auth(&ready.api_key);
        let call = call.header("prefer", "wait=5").json(&body);
        async move {
            let reply = call.send().await.ok()?;
            let job: Value = reply.json().await.ok()?;
            (job["status"] == "succeeded").then_some(job)
        }
    })
    .await;
    assert_eq!(job["outputs"][0]["data"], json!([1.0, 2.0, 3.0, 4.0]));
    job
}

/// Where a job stands.
pub(crate) async fn job(ready: &Ready, id: &str) -> Value {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let call = http
        .get(format!("{}/v1/jobs/{id}", ready.url))
        .bearer_auth(&ready.api_key);
    call.send().await.unwrap().json().await.unwrap()
}

/// The status of a process's `/readyz`.
pub(crate) async fn readyz(admin_url: &str) -> u16 {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(format!("{admin_url}/readyz"))
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}
