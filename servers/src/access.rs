//! Who may do what on the two servers: one user a role, each with the subjects, commands and keys that it needs and no more.
//! The rules stand here once; `gristmill up`, the tests and `gristmill access` write them into the servers' own files.

mod nats;
mod redis;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Random bytes of a password.
const PASSWORD_BYTES: usize = 24;

/// Whom a server knows. Its word is the user's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Publishes jobs and reads outcomes; consumes nothing.
    Ingest,
    /// Consumes jobs and writes outcomes; publishes none.
    Worker,
    /// May ask through the door on NATS; Redis does not know it. Whoever reads Redis itself has a user of the tenant's own
    /// (`gristmill readers`).
    Client,
    /// May do everything.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Worker, Self::Client, Self::Operator];

    /// The user's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Worker => "worker",
            Self::Client => "client",
            Self::Operator => "operator",
        }
    }
}

/// The passwords of one server's users. Its `Debug` shows none.
#[derive(Clone)]
pub struct Access(BTreeMap<Role, String>);

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access(…)")
    }
}

impl Access {
    /// Reads them from a file, or makes them and writes it; only its owner may read it. A line is a role and its password.
    ///
    /// # Errors
    /// The file cannot be read or written, or is none of ours.
    pub fn read_or_make(path: &Path) -> io::Result<Self> {
        let mut known = match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        if Role::ALL.iter().any(|role| !known.contains_key(role)) {
            for role in Role::ALL {
                let made = password()?;
                known.entry(role).or_insert(made);
            }
            let text = known.iter().fold(String::new(), |text, (role, password)| {
                format!("{text}{} {password}\n", role.as_str())
            });
            write_private(path, &text)?;
        }
        Ok(Self(known))
    }

    fn parse(text: &str) -> BTreeMap<Role, String> {
        let of = |line: &str| {
            let (name, password) = line.split_once(' ')?;
            let role = Role::ALL.into_iter().find(|role| role.as_str() == name)?;
            Some((role, password.to_owned()))
        };
        text.lines().filter_map(of).collect()
    }

    /// A role's password.
    #[must_use]
    pub fn password(&self, role: Role) -> &str {
        self.0.get(&role).map_or("", String::as_str)
    }

    /// `user:password@`, for a URL.
    #[must_use]
    pub fn userinfo(&self, role: Role) -> String {
        format!("{}:{}@", role.as_str(), self.password(role))
    }

    /// The block `authorization` of a nats-server's configuration.
    #[must_use]
    pub fn nats_authorization(&self) -> String {
        nats::authorization(self)
    }

    /// The lines of a redis-server's ACL file, after those that stand in it for users of others.
    #[must_use]
    pub fn redis_users(&self, file: &str) -> String {
        redis::users(self, file)
    }
}

/// Writes a file that only its owner may read, whole or not at all, and on the disk when this returns: passwords that a power
/// cut takes back lock everybody out.
///
/// # Errors
/// It cannot be written.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    let unfinished = path.with_file_name(name);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn password() -> io::Result<String> {
    let mut random = [0; PASSWORD_BYTES];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(random.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn passwords_are_made_once_and_only_their_owner_may_read_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access");
        let made = Access::read_or_make(&path).unwrap();
        let read = Access::read_or_make(&path).unwrap();
        for role in Role::ALL {
            assert_eq!(made.password(role), read.password(role));
            assert_eq!(made.password(role).len(), PASSWORD_BYTES * 2);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(format!("{made:?}"), "Access(…)");
    }
}
