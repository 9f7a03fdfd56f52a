//! Queries of requests.

use axum::{extract::Query, http::Uri};
use gristmill_schemas::{Refusal, RefusalCode};
use serde::de::DeserializeOwned;

/// Reads a query's parameters.
///
/// # Errors
/// `invalid_value`.
pub(crate) fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    match Query::try_from_uri(uri) {
        Ok(Query(parameters)) => Ok(parameters),
        Err(_) => Err(Refusal::new(RefusalCode::InvalidValue, "the query cannot be read").at("query")),
    }
}
