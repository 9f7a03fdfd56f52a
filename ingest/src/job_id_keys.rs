//! The file of the keys that sign job ids: read at start, and made there if that is asked for.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{ErrorKind, Write},
    path::Path,
};

use anyhow::{Context, bail};
use data_encoding::HEXLOWER;
use gristmill_schemas::JobIdKeys;

use crate::config::JobIdKeyArgs;

/// Reads the file, or makes it with one fresh key.
///
/// # Errors
/// It is not there and may not be made, or it is not of the form.
pub fn read(args: &JobIdKeyArgs) -> anyhow::Result<JobIdKeys> {
    let path = args.job_id_keys.as_path();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text).with_context(|| format!("job id keys in {}", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound && args.create_job_id_keys => create(path),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "there are no job id keys in {}: give the file that the other ingests have, or start the first one with \
             --create-job-id-keys",
            path.display()
        ),
        Err(error) => Err(error).with_context(|| format!("read job id keys from {}", path.display())),
    }
}

fn parse(text: &str) -> anyhow::Result<JobIdKeys> {
    // errors name the number and never the text, which is secret
    let words: BTreeMap<u8, String> = serde_json::from_str(text)
        .map_err(|error| anyhow::anyhow!("no JSON object of keys by number (line {})", error.line()))?;
    let keys = words.iter().map(|(number, hex)| {
        let bytes = HEXLOWER.decode(hex.to_ascii_lowercase().as_bytes()).ok();
        let key: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
        Ok((
            *number,
            key.with_context(|| format!("key {number} is not 64 hexadecimal digits"))?,
        ))
    });
    let keys: anyhow::Result<BTreeMap<_, _>> = keys.collect();
    JobIdKeys::new(keys?).context("there is no key in it")
}

/// Makes the file, readable by its owner alone. Two processes that do so at once end with the same keys: only one of
/// them makes the file, and the other reads it.
fn create(path: &Path) -> anyhow::Result<JobIdKeys> {
    use std::os::unix::fs::OpenOptionsExt;

    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    let text = serde_json::to_string(&BTreeMap::from([(1_u8, HEXLOWER.encode(&key))]))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // written aside and linked into place, so that nobody reads half a file
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&aside, path);
    std::fs::remove_file(&aside)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("write job id keys to {}", path.display()))
        }
        Ok(()) | Err(_) => parse(&std::fs::read_to_string(path)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(path: &Path, create: bool) -> JobIdKeyArgs {
        JobIdKeyArgs {
            job_id_keys: path.to_owned(),
            create_job_id_keys: create,
        }
    }

    #[test]
    fn keys_are_made_once_and_read_after() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/keys.json");
        assert!(
            read(&args(&path, false))
                .unwrap_err()
                .to_string()
                .contains("--create-job-id-keys")
        );
        let made = read(&args(&path, true)).unwrap();
        assert_eq!(read(&args(&path, true)).unwrap(), made);
        assert_eq!(read(&args(&path, false)).unwrap(), made);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for text in ["", "{}", r#"{"1":"beef"}"#, r#"{"300":"00"}"#, r#"["beef"]"#] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(!error.contains("beef"), "{error}");
        }
    }
}
