//! `gristmill access`: who may do what on the servers of a deployment, as files for the servers and for those who connect.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use gristmill_servers::{Access, Role};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Files in DIR, each folder for one to mount:
  nats/users.conf     to be included by nats-server's configuration
  redis/users.acl     for redis-server's --aclfile; users that are in it already stay
  <role>/nats-url     what a role connects by: GRISTMILL_NATS_URL=@DIR/worker/nats-url
  <role>/redis-url
  operator/passwords  all of them; what is there is kept, so that a second run changes nothing")]
pub(crate) struct AccessCommand {
    /// Where the files go
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Host and port of nats-server, as the roles see it
    #[arg(long, default_value = "nats:4222", value_name = "HOST:PORT")]
    nats: String,
    /// Host and port of redis-server, as the roles see it
    #[arg(long, default_value = "redis:6379", value_name = "HOST:PORT")]
    redis: String,
    /// Speak TLS to both: URLs are tls:// and rediss://
    #[arg(long)]
    tls: bool,
    /// Let everybody read the files, for containers that run as different users and mount no folder but their own
    #[arg(long)]
    readable: bool,
}

impl AccessCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let folder = self.folder("operator")?;
        let access = Access::read_or_make(&folder.join("passwords")).context("the passwords")?;
        self.write("nats", "users.conf", &access.nats_authorization())?;
        let users = self.folder("redis")?.join("users.acl");
        let known = match fs::read_to_string(&users) {
            Ok(known) => known,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("read {}", users.display())),
        };
        self.write("redis", "users.acl", &access.redis_users(&known))?;
        let (nats, redis) = if self.tls { ("tls", "rediss") } else { ("nats", "redis") };
        for role in Role::ALL {
            let user = access.userinfo(role);
            self.write(role.as_str(), "nats-url", &format!("{nats}://{user}{}\n", self.nats))?;
            // Redis does not know clients: each reader is a tenant's
            if role != Role::Client {
                self.write(role.as_str(), "redis-url", &format!("{redis}://{user}{}\n", self.redis))?;
            }
        }
        Ok(())
    }

    fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.dir.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(folder)
    }

    fn write(&self, folder: &str, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder(folder)?.join(name);
        write(&path, text, self.readable).with_context(|| format!("write {}", path.display()))
    }
}

fn write(path: &Path, text: &str, readable: bool) -> io::Result<()> {
    gristmill_servers::access::write_private(path, text)?;
    let mode = if readable { 0o644 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
