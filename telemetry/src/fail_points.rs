//! Places where a test may break a process: named, and switched on by the environment variable `FAILPOINTS` at start
//! (`name=action;…`, as the crate `fail` reads it). Without the feature `fail-points`, as in every build for users, there
//! are none: what asks for one is compiled to nothing.
//!
//! Names that begin with `bug-` are defects on purpose: the suite of faults has to notice each of them.

#[cfg(feature = "fail-points")]
mod armed {
    use std::sync::{Mutex, PoisonError};

    static THREAD: Mutex<()> = Mutex::new(());

    /// Reads `FAILPOINTS`; once, first thing.
    pub fn arm() {
        // what it would undo at its end is to hold for as long as the process lives
        std::mem::forget(fail::FailScenario::setup());
    }

    /// Whether a place is switched on (`return`); another action (`sleep(100)`) happens here.
    #[must_use]
    pub fn is_on(name: &str) -> bool {
        fail::fail_point!(name, |_| true);
        false
    }

    /// Acts, one after another with all who act by this, if this place is switched on: as if they were one thread.
    pub fn as_one_thread<T>(name: &str, act: impl FnOnce() -> T) -> T {
        let _turn = is_on(name).then(|| THREAD.lock().unwrap_or_else(PoisonError::into_inner));
        act()
    }
}

#[cfg(not(feature = "fail-points"))]
mod armed {
    /// Reads nothing.
    pub const fn arm() {}

    /// Never.
    #[must_use]
    #[inline]
    pub const fn is_on(_name: &str) -> bool {
        false
    }

    /// Acts.
    #[inline]
    pub fn as_one_thread<T>(_name: &str, act: impl FnOnce() -> T) -> T {
        act()
    }
}

pub use armed::{arm, as_one_thread, is_on};

/// Does what this place is switched on for: `sleep(1000)`, say.
#[inline]
pub fn pause_at(name: &str) {
    let _ = is_on(name);
}

/// Ends the process as a crash would, if this place is switched on.
#[inline]
pub fn die_at(name: &str) {
    if is_on(name) {
        std::process::abort();
    }
}
