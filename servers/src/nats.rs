//! How nats-server is run: its configuration file, and when it is ready.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use gristmill_schemas::Durability;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::access::{Access, Role, write_private};
use crate::ports::free_port;
use crate::server::{Recipe, Server};

/// The file in its folder where the passwords of its users are.
const ACCESS: &str = "access";

/// A nats-server with JetStream.
pub type Nats = Server<NatsOptions>;

/// How a nats-server is run. All its files are in `data_dir`.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// The executable.
    pub binary: PathBuf,
    /// Configuration, passwords (`access`), log, lock, and the streams under `jetstream/`.
    pub data_dir: PathBuf,
    /// The port for clients on 127.0.0.1; 0 for a free one.
    pub port: u16,
    /// The port for monitoring (HTTP) on 127.0.0.1; 0 for a free one.
    pub monitor_port: u16,
    /// What an acknowledged message survives.
    pub durability: Durability,
    /// Bytes that all file streams together may take.
    pub max_file_store: u64,
    /// Bytes that all memory streams together may take.
    pub max_memory_store: u64,
    /// How long it may take to read its streams at start.
    pub startup_limit: Duration,
    /// Its users; read or made when it starts.
    access: Option<Access>,
}

impl NatsOptions {
    /// The usual: free ports, 8 GiB of files, 256 MiB of memory, 60 s to start.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, data_dir: impl Into<PathBuf>, durability: Durability) -> Self {
        Self {
            binary: binary.into(),
            data_dir: data_dir.into(),
            port: 0,
            monitor_port: 0,
            durability,
            max_file_store: 8 << 30,
            max_memory_store: 256 << 20,
            startup_limit: Duration::from_secs(60),
            access: None,
        }
    }

    /// The URL of the monitoring endpoints (`/healthz`, `/varz`, `/jsz`).
    #[must_use]
    pub fn monitor_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.monitor_port)
    }

    /// Tells this server from any other that may have taken its port.
    fn server_name(&self) -> String {
        format!("gristmill-{}-{}", std::process::id(), self.port)
    }

    fn config(&self) -> String {
        let Self {
            port,
            monitor_port,
            max_file_store,
            max_memory_store,
            ..
        } = self;
        let name = self.server_name();
        let store = quoted(&self.data_dir.join("jetstream"));
        let authorization = self.access.as_ref().map(Access::nats_authorization).unwrap_or_default();
        let sync = match self.durability {
            Durability::PowerLoss => "always",
            Durability::ProcessCrash => "2m",
        };
        format!(
            r#"# Written by gristmill at each start; changes are lost.
server_name: "{name}"
host: "127.0.0.1"
port: {port}
http: "127.0.0.1:{monitor_port}"
max_payload: 8MB
# A dead peer is noticed within seconds; the default takes minutes.
ping_interval: "2s"
ping_max: 3
# A client that reads nothing for so long is dropped, and reconnects.
write_deadline: "10s"
jetstream {{
  store_dir: {store}
  max_file_store: {max_file_store}
  max_memory_store: {max_memory_store}
  sync_interval: "{sync}"
}}
{authorization}"#
        )
    }

    /// The server greets with one line of JSON about itself.
    async fn greets_as_ours(&self) -> io::Result<bool> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        let mut greeting = String::new();
        BufReader::new(stream).read_line(&mut greeting).await?;
        Ok(greeting.contains(&format!(r#""server_name":"{}""#, self.server_name())))
    }

    /// `/healthz` is 200 once JetStream has recovered its streams.
    async fn is_healthy(&self) -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.monitor_port)).await?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.starts_with("HTTP/1.0 200"))
    }
}

impl Recipe for NatsOptions {
    const NAME: &'static str = "nats-server";

    fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn startup_limit(&self) -> Duration {
        self.startup_limit
    }

    fn prepare(&mut self) -> io::Result<()> {
        self.access = Some(Access::read_or_make(&self.data_dir.join(ACCESS))?);
        for port in [&mut self.port, &mut self.monitor_port] {
            if *port == 0 {
                *port = free_port()?;
            }
        }
        Ok(())
    }

    fn command(&self) -> anyhow::Result<Command> {
        let path = self.data_dir.join("nats-server.conf");
        write_private(&path, &self.config()).with_context(|| format!("write {}", path.display()))?;
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(path);
        Ok(command)
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn url(&self, role: Role) -> String {
        let user = self.access.as_ref().map(|access| access.userinfo(role));
        format!("nats://{}127.0.0.1:{}", user.unwrap_or_default(), self.port)
    }

    async fn is_ready(&self, _pid: u32) -> io::Result<bool> {
        Ok(self.greets_as_ours().await? && self.is_healthy().await?)
    }
}

/// A path as a string of the configuration language.
fn quoted(path: &Path) -> String {
    format!(
        "\"{}\"",
        path.display().to_string().replace('\\', r"\\").replace('"', "\\\"")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_loss_syncs_every_write() {
        let config = NatsOptions::new("nats-server", "data", Durability::PowerLoss).config();
        assert!(config.contains(r#"sync_interval: "always""#), "{config}");
    }

    #[test]
    fn a_path_with_a_quote_stays_one_string() {
        assert_eq!(quoted(Path::new(r#"a "b" \c"#)), r#""a \"b\" \\c""#);
    }
}
