//! Why a request was refused before it became a job: the one closed set of codes that every door answers with.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Why a request was refused. Codes are stable: clients branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each code's sentence stands in the table below")]
pub enum RefusalCode {
    MalformedBody,
    UnsupportedMediaType,
    NotAcceptable,
    BodyTooLarge,
    BodyTimeout,
    NestingTooDeep,
    TooManyValues,
    UnknownField,
    DuplicateField,
    MissingField,
    WrongType,
    InvalidName,
    InvalidValue,
    ModelNotFound,
    VersionNotFound,
    NoInputs,
    TooManyInputs,
    InputMissing,
    InputUnknown,
    InputDuplicate,
    DatatypeUnknown,
    DatatypeMismatch,
    ShapeInvalid,
    ShapeMismatch,
    DataLengthMismatch,
    ValueOutOfRange,
    NonFinite,
    InvalidUtf8,
    ElementTooLarge,
    TooManyRows,
    InputTooLarge,
    DeadlineOutOfRange,
    MetadataTooLarge,
    Unauthenticated,
    Forbidden,
    JobNotFound,
    JobGone,
    DeadLetterNotFound,
    DeliveryNotFound,
    InputGone,
    NoOutcomeYet,
    NotSucceeded,
    AlreadyTerminal,
    IdempotencyMismatch,
    RouteNotFound,
    MethodNotAllowed,
    Overloaded,
    TenantOverQuota,
    StreamFull,
    StoreFull,
    DeadlineUnmeetable,
    PublishUnknown,
    BrokerUnavailable,
    StoreUnavailable,
    Draining,
    Internal,
}

/// One code's stable word, its HTTP and gRPC statuses and its sentence.
#[derive(Debug, Clone, Copy)]
pub struct CodeRow {
    /// The stable word.
    pub word: &'static str,
    /// HTTP status.
    pub http: u16,
    /// gRPC status.
    pub grpc: u8,
    /// The title of the problem document.
    pub title: &'static str,
}

macro_rules! codes {
    ($($code:ident $word:literal $http:literal $grpc:literal $title:literal;)*) => {
        impl RefusalCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            /// The code's row of the table.
            #[must_use]
            pub const fn row(self) -> CodeRow {
                match self {
                    $(Self::$code => CodeRow { word: $word, http: $http, grpc: $grpc, title: $title },)*
                }
            }
        }
    };
}

codes! {
    MalformedBody "malformed_body" 400 3 "The body is not well-formed";
    UnsupportedMediaType "unsupported_media_type" 415 3 "The body's media type or encoding is not supported";
    NotAcceptable "not_acceptable" 406 3 "No representation fits the Accept header";
    BodyTooLarge "body_too_large" 413 3 "The body is too large";
    BodyTimeout "body_timeout" 408 4 "The body did not arrive in time";
    NestingTooDeep "nesting_too_deep" 400 3 "The body nests too deep";
    TooManyValues "too_many_values" 400 3 "The body holds too many values outside of tensors";
    UnknownField "unknown_field" 400 3 "A field is not known";
    DuplicateField "duplicate_field" 400 3 "A field stands there twice";
    MissingField "missing_field" 400 3 "A field is missing";
    WrongType "wrong_type" 400 3 "A field has the wrong type";
    InvalidName "invalid_name" 400 3 "A name has characters or a length that is not allowed";
    InvalidValue "invalid_value" 400 3 "A value is not allowed";
    ModelNotFound "model_not_found" 404 5 "There is no such model";
    VersionNotFound "version_not_found" 404 5 "The model has no such version or alias";
    NoInputs "no_inputs" 400 3 "There are no inputs";
    TooManyInputs "too_many_inputs" 400 3 "There are too many inputs";
    InputMissing "input_missing" 400 3 "An input of the model is missing";
    InputUnknown "input_unknown" 400 3 "The model has no such input";
    InputDuplicate "input_duplicate" 400 3 "An input stands there twice";
    DatatypeUnknown "datatype_unknown" 400 3 "There is no such datatype";
    DatatypeMismatch "datatype_mismatch" 400 3 "The model's input has another datatype";
    ShapeInvalid "shape_invalid" 400 3 "The shape is not one a tensor can have";
    ShapeMismatch "shape_mismatch" 400 3 "The shape does not fit the model's input";
    DataLengthMismatch "data_length_mismatch" 400 3 "The data does not fill the shape";
    ValueOutOfRange "value_out_of_range" 400 3 "A value does not fit the datatype";
    NonFinite "non_finite" 400 3 "The model refuses NaN and infinities";
    InvalidUtf8 "invalid_utf8" 400 3 "A text is not UTF-8";
    ElementTooLarge "element_too_large" 400 3 "An element is too large";
    TooManyRows "too_many_rows" 400 3 "The job has too many rows";
    InputTooLarge "input_too_large" 413 3 "The inputs are too large";
    DeadlineOutOfRange "deadline_out_of_range" 400 3 "The deadline is too short or too long";
    MetadataTooLarge "metadata_too_large" 400 3 "The metadata or provenance is too large";
    Unauthenticated "unauthenticated" 401 16 "A valid API key is needed";
    Forbidden "forbidden" 403 7 "The API key does not allow this";
    JobNotFound "job_not_found" 404 5 "There is no such job";
    JobGone "job_gone" 410 5 "The job's retention has passed";
    DeadLetterNotFound "dead_letter_not_found" 404 5 "There is no such dead letter";
    DeliveryNotFound "delivery_not_found" 404 5 "There is no such delivery";
    InputGone "input_gone" 410 5 "The inputs are not kept any more";
    NoOutcomeYet "no_outcome_yet" 409 9 "The job has no outcome yet";
    NotSucceeded "not_succeeded" 409 9 "The job did not succeed, so there is no result";
    AlreadyTerminal "already_terminal" 409 9 "The job has ended already";
    IdempotencyMismatch "idempotency_mismatch" 422 3 "The idempotency key was used with another body";
    RouteNotFound "route_not_found" 404 12 "There is nothing at this path";
    MethodNotAllowed "method_not_allowed" 405 12 "The path does not take this method";
    Overloaded "overloaded" 429 8 "There is too much waiting already";
    TenantOverQuota "tenant_over_quota" 429 8 "The tenant has too many jobs waiting";
    StreamFull "stream_full" 503 8 "The stream has no room";
    StoreFull "store_full" 503 8 "The store has no room";
    DeadlineUnmeetable "deadline_unmeetable" 503 8 "The deadline cannot be met by the measured drain rate";
    PublishUnknown "publish_unknown" 503 14 "It is not known whether the job was accepted";
    BrokerUnavailable "broker_unavailable" 503 14 "The broker cannot be reached";
    StoreUnavailable "store_unavailable" 503 14 "The store cannot be reached";
    Draining "draining" 503 14 "This server is shutting down";
    Internal "internal" 500 13 "Something is wrong on our side";
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().word)
    }
}

/// A refusal as its receiver sees it. It never repeats what the client sent beyond names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// Why.
    pub code: RefusalCode,
    /// Which field, as a path: `inputs[0].shape`.
    pub field: Option<String>,
    /// The limit it broke, with its unit: `8388608 bytes`.
    pub limit: Option<String>,
    /// One sentence about this very request.
    pub detail: String,
    /// When to come back.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with its sentence.
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            field: None,
            limit: None,
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// The same, naming the field.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same, naming the limit with its unit.
    #[must_use]
    pub fn limit(mut self, limit: impl fmt::Display) -> Self {
        self.limit = Some(limit.to_string());
        self
    }

    /// The same, saying when to come back.
    #[must_use]
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}
