//! How the contract's own text types and hand-read bodies look in an OpenAPI document. Structs derive theirs.

use std::{borrow::Cow, collections::BTreeMap};

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Ref, RefOr, Schema,
        schema::{AllOfBuilder, ObjectBuilder, Type},
    },
};

use crate::{
    api::Output,
    bulk::BulkLine,
    datatype::Datatype,
    digest::Digest,
    failure::FailureCode,
    infer::InferRequest,
    job_id::JobId,
    lane::Lane,
    name::{KeyId, ModelName, TenantId, VersionName},
    outcome::JobState,
    provenance::Provenance,
    span::Span,
    time::Timestamp,
    trace::TraceParent,
    webhook::{DeliveryId, DeliveryState, WebhookSource, WebhookUrl},
};

/// Describes types that stand as text.
macro_rules! text {
    ($($type:ident $description:literal $(pattern $pattern:literal)? $(format $format:literal)? $(example $example:literal)?;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let object = ObjectBuilder::new().schema_type(Type::String).description(Some($description));
                $(let object = object.pattern(Some($pattern));)?
                $(let object = object.format(Some(utoipa::openapi::SchemaFormat::Custom($format.to_owned())));)?
                $(let object = object.examples([$example]);)?
                object.into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                stringify!($type).into()
            }
        }
    )*};
}

text! {
    JobId "A job's id." pattern "^[0-9a-v]{56}$";
    Timestamp "A time of RFC 3339, in UTC." format "date-time" example "2026-11-23T08:30:00.000000Z";
    Digest "A SHA-256 digest." pattern "^sha256:[0-9a-f]{64}$";
    ModelName "A model's name." pattern "^[a-z0-9][a-z0-9_-]{0,63}$" example "minilm";
    VersionName "A version, or an alias of one." pattern "^[a-z0-9][a-z0-9_-]{0,31}$" example "1";
    TenantId "Who owns the job." pattern "^[a-z0-9][a-z0-9_-]{0,63}$";
    KeyId "The public half of an API key." pattern "^[a-z0-9][a-z0-9_-]{0,31}$";
    WebhookUrl "Where the end of a job is told: https, at most 2048 visible ASCII characters, without user and fragment." format "uri" example "https://example.com/hooks/gristmill";
    DeliveryId "A delivery: the job's id and what it is told to." pattern "^[0-9a-v]{56}-(job|tenant)$";
    Span "A length of time, as people write it." example "30s";
    TraceParent "A W3C traceparent." example "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
}

/// Describes closed sets of words.
macro_rules! words {
    ($($type:ident $description:literal;)*) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let words = $type::ALL.iter().map(|word| word.as_str());
                let object = ObjectBuilder::new().schema_type(Type::String);
                object.description(Some($description)).enum_values(Some(words)).into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                stringify!($type).into()
            }
        }
    )*};
}

words! {
    Datatype "A tensor element's type, by its Open Inference Protocol name.";
    JobState "Where a job stands; all but `queued` are terminal.";
    FailureCode "Why an accepted job failed.";
    DeliveryState "Where a webhook's delivery stands: `failed` is not tried again by itself.";
    WebhookSource "Whose webhook it is: the `job` named it, or it is set for the `tenant`.";
    Lane "Which queue of its model a job waits in: `interactive` goes first.";
}

/// A tensor: name, datatype, shape and data that fill it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read and written by hand")]
pub struct TensorBody {
    /// The tensor's name in the model's signature.
    name: String,
    datatype: Datatype,
    /// The dimensions, rows first.
    shape: Vec<u64>,
    /// In JSON the elements, flat or nested as the shape; in MessagePack one byte string of raw little-endian elements
    /// (BYTES: each behind its length as u32 little-endian).
    #[schema(value_type = Vec<serde_json::Value>)]
    data: (),
    /// How BYTES elements stand in JSON: `text` (default) or `base64`.
    #[schema(value_type = Option<String>)]
    encoding: (),
}

impl PartialSchema for Output {
    fn schema() -> RefOr<Schema> {
        TensorBody::schema()
    }
}

impl ToSchema for Output {
    fn name() -> Cow<'static, str> {
        "TensorBody".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        TensorBody::schemas(schemas);
    }
}

/// A request to run a model. Unknown fields are refused.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read by hand")]
pub struct InferRequestBody {
    model: ModelName,
    /// A version or an alias; the alias `default` if absent.
    version: Option<VersionName>,
    /// 1 to 64 inputs, in any order.
    inputs: Vec<TensorBody>,
    lane: Option<Lane>,
    /// How long the job may wait for its outcome.
    deadline: Option<Span>,
    /// Where the input came from; it becomes lineage.
    provenance: Option<Provenance>,
    /// The caller's own labels: at most 16 pairs of at most 256 characters.
    metadata: Option<BTreeMap<String, String>>,
    /// Where the end of the job is to be told, once it has ended (Standard Webhooks). The tenant needs a signing secret for it.
    webhook: Option<WebhookUrl>,
}

impl PartialSchema for InferRequest {
    fn schema() -> RefOr<Schema> {
        InferRequestBody::schema()
    }
}

impl ToSchema for InferRequest {
    fn name() -> Cow<'static, str> {
        "InferRequest".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        InferRequestBody::schemas(schemas);
    }
}

impl PartialSchema for BulkLine {
    fn schema() -> RefOr<Schema> {
        let key = ObjectBuilder::new().schema_type(Type::String);
        let key = key.description(Some(
            "1 to 255 visible characters: the same key and line mean the same job.",
        ));
        let more = ObjectBuilder::new().property("idempotency_key", key);
        let all = AllOfBuilder::new().item(Ref::from_schema_name(InferRequest::name()));
        all.item(more)
            .description(Some("A request, and under which key it may be sent again."))
            .into()
    }
}

impl ToSchema for BulkLine {
    fn name() -> Cow<'static, str> {
        "BulkLine".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((InferRequest::name().into_owned(), InferRequest::schema()));
        InferRequest::schemas(schemas);
    }
}
