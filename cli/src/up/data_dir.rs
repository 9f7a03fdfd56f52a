//! The folder of everything that lasts, and the lock that keeps it to one `gristmill up`.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// Where it is unless somebody says otherwise.
pub(crate) const DEFAULT_DATA_DIR: &str = ".gristmill/data";

/// A data folder that is ours as long as this lives: the lock ends with its file.
#[derive(Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// The file of the development key in a data folder.
#[derive(Debug, Clone)]
pub(crate) struct DevKeyFile(pub(crate) PathBuf);

impl DevKeyFile {
    /// Of this data folder.
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("dev-api-key"))
    }

    /// The key in the clear, if there is one.
    pub(crate) fn read(&self) -> anyhow::Result<Option<String>> {
        match fs::read_to_string(&self.0) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", self.0.display())),
        }
    }
}

impl DataDir {
    /// Takes a folder, and makes it if it is not there.
    ///
    /// # Errors
    /// Another `gristmill up` has it.
    pub(super) fn take(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path.join("run")).with_context(|| format!("create {}", path.display()))?;
        let lock = path.join("up.lock");
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&lock);
        let mut file = opened.with_context(|| format!("open {}", lock.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another gristmill up{} uses {}: end it first, or choose another --data-dir",
                holder(&mut file),
                path.display()
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(|| format!("lock {}", lock.display())),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self {
            path: path.to_owned(),
            _lock: file,
        })
    }

    /// The data of nats-server.
    pub(super) fn nats(&self) -> PathBuf {
        self.path.join("nats")
    }

    /// The data of redis-server.
    pub(super) fn redis(&self) -> PathBuf {
        self.path.join("redis")
    }

    /// The keys that sign job ids.
    pub(super) fn job_id_keys(&self) -> PathBuf {
        self.path.join("job-id-keys.json")
    }

    /// The development key.
    pub(super) fn dev_key(&self) -> DevKeyFile {
        DevKeyFile::of(&self.path)
    }

    /// Where operators find how to reach the store: `--redis-url @` and this. As a variable it would be taken
    /// by the next `gristmill up` too, for a server of somebody else's.
    pub(super) fn redis_url(&self) -> PathBuf {
        self.path.join("redis-url")
    }

    /// The token that operators show to our own processes.
    pub(super) fn operator_token(&self) -> PathBuf {
        self.path.join("operator-token")
    }

    /// Where a child of this name announces itself.
    pub(super) fn announcement(&self, child: &str) -> PathBuf {
        self.path.join("run").join(format!("{child}.json"))
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => format!(" (pid {})", text.trim()),
        Ok(_) | Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_in_use_is_refused_with_the_pid_of_its_user_until_it_is_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let taken = DataDir::take(dir.path()).unwrap();
        let refused = DataDir::take(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("(pid {})", std::process::id())), "{refused}");
        drop(taken);
        DataDir::take(dir.path()).unwrap();
    }
}
