//! The process's one ONNX Runtime: where its library lies, loading it, and which version it is.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ort::{environment::Environment, logging::LogLevel};

use super::EngineError;

/// Where `make setup` puts the library, below a folder of the project.
const PLACES: [&str; 2] = [
    ".gristmill/lib/libonnxruntime.so",
    ".gristmill/lib/libonnxruntime.dylib",
];

/// The variable, and its value, without which ONNX Runtime 1.31 writes down what it runs and sends it to its maker; its own
/// switch in the session's environment does not stop that. It is read when the library is loaded.
pub const NO_REPORTS: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

/// How models are run.
#[derive(Debug, Clone, clap::Args)]
pub struct EngineArgs {
    /// ONNX Runtime's library [default: .gristmill/lib/libonnxruntime.so or .dylib here or in a folder above]
    #[arg(long, env = "GRISTMILL_ONNXRUNTIME", value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// Sessions a model: batches of it that run at the same time, each in a thread of its own
    #[arg(long, env = "GRISTMILL_SESSIONS", default_value_t = 1, value_parser = count)]
    pub sessions: usize,
    /// Threads of one session; more sessions usually gain more than more threads
    #[arg(long, env = "GRISTMILL_SESSION_THREADS", default_value_t = 1, value_parser = count)]
    pub session_threads: usize,
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=256) => Ok(count),
        Ok(_) | Err(_) => Err("expected a number from 1 to 256".to_owned()),
    }
}

/// ONNX Runtime, loaded. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Runtime {
    environment: Environment,
    version: String,
}

impl Runtime {
    /// Loads the library. ONNX Runtime allows one environment a process, so every further call gets the first one's.
    ///
    /// # Errors
    /// [`EngineError::Library`] if it is not there, is another thing, another library was loaded before, or
    /// [`NO_REPORTS`] is not set: nobody's models are to be reported to anybody.
    pub fn load(args: &EngineArgs) -> Result<Self, EngineError> {
        static LOADED: Mutex<Option<(PathBuf, Runtime)>> = Mutex::new(None);
        let path = match &args.onnxruntime {
            Some(path) => path.clone(),
            None => find(&env::current_dir().unwrap_or_default())?,
        };
        let shown = path.clone();
        let failed = |problem: &str| EngineError::Library {
            path: shown.clone(),
            problem: problem.to_owned(),
        };
        if !path.is_file() {
            return Err(failed("there is no such file"));
        }
        let (variable, value) = NO_REPORTS;
        if env::var_os(variable).is_none_or(|set| set != value) {
            return Err(failed(&format!(
                "{variable}={value} must be set, or it reports to its maker"
            )));
        }
        let path = path.canonicalize().map_err(|error| failed(&error.to_string()))?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some((first, runtime)) if *first == path => Ok(runtime.clone()),
            Some((first, _)) => Err(failed(&format!("this process has loaded {} already", first.display()))),
            None => {
                let runtime = Self::load_first(&path).map_err(|problem| failed(&problem))?;
                *loaded = Some((path, runtime.clone()));
                Ok(runtime)
            }
        }
    }

    fn load_first(path: &Path) -> Result<Self, String> {
        let builder = ort::init_from(path).map_err(|error| error.to_string())?;
        let environment = builder.with_name("gristmill").with_telemetry(false).build();
        let environment = environment.map_err(|error| error.to_string())?;
        environment.set_log_level(LogLevel::Warning);
        let version = version_in(path).map_err(|error| error.to_string())?;
        Ok(Self {
            environment,
            version: format!("onnxruntime {version}"),
        })
    }

    /// The engine and its version, as `onnxruntime 1.31.1`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The execution provider.
    #[must_use]
    pub const fn provider(&self) -> &'static str {
        "cpu"
    }

    pub(super) const fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// The library, in this folder or the nearest above it that has one.
fn find(folder: &Path) -> Result<PathBuf, EngineError> {
    let mut candidates = folder
        .ancestors()
        .flat_map(|above| PLACES.iter().map(|place| above.join(place)));
    candidates
        .find(|path| path.is_file())
        .ok_or_else(|| EngineError::Library {
            path: folder.join(PLACES[0]),
            problem: "it is neither here nor in a folder above: `make setup` fetches it".to_owned(),
        })
}

/// The version as the library's symbol table (Linux) or install name (macOS) has it. The C function that tells it is
/// behind an unsafe call, which this workspace does without.
fn version_in(path: &Path) -> io::Result<String> {
    let library = fs::read(path)?;
    let version = [&b"VERS_"[..], b"libonnxruntime."]
        .iter()
        .flat_map(|mark| memchr::memmem::find_iter(&library, mark).map(|at| &library[at + mark.len()..]))
        .find_map(leading_version);
    Ok(version.unwrap_or_else(|| "of unknown version".to_owned()))
}

/// `1.31.1` of `1.31.1\0…` or `1.31.1.dylib\0…`.
fn leading_version(text: &[u8]) -> Option<String> {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit() && *byte != b'.')?
        .min(32);
    let version = std::str::from_utf8(&text[..end]).ok()?.trim_end_matches('.');
    (version.split('.').count() == 3).then(|| version.to_owned())
}
