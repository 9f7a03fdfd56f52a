//! The help text of every command, as snapshots: a flag, a variable or a default that changes is seen in review.
//!
//! insta and no whole-transcript tool, as texts are all that is compared, and other tests here use it. `INSTA_UPDATE=always`
//! writes the snapshots anew.

use crate::gristmill::{run, stdout};

const COMMANDS: [&[&str]; 34] = [
    &[],
    &["up"],
    &["ingest"],
    &["worker"],
    &["submit"],
    &["job"],
    &["job", "get"],
    &["job", "watch"],
    &["job", "cancel"],
    &["job", "lineage"],
    &["dlq"],
    &["dlq", "list"],
    &["dlq", "show"],
    &["dlq", "redrive"],
    &["dlq", "drop"],
    &["models"],
    &["keys"],
    &["keys", "create"],
    &["keys", "list"],
    &["keys", "revoke"],
    &["readers"],
    &["readers", "create"],
    &["readers", "list"],
    &["readers", "delete"],
    &["tenants"],
    &["tenants", "set"],
    &["tenants", "list"],
    &["webhooks"],
    &["webhooks", "set"],
    &["webhooks", "rotate"],
    &["webhooks", "list"],
    &["webhooks", "delete"],
    &["access"],
    &["loadtest"],
];

#[test]
fn help_of_every_command_is_as_reviewed() {
    for command in COMMANDS {
        let args: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let shown = run(&args);
        assert!(shown.status.success(), "{command:?}");
        let name = ["gristmill"]
            .iter()
            .chain(command)
            .copied()
            .collect::<Vec<_>>()
            .join("_");
        insta::assert_snapshot!(name, stdout(&shown));
    }
}

#[test]
fn every_command_is_in_the_list_above() {
    let parents = COMMANDS.iter().filter(|command| command.len() < 2);
    for parent in parents {
        let args: Vec<&str> = parent.iter().copied().chain(["--help"]).collect();
        let text = stdout(&run(&args));
        let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
        for line in listed.take_while(|line| !line.is_empty()) {
            let name = line.split_whitespace().next().unwrap_or_default();
            let known = |command: &&[&str]| command.split_last() == Some((&name, parent));
            assert!(name == "help" || COMMANDS.iter().any(known), "{parent:?} {name}");
        }
    }
}

#[test]
fn values_of_variables_are_not_shown() {
    let mut command = crate::gristmill::command(&["submit", "--help"]);
    let shown = command.env("GRISTMILL_API_KEY", "gm_secret").output().unwrap();
    let text = stdout(&shown);
    assert!(
        text.contains("GRISTMILL_API_KEY") && !text.contains("gm_secret"),
        "{text}"
    );
}
