//! What a native task asks for: its arguments, and perhaps a function of its own.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::exception;
use crate::slot::record::Failure;

/// A task's payload.
pub(super) struct Payload<'a> {
    /// A JSON array.
    pub(super) arguments: &'a [u8],
    /// The name of another function than the job's.
    pub(super) function: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(default)]
    kwargs: Option<serde_json::Map<String, serde_json::Value>>,
    function: Option<String>,
}

impl<'a> Payload<'a> {
    /// An array is the arguments themselves, and by far the most frequent form: its inside is left to the function.
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, Failure> {
        let payload = payload.trim_ascii_start();
        if payload.starts_with(b"{") {
            return Self::parse_object(payload);
        }
        Ok(Self { arguments: payload, function: None })
    }

    fn parse_object(payload: &'a [u8]) -> Result<Self, Failure> {
        let object: Object<'_> = serde_json::from_slice(payload)
            .map_err(|error| exception("ArgumentError", format!("the task cannot be read: {error}")))?;
        if object.kwargs.is_some_and(|named| !named.is_empty()) {
            let message = "native functions take positional arguments; give them in `args`".to_owned();
            return Err(exception("ArgumentError", message));
        }
        let arguments = object.args.map_or(b"[]".as_slice(), |args| args.get().as_bytes());
        Ok(Self { arguments, function: object.function })
    }
}
