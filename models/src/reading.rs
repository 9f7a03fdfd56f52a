//! Reading the catalog from disk: goes on after a problem, so that all of them are known at once.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use gristmill_schemas::{Manifest, VersionName};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    catalog::{Catalog, CatalogError, Model, Problem},
    version::ModelVersion,
};

const MODEL_FILE: &str = "model.toml";
const MANIFEST_FILE: &str = "manifest.toml";

/// `model.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelFile {
    aliases: BTreeMap<VersionName, VersionName>,
}

/// Reads a folder of models.
pub(crate) fn read(dir: &Path) -> Result<Catalog, CatalogError> {
    let mut problems = Problems(Vec::new());
    let mut catalog = Catalog::default();
    for folder in problems.note(dir, folders_with(dir, MODEL_FILE)).unwrap_or_default() {
        let name = problems.note(&folder, folder_name(&folder));
        let model = read_model(&folder, &mut problems);
        if let Some(name) = name {
            catalog.models.insert(name, model);
        }
    }
    if catalog.models.is_empty() && problems.0.is_empty() {
        problems.add(dir, "holds no model: no folder in it has a model.toml");
    }
    if problems.0.is_empty() {
        Ok(catalog)
    } else {
        Err(CatalogError { problems: problems.0 })
    }
}

fn read_model(folder: &Path, problems: &mut Problems) -> Model {
    let mut model = Model::default();
    for version in problems
        .note(folder, folders_with(folder, MANIFEST_FILE))
        .unwrap_or_default()
    {
        let path = version.join(MANIFEST_FILE);
        if let Some(read) = problems.note(&path, read_version(&path)) {
            model.versions.insert(read.manifest.version.clone(), Arc::new(read));
        }
    }
    let path = folder.join(MODEL_FILE);
    if let Some(file) = problems.note(&path, read_toml::<ModelFile>(&path)) {
        model.aliases = file.aliases;
        check_aliases(&model, folder, problems);
    }
    model
}

fn read_version(path: &Path) -> Result<ModelVersion, String> {
    let manifest: Manifest = read_toml(path)?;
    let mut above = path.ancestors().skip(1).filter_map(Path::file_name);
    for (field, says) in [("version", manifest.version.as_str()), ("name", manifest.name.as_str())] {
        if above.next().is_none_or(|folder| folder != says) {
            return Err(format!("{field}: {says:?} is not the name of its folder"));
        }
    }
    ModelVersion::new(manifest)
}

/// Looks at the folders, not at what was read, so that one broken manifest is one problem.
fn check_aliases(model: &Model, folder: &Path, problems: &mut Problems) {
    let path = folder.join(MODEL_FILE);
    let is_version = |name: &VersionName| folder.join(name.as_str()).join(MANIFEST_FILE).is_file();
    if model.default_version().is_none() {
        problems.add(&path, "aliases: \"default\" is missing");
    }
    for (alias, version) in &model.aliases {
        if !is_version(version) {
            problems.add(
                &path,
                format!("aliases: {alias} means version {version}, which is not there"),
            );
        }
        if is_version(alias) {
            problems.add(&path, format!("aliases: {alias} is a version already"));
        }
    }
}

/// The folders in a folder that hold a file of this name, in order.
fn folders_with(dir: &Path, file: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(dir).map_err(|error| error.to_string())?;
    let paths: Result<Vec<_>, io::Error> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut folders = paths.map_err(|error| error.to_string())?;
    folders.retain(|path| path.join(file).is_file());
    folders.sort();
    Ok(folders)
}

fn folder_name<N: FromStr<Err: ToString>>(folder: &Path) -> Result<N, String> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.parse().map_err(|error: N::Err| error.to_string())
}

fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    toml::from_str(&text).map_err(|error| error.to_string().trim_end().to_owned())
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: &Path, what: impl Into<String>) {
        self.0.push(Problem {
            path: path.to_owned(),
            what: what.into(),
        });
    }

    /// Takes the error out of a result.
    fn note<T>(&mut self, path: &Path, result: Result<T, String>) -> Option<T> {
        result.map_err(|what| self.add(path, what)).ok()
    }
}
