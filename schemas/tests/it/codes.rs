//! The closed sets of words that clients branch on: unique, stable, and the same in every encoding.

use std::{collections::BTreeSet, fmt::Debug};

use gristmill_schemas::{Datatype, FailureCode, JobState, Lane, RefusalCode};
use serde::{Serialize, de::DeserializeOwned};

/// Each value's word is its own alone, is what serde writes, and is read back.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug + Copy>(all: &[T], word: impl Fn(T) -> String) {
    let words: BTreeSet<String> = all.iter().map(|value| word(*value)).collect();
    assert_eq!(words.len(), all.len(), "{words:?}");
    for value in all {
        let word = serde_json::Value::from(word(*value));
        assert_eq!(serde_json::to_value(value).unwrap(), word);
        assert_eq!(serde_json::from_value::<T>(word).unwrap(), *value);
    }
}

#[test]
fn every_refusal_code_has_a_word_of_its_own() {
    check(RefusalCode::ALL, |code| code.to_string());
    check(RefusalCode::ALL, |code| code.row().word.to_owned());
}

#[test]
fn every_failure_code_has_a_word_of_its_own() {
    check(&FailureCode::ALL, |code| code.to_string());
    check(&FailureCode::ALL, |code| code.as_str().to_owned());
}

#[test]
fn no_word_is_both_a_refusal_and_a_failure() {
    let refusals: BTreeSet<String> = RefusalCode::ALL.iter().map(ToString::to_string).collect();
    assert!(
        FailureCode::ALL
            .iter()
            .all(|code| !refusals.contains(&code.to_string()))
    );
}

#[test]
fn every_state_lane_and_datatype_has_a_word_of_its_own() {
    check(&JobState::ALL, |state| state.to_string());
    check(&Lane::ALL, |lane| lane.to_string());
    check(&Datatype::ALL, |datatype| datatype.to_string());
    assert!(
        JobState::ALL
            .iter()
            .all(|state| state.to_string().parse() == Ok(*state))
    );
    assert!(Lane::ALL.iter().all(|lane| lane.to_string().parse() == Ok(*lane)));
    assert!(
        Datatype::ALL
            .iter()
            .all(|datatype| datatype.to_string().parse() == Ok(*datatype))
    );
}

#[test]
fn statuses_are_ones_that_http_and_grpc_have() {
    for code in RefusalCode::ALL {
        let row = code.row();
        assert!((400..=504).contains(&row.http), "{code}: {}", row.http);
        assert!((1..=16).contains(&row.grpc), "{code}: {}", row.grpc);
        assert!(!row.title.is_empty() && !row.title.ends_with('.'), "{code}");
    }
    for code in FailureCode::ALL {
        let (http, grpc) = code.statuses();
        assert!((400..=504).contains(&http) && (1..=16).contains(&grpc), "{code}");
    }
}
