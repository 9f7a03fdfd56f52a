//! Where the executables of the servers are. Fetching them is the work of `make setup`.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The folder that `make setup` fills, searched from the current directory upward.
const TOOLS: &str = ".gristmill/bin";

/// The executables of both servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// nats-server.
    pub nats: PathBuf,
    /// redis-server, or valkey-server, which takes the same arguments.
    pub redis: PathBuf,
}

impl Binaries {
    /// Finds both.
    ///
    /// # Errors
    ///
    /// One is not installed, or its environment variable names no file.
    pub fn locate() -> anyhow::Result<Self> {
        Ok(Self {
            nats: Self::locate_nats()?,
            redis: Self::locate_redis()?,
        })
    }

    /// Finds nats-server: `$GRISTMILL_NATS_SERVER`, else `.gristmill/bin`, else `$PATH`. The tool folder comes first
    /// because distributions carry versions that are too old.
    ///
    /// # Errors
    ///
    /// It is not installed, or the variable names no file.
    pub fn locate_nats() -> anyhow::Result<PathBuf> {
        if let Some(path) = named_by("GRISTMILL_NATS_SERVER")? {
            return Ok(path);
        }
        in_tools("nats-server")
            .or_else(|| in_path("nats-server"))
            .context("nats-server is not installed: run `make setup`, or set GRISTMILL_NATS_SERVER")
    }

    /// Finds the Redis server: `$GRISTMILL_REDIS_SERVER`, else redis-server in `$PATH`, else valkey-server in
    /// `.gristmill/bin`.
    ///
    /// # Errors
    ///
    /// Neither is installed, or the variable names no file.
    pub fn locate_redis() -> anyhow::Result<PathBuf> {
        if let Some(path) = named_by("GRISTMILL_REDIS_SERVER")? {
            return Ok(path);
        }
        in_path("redis-server")
            .or_else(|| in_tools("valkey-server"))
            .context("redis-server is not installed: run `make setup`, or set GRISTMILL_REDIS_SERVER")
    }
}

fn named_by(variable: &str) -> anyhow::Result<Option<PathBuf>> {
    let Some(path) = env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
    else {
        return Ok(None);
    };
    anyhow::ensure!(path.is_file(), "{variable} names {}, which is no file", path.display());
    Ok(Some(path))
}

fn in_tools(name: &str) -> Option<PathBuf> {
    upward(&env::current_dir().ok()?, name)
}

fn upward(from: &Path, name: &str) -> Option<PathBuf> {
    from.ancestors()
        .map(|folder| folder.join(TOOLS).join(name))
        .find(|path| path.is_file())
}

fn in_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_found_from_any_folder_below() {
        let root = tempfile::tempdir().unwrap();
        let tools = root.path().join(TOOLS);
        let deep = root.path().join("a/b");
        std::fs::create_dir_all(&tools).unwrap();
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(tools.join("nats-server"), "").unwrap();
        assert_eq!(upward(&deep, "nats-server"), Some(tools.join("nats-server")));
        assert_eq!(upward(&deep, "valkey-server"), None);
    }
}
