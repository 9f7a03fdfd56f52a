//! The small text types: names, spans, times, digests and trace parents.

use gristmill_schemas::{Digest, KeyId, ModelName, Span, TenantId, Timestamp, TraceParent, VersionName, codec};
use proptest::prelude::*;

#[test]
fn names_take_what_is_safe_everywhere_and_nothing_else() {
    for name in ["a", "0", "minilm", "all-minilm_l6", "a--", &"a".repeat(32)] {
        assert!(name.parse::<ModelName>().is_ok(), "{name:?}");
        assert!(name.parse::<VersionName>().is_ok(), "{name:?}");
        assert!(name.parse::<TenantId>().is_ok(), "{name:?}");
        assert!(name.parse::<KeyId>().is_ok(), "{name:?}");
    }
    let wrong = [
        "", "-a", "_a", ".", "..", "a.b", "*", ">", "a*", "a/b", "../a", "A", "ä", "a b", "a\n", "a\0", "{a}", "a:b",
        "a=b", "%2e", "ａ",
    ];
    for name in wrong {
        assert!(name.parse::<ModelName>().is_err(), "{name:?}");
        assert!(name.parse::<TenantId>().is_err(), "{name:?}");
        assert!(serde_json::from_value::<VersionName>(name.into()).is_err(), "{name:?}");
        assert!(codec::decode_part::<KeyId>(&codec::encode(&name)).is_err(), "{name:?}");
    }
}

#[test]
fn names_end_at_their_longest() {
    assert!("a".repeat(64).parse::<ModelName>().is_ok());
    assert!("a".repeat(65).parse::<ModelName>().is_err());
    assert!("a".repeat(33).parse::<VersionName>().is_err());
    assert!("a".repeat(64).parse::<TenantId>().is_ok());
    assert!("a".repeat(33).parse::<KeyId>().is_err());
}

#[test]
fn spans_are_written_as_people_write_them() {
    let span = |text: &str| text.parse::<Span>().map(Span::as_millis);
    assert_eq!(span("250ms"), Ok(250));
    assert_eq!(span("30s"), Ok(30_000));
    assert_eq!(span("1m 30s"), Ok(90_000));
    assert_eq!(span("2h"), Ok(7_200_000));
    assert_eq!(span("4294967295ms"), Ok(u32::MAX));
    for wrong in [
        "",
        "30",
        "-1s",
        "0s",
        "0ms",
        "1us",
        "1.5",
        "4294967296ms",
        "50days",
        "99999999999999999999s",
        "s",
    ] {
        assert!(span(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn times_are_rfc_3339_for_people() {
    let time = Timestamp::from_micros(1_700_000_000_123_456);
    assert_eq!(time.to_string(), "2023-11-14T22:13:20.123456Z");
    assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000000Z");
    assert_eq!(
        Timestamp::from_micros(u64::MAX).to_string(),
        "9999-12-31T23:59:59.999999Z"
    );
    for wrong in [
        "",
        "yesterday",
        "2023-11-14",
        "2023-13-14T22:13:20Z",
        "2023-11-14T22:13:20+01:00",
    ] {
        assert!(serde_json::from_value::<Timestamp>(wrong.into()).is_err(), "{wrong:?}");
    }
}

#[test]
fn time_arithmetic_saturates() {
    let (early, late) = (Timestamp::from_micros(5), Timestamp::from_micros(u64::MAX));
    assert_eq!(early.since(late), std::time::Duration::ZERO);
    assert_eq!(late.plus(std::time::Duration::MAX), late);
    assert_eq!(Timestamp::from_millis(u64::MAX), late);
    assert_eq!(early.plus(std::time::Duration::from_millis(2)).as_micros(), 2_005);
}

#[test]
fn digest_is_read_with_and_without_its_prefix() {
    let digest = Digest::of(b"grain");
    assert_eq!(digest.to_string().parse(), Ok(digest));
    assert_eq!(digest.hex().parse(), Ok(digest));
    let hex = digest.hex();
    for wrong in [
        "",
        "sha256:",
        &hex[1..],
        &hex.to_uppercase(),
        &format!("sha512:{hex}"),
        &format!("{hex}00"),
    ] {
        assert!(wrong.parse::<Digest>().is_err(), "{wrong:?}");
    }
}

#[test]
fn trace_parent_is_read_and_written_as_w3c_has_it() {
    let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let parent: TraceParent = text.parse().unwrap();
    assert_eq!(parent.to_string(), text);
    assert_eq!(parent.trace_id(), &text[3..35]);
    let child = parent.child([1; 8]).to_string();
    assert_eq!(child, "00-4bf92f3577b34da6a3ce929d0e0e4736-0101010101010101-01");
    let wrong = [
        "",
        "00",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e47-00f067aa0ba902b7-01",
    ];
    for text in wrong {
        assert!(text.parse::<TraceParent>().is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn spans_come_back(millis in 1_u32..) {
        let span = Span::from_millis(millis);
        prop_assert_eq!(span.to_string().parse::<Span>(), Ok(span));
        prop_assert_eq!(codec::decode_part::<Span>(&codec::encode(&span)), Ok(span));
    }

    #[test]
    fn times_come_back(micros in 0_u64..=253_402_300_799_999_999) {
        let time = Timestamp::from_micros(micros);
        let json = serde_json::to_value(time).unwrap();
        prop_assert_eq!(serde_json::from_value::<Timestamp>(json).unwrap(), time);
        prop_assert_eq!(codec::decode_part::<Timestamp>(&codec::encode(&time)), Ok(time));
    }

    #[test]
    fn any_text_parses_or_is_refused_but_never_panics(text in "\\PC{0,60}") {
        let _ = (text.parse::<Span>(), text.parse::<TraceParent>(), text.parse::<Digest>(), text.parse::<ModelName>());
    }
}
