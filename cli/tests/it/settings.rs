//! What happens to command lines and settings that cannot be used.

use crate::gristmill::{run, stderr};

#[test]
fn contradicting_settings_are_reported_at_once_with_exit_code_64() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, models) = (dir.path().join("keys.json"), dir.path().join("no-models"));
    let (keys, models) = (keys.to_str().unwrap(), models.to_str().unwrap());
    let ended = run(&[
        "ingest",
        "--job-id-keys",
        keys,
        "--models-dir",
        models,
        "--max-deadline",
        "48h",
        "--max-connections",
        "0",
        "--redis-url",
        "nonsense",
    ]);
    let text = stderr(&ended);
    assert_eq!(ended.status.code(), Some(64), "{text}");
    for named in ["--max-deadline", "--max-connections", "no-models", "keys.json", "store"] {
        assert!(text.contains(named), "{named} is not in: {text}");
    }
}

#[test]
fn worker_reports_its_settings_at_once_too() {
    let ended = run(&["worker", "--ack-wait", "10ms", "--prefetch", "0", "--log", "=="]);
    let text = stderr(&ended);
    assert_eq!(ended.status.code(), Some(64), "{text}");
    for named in ["--ack-wait", "--prefetch", "--log"] {
        assert!(text.contains(named), "{named} is not in: {text}");
    }
}

#[test]
fn unknown_flag_ends_with_64_and_help_with_0() {
    assert_eq!(run(&["up", "--nonsense"]).status.code(), Some(64));
    assert_eq!(
        run(&["up", "--port", "8080", "--admin-port", "8080"]).status.code(),
        Some(64)
    );
    assert_eq!(run(&["--version"]).status.code(), Some(0));
    assert_eq!(run(&[]).status.code(), Some(64));
}

#[test]
fn server_that_does_not_answer_is_an_error_of_one_line() {
    let ended = run(&["models", "--url", "http://127.0.0.1:1", "--api-key", "gm_x"]);
    assert_eq!(ended.status.code(), Some(1));
    let text = stderr(&ended);
    assert!(
        text.starts_with("error: http://127.0.0.1:1/ does not answer") && text.lines().count() == 1,
        "{text}"
    );
}
