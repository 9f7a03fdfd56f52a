//! Reading and resolving.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gristmill_models::{Catalog, CatalogError, ResolveError};
use gristmill_schemas::{ModelName, VersionName};

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn model(name: &str) -> ModelName {
    name.parse().unwrap()
}

fn version(name: &str) -> VersionName {
    name.parse().unwrap()
}

/// A copy of the repository's models, to be broken.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["identity", "magika", "minilm"] {
        let (from, to) = (repository().join(name), dir.path().join(name));
        fs::create_dir_all(to.join("1")).unwrap();
        for file in ["model.toml", "1/manifest.toml"] {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
    }
    dir
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {}", path.display());
    fs::write(path, text.replace(from, to)).unwrap();
}

fn problems(dir: &Path) -> Vec<String> {
    let CatalogError { problems } = Catalog::read(dir).unwrap_err();
    let inside = |path: &Path| path.strip_prefix(dir).unwrap().display().to_string();
    problems
        .iter()
        .map(|problem| format!("{}: {}", inside(&problem.path), problem.what))
        .collect()
}

#[test]
fn the_repositorys_models_are_read_in_order() {
    let catalog = Catalog::read(&repository()).unwrap();
    let names: Vec<_> = catalog
        .versions()
        .map(|version| version.manifest.name.as_str())
        .collect();
    assert_eq!(names, ["identity", "light", "magika", "minilm"]);
}

#[test]
fn every_example_was_admitted() {
    for version in Catalog::read(&repository()).unwrap().versions() {
        assert_eq!(version.example.len(), version.manifest.inputs.len());
        assert!(version.example[0].rows() > 0, "{}", version.manifest.name.as_str());
    }
}

#[test]
fn a_version_an_alias_and_nothing_mean_the_same_version() {
    let catalog = Catalog::read(&repository()).unwrap();
    let magika = model("magika");
    let by_default = catalog.resolve(&magika, None).unwrap();
    for name in ["1", "default"] {
        assert_eq!(catalog.resolve(&magika, Some(&version(name))).unwrap(), by_default);
    }
    assert_eq!(catalog.aliases(&magika).unwrap()[&version("default")], version("1"));
}

#[test]
fn an_unknown_model_and_an_unknown_version_are_told_apart() {
    let catalog = Catalog::read(&repository()).unwrap();
    let unknown = model("nothing");
    assert_eq!(catalog.resolve(&unknown, None), Err(ResolveError::Model));
    assert_eq!(catalog.aliases(&unknown), None);
    let result = catalog.resolve(&model("magika"), Some(&version("7")));
    assert_eq!(result, Err(ResolveError::Version));
}

#[test]
fn two_versions_live_side_by_side() {
    let dir = copy();
    let two = dir.path().join("identity/2");
    fs::create_dir(&two).unwrap();
    fs::copy(dir.path().join("identity/1/manifest.toml"), two.join("manifest.toml")).unwrap();
    edit(&two.join("manifest.toml"), "version = \"1\"", "version = \"2\"");
    let aliases = "aliases = { default = \"1\", next = \"2\" }";
    fs::write(dir.path().join("identity/model.toml"), aliases).unwrap();

    let catalog = Catalog::read(dir.path()).unwrap();
    let resolved = |name| {
        catalog
            .resolve(&model("identity"), name)
            .unwrap()
            .manifest
            .version
            .clone()
    };
    assert_eq!(resolved(None), version("1"));
    assert_eq!(resolved(Some(&version("next"))), version("2"));
}

#[test]
fn every_problem_is_reported_at_once() {
    let dir = copy();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("identity/model.toml"), "aliases = { newest = \"3\", 1 = \"1\" }").unwrap();
    edit(
        &path("magika/1/manifest.toml"),
        "[artifacts.config]",
        "[artifacts.other]",
    );
    edit(&path("minilm/1/manifest.toml"), "shape = [2]", "shape = [3]");
    assert_eq!(
        problems(dir.path()),
        [
            "identity/model.toml: aliases: \"default\" is missing",
            "identity/model.toml: aliases: 1 is a version already",
            "identity/model.toml: aliases: newest means version 3, which is not there",
            "magika/1/manifest.toml: artifacts.config: missing: the postprocessing needs it",
            "minilm/1/manifest.toml: example: inputs[0].data: the shape needs 3 elements, the data has 2",
        ]
    );
}

#[test]
fn folders_must_be_named_as_the_manifest_says() {
    let dir = copy();
    fs::rename(dir.path().join("magika/1"), dir.path().join("magika/2")).unwrap();
    fs::rename(dir.path().join("minilm"), dir.path().join("other")).unwrap();
    assert_eq!(
        problems(dir.path()),
        [
            "magika/2/manifest.toml: version: \"1\" is not the name of its folder",
            "magika/model.toml: aliases: default means version 1, which is not there",
            "other/1/manifest.toml: name: \"minilm\" is not the name of its folder",
        ]
    );
}

#[test]
fn an_example_is_held_against_the_signature() {
    let dir = copy();
    let manifest = dir.path().join("identity/1/manifest.toml");
    edit(&manifest, "data = [1.0,", "data = [nan,");
    let [problem] = &problems(dir.path())[..] else {
        panic!("one problem")
    };
    assert!(problem.starts_with("identity/1/manifest.toml: example: "), "{problem}");
}

#[test]
fn a_manifest_without_an_example_is_refused() {
    let dir = copy();
    let manifest = dir.path().join("identity/1/manifest.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.split("[[example]]").next().unwrap()).unwrap();
    assert_eq!(
        problems(dir.path()),
        ["identity/1/manifest.toml: example: missing: one input each is needed"]
    );
}

#[test]
fn broken_toml_is_named_with_its_line() {
    let dir = copy();
    fs::write(dir.path().join("magika/model.toml"), "aliases = { default = \"1\"\n").unwrap();
    let [problem] = &problems(dir.path())[..] else {
        panic!("one problem")
    };
    assert!(
        problem.contains("magika/model.toml: TOML parse error at line 1"),
        "{problem}"
    );
}

#[test]
fn a_folder_without_models_and_no_folder_are_problems() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        problems(dir.path()),
        [": holds no model: no folder in it has a model.toml"]
    );
    assert!(Catalog::read(&dir.path().join("nowhere")).is_err());
}
