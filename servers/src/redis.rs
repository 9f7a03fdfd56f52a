//! How redis-server is run: its arguments, and when it is ready. valkey-server takes the same.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gristmill_schemas::Durability;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::access::{Access, Role, write_private};
use crate::ports::free_port;
use crate::server::{Recipe, Server};

/// The file in its folder where it keeps its users.
const USERS: &str = "users.acl";

/// The file there where the passwords of its users are.
const ACCESS: &str = "access";

/// A redis-server with an append-only file.
pub type Redis = Server<RedisOptions>;

/// How a redis-server is run. All its files are in `data_dir`.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// The executable.
    pub binary: PathBuf,
    /// Log, lock, users (`users.acl`) and their passwords (`access`), and the append-only file under `appendonlydir/`.
    pub data_dir: PathBuf,
    /// The port on 127.0.0.1; 0 for a free one.
    pub port: u16,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Bytes its data may take; past them writes are refused, nothing is evicted.
    pub max_memory: u64,
    /// How long it may take to read its data at start.
    pub startup_limit: Duration,
    /// Its users; read or made when it starts.
    access: Option<Access>,
}

impl RedisOptions {
    /// The usual: a free port, 1 GiB, 60 s to start.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, data_dir: impl Into<PathBuf>, durability: Durability) -> Self {
        Self {
            binary: binary.into(),
            data_dir: data_dir.into(),
            port: 0,
            durability,
            max_memory: 1 << 30,
            startup_limit: Duration::from_secs(60),
            access: None,
        }
    }
}

impl Recipe for RedisOptions {
    const NAME: &'static str = "redis-server";

    fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn startup_limit(&self) -> Duration {
        self.startup_limit
    }

    fn prepare(&mut self) -> io::Result<()> {
        let access = Access::read_or_make(&self.data_dir.join(ACCESS))?;
        let users = self.data_dir.join(USERS);
        let file = match fs::read_to_string(&users) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        write_private(&users, &access.redis_users(&file))?;
        self.access = Some(access);
        if self.port == 0 {
            self.port = free_port()?;
        }
        Ok(())
    }

    fn command(&self) -> anyhow::Result<Command> {
        let fsync = match self.durability {
            Durability::PowerLoss => "always",
            // not everysec: while its fsync is under way, Redis answers first and writes later
            Durability::ProcessCrash => "no",
        };
        let mut command = Command::new(&self.binary);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .arg("--dir")
            .arg(&self.data_dir)
            .args([
                "--appendonly",
                "yes",
                "--appendfsync",
                fsync,
                "--aof-use-rdb-preamble",
                "yes",
                "--save",
                "",
            ])
            .args([
                "--maxmemory",
                &self.max_memory.to_string(),
                "--maxmemory-policy",
                "noeviction",
            ])
            // it has gone into its folder by the time it reads this, and writes it anew when users change
            .args(["--aclfile", USERS])
            .args(["--daemonize", "no", "--logfile", ""]);
        Ok(command)
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn url(&self, role: Role) -> String {
        let user = self.access.as_ref().map(|access| access.userinfo(role));
        format!("redis://{}127.0.0.1:{}", user.unwrap_or_default(), self.port)
    }

    /// While it reads its data it answers PING with an error (LOADING). Its pid tells it from any other that may have
    /// taken its port.
    async fn is_ready(&self, pid: u32) -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        let password = self
            .access
            .as_ref()
            .map_or("", |access| access.password(Role::Operator));
        let ask = format!(
            "AUTH {} {password}\r\nPING\r\nINFO server\r\nQUIT\r\n",
            Role::Operator.as_str()
        );
        stream.write_all(ask.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.starts_with("+OK\r\n+PONG") && answer.contains(&format!("process_id:{pid}\r\n")))
    }
}
