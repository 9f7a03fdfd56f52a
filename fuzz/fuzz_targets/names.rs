//! Every text that is parsed on its own: ids, names, spans, cursors, headers. What is read is written as it can be read again.
#![no_main]

use std::{fmt::Display, str::FromStr};

use gristmill_schemas::{
    Cursor, Datatype, Digest, Durability, JobId, JobState, KeyId, Lane, ModelName, Position, Retention, Span, TenantId,
    TraceParent, VersionName, WebhookSecret, webhook::DeliveryId,
};
use libfuzzer_sys::fuzz_target;

fn read<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        let again = read.to_string().parse::<T>();
        assert!(again.is_ok_and(|again| again == read), "{text:?}");
    }
}

fuzz_target!(|text: &str| {
    read::<JobId>(text);
    read::<DeliveryId>(text);
    read::<Cursor>(text);
    read::<Position>(text);
    read::<Digest>(text);
    read::<ModelName>(text);
    read::<VersionName>(text);
    read::<TenantId>(text);
    read::<KeyId>(text);
    read::<Span>(text);
    read::<Retention>(text);
    read::<TraceParent>(text);
    read::<Lane>(text);
    read::<JobState>(text);
    read::<Datatype>(text);
    read::<Durability>(text);
    if let Ok(secret) = text.parse::<WebhookSecret>() {
        assert_eq!(secret.reveal().parse(), Ok(secret));
    }
});
