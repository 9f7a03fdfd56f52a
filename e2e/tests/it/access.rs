//! A deployment by the files of `gristmill access`: users of their own for every role, and TLS to both servers.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::Context;
use gristmill_e2e::{Client, Process, binary, wait};
use gristmill_schemas::JobState;
use gristmill_servers::{Binaries, Child, Output as Log, free_port};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;

use crate::identity;

/// A deployment in a folder.
struct Site {
    dir: tempfile::TempDir,
    ports: [u16; 3],
    servers: Vec<Child>,
}

impl Site {
    async fn start() -> anyhow::Result<Self> {
        let mut site = Self {
            dir: tempfile::tempdir()?,
            ports: [free_port()?, free_port()?, free_port()?],
            servers: Vec::new(),
        };
        site.certificates()?;
        site.write_access()?;
        let binaries = Binaries::locate()?;
        let (nats, redis) = (site.nats(&binaries.nats)?, site.redis(&binaries.redis)?);
        for (name, command) in [("nats", nats), ("redis", redis)] {
            let log = Log::File(site.path(&format!("{name}.log")));
            site.servers.push(Child::spawn(command, name, log).await?);
        }
        for port in site.ports {
            wait::until("a server to listen", || async move {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                Ok(TcpStream::connect(address).ok().map(drop))
            })
            .await?;
        }
        Ok(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A CA of its own, and a certificate of it for this machine.
    fn certificates(&self) -> anyhow::Result<()> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
        fs::write(self.path("ca.pem"), authority.pem())?;
        fs::write(self.path("server.pem"), certificate.pem())?;
        fs::write(self.path("server.key"), key.serialize_pem())?;
        Ok(())
    }

    fn write_access(&self) -> anyhow::Result<()> {
        let [nats, _, redis] = self.ports;
        let (nats, redis) = (format!("localhost:{nats}"), format!("localhost:{redis}"));
        let folder = self.path("access");
        let folder = folder.to_str().context("a path of ours is text")?;
        let output = gristmill(&["access", folder, "--nats", &nats, "--redis", &redis, "--tls"]).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn nats(&self, binary: &Path) -> anyhow::Result<Command> {
        let [port, monitor, _] = self.ports;
        let (users, store) = (self.path("access/nats/users.conf"), self.path("jetstream"));
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let config = format!(
            "host: 127.0.0.1\nport: {port}\nhttp: \"127.0.0.1:{monitor}\"\nmax_payload: 8MB\n\
             jetstream {{ store_dir: {store:?}, sync_interval: always }}\n\
             tls {{ cert_file: {certificate:?}, key_file: {key:?} }}\n{}",
            fs::read_to_string(users)?
        );
        let file = self.path("nats.conf");
        fs::write(&file, config)?;
        let mut command = Command::new(binary);
        command.arg("--config").arg(file);
        Ok(command)
    }

    fn redis(&self, binary: &Path) -> anyhow::Result<Command> {
        let mut command = Command::new(binary);
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            "0",
            "--tls-port",
            &self.ports[2].to_string(),
        ]);
        command.arg("--tls-cert-file").arg(self.path("server.pem"));
        command.arg("--tls-key-file").arg(self.path("server.key"));
        command.arg("--tls-ca-cert-file").arg(self.path("ca.pem"));
        command.args(["--tls-auth-clients", "no", "--save", "", "--appendonly", "yes"]);
        command.args(["--appendfsync", "always", "--maxmemory-policy", "noeviction"]);
        command.arg("--aclfile").arg(self.path("access/redis/users.acl"));
        command.arg("--dir").arg(self.dir.path());
        Ok(command)
    }

    /// Where a role finds its URL.
    fn url(&self, role: &str, server: &str) -> String {
        format!("@{}", self.path(&format!("access/{role}/{server}-url")).display())
    }

    async fn process(&self, role: &str, more: &[&str]) -> anyhow::Result<Process> {
        let monitor = format!("http://127.0.0.1:{}", self.ports[1]);
        let (nats, redis) = (self.url(role, "nats"), self.url(role, "redis"));
        let args = [&[role, "--nats-monitor-url", &monitor][..], more].concat();
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let ca = self.path("ca.pem");
        let variables = [
            ("GRISTMILL_NATS_URL", nats.as_str()),
            ("GRISTMILL_REDIS_URL", redis.as_str()),
            ("SSL_CERT_FILE", ca.to_str().context("a path of ours is text")?),
        ];
        Process::start_with(role, &args, self.dir.path(), &variables).await
    }

    /// A command of an operator, as this role.
    fn operator(&self, role: &str, args: &[&str]) -> anyhow::Result<Output> {
        let mut command = gristmill(args);
        command.args(["--output", "json", "--redis-url", &self.url(role, "redis")]);
        command.env("SSL_CERT_FILE", self.path("ca.pem"));
        Ok(command.output()?)
    }
}

fn gristmill(args: &[&str]) -> Command {
    let mut command = Command::new(binary::gristmill().expect("it is built"));
    command.args(args);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_has_a_user_of_its_own_and_speaks_tls() -> anyhow::Result<()> {
    let site = Site::start().await?;
    let passwords = fs::read_to_string(site.path("access/operator/passwords"))?;
    let listen = ["--listen", "127.0.0.1:0", "--create-job-id-keys", "--job-id-keys"];
    let keys = site.path("keys.json");
    let keys = keys.to_str().context("a path of ours is text")?;
    let ingest = site.process("ingest", &[&listen[..], &[keys]].concat()).await?;
    let worker = site.process("worker", &["--model", "identity"]).await?;

    let made = site.operator("operator", &["keys", "create", "--tenant", "acme"])?;
    anyhow::ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made: Value = serde_json::from_slice(&made.stdout)?;
    let key = made["api_key"].as_str().with_context(|| made.to_string())?;
    // who serves makes no keys
    let refused = site.operator("ingest", &["keys", "create", "--tenant", "acme"])?;
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("NOPERM"));

    let client = Client::new(ingest.at.url.as_deref().context("an ingest has a URL")?, key);
    let view = wait::until("the ingest to know the key", || async {
        Ok(client.submit(&identity(&[1.5]), 30).await.ok())
    })
    .await?;
    assert_eq!(view.status, JobState::Succeeded);

    // a second run changes nothing, and no log tells a password
    site.write_access()?;
    assert_eq!(fs::read_to_string(site.path("access/operator/passwords"))?, passwords);
    for log in [ingest.log(), worker.log()] {
        for line in passwords.lines() {
            let (_, password) = line.split_once(' ').context("a role and its password")?;
            assert!(!log.contains(password), "{log}");
        }
    }
    Ok(())
}
