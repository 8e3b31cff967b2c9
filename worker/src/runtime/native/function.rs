//! How a Rust function is called over JSON.

use std::any::type_name;
use std::fmt::{self, Debug, Display};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::exception;
use crate::slot::record::Failure;

/// A function that can be called with a JSON array of arguments.
///
/// Implemented for all functions and closures of up to eight arguments that can be read from JSON; `Arguments` is
/// the tuple of their types.
pub trait Callable<Arguments>: Send + Sync + 'static {
    /// What the function returns.
    type Value;

    /// Calls the function. The error says how the arguments differ from what it takes.
    fn call(&self, arguments: &[u8]) -> Result<Self::Value, String>;
}

impl<Function, Value> Callable<()> for Function
where
    Function: Fn() -> Value + Send + Sync + 'static,
{
    type Value = Value;

    fn call(&self, arguments: &[u8]) -> Result<Value, String> {
        // A unit would be read from `null`, an array of nothing is read from `[]`.
        match serde_json::from_slice::<[(); 0]>(arguments) {
            Ok([]) => Ok(self()),
            Err(error) => Err(explain(arguments, &[], &error)),
        }
    }
}

macro_rules! native_function {
    ($($argument:ident: $type:ident),+) => {
        impl<Function, Value, $($type),+> Callable<($($type,)+)> for Function
        where
            Function: Fn($($type),+) -> Value + Send + Sync + 'static,
            $($type: DeserializeOwned,)+
        {
            type Value = Value;

            fn call(&self, arguments: &[u8]) -> Result<Value, String> {
                match serde_json::from_slice::<($($type,)+)>(arguments) {
                    Ok(($($argument,)+)) => Ok(self($($argument),+)),
                    Err(error) => Err(explain(arguments, &[$(check::<$type>),+], &error)),
                }
            }
        }
    };
}

native_function!(a: A);
native_function!(a: A, b: B);
native_function!(a: A, b: B, c: C);
native_function!(a: A, b: B, c: C, d: D);
native_function!(a: A, b: B, c: C, d: D, e: E);
native_function!(a: A, b: B, c: C, d: D, e: E, f: F);
native_function!(a: A, b: B, c: C, d: D, e: E, f: F, g: G);
native_function!(a: A, b: B, c: C, d: D, e: E, f: F, g: G, h: H);

/// Whether one argument can be read.
type Check = fn(&RawValue) -> serde_json::Result<()>;

fn check<T: DeserializeOwned>(argument: &RawValue) -> serde_json::Result<()> {
    serde_json::from_str::<T>(argument.get()).map(drop)
}

/// Finds out, now that time no longer matters, why arguments could not be read.
fn explain(arguments: &[u8], checks: &[Check], error: &serde_json::Error) -> String {
    let Ok(given) = serde_json::from_slice::<Vec<&RawValue>>(arguments) else {
        return format!("its arguments are not a JSON array: {}", without_position(error));
    };
    if given.len() != checks.len() {
        let plural = if checks.len() == 1 { "" } else { "s" };
        return format!("it takes {} argument{plural} and was given {}", checks.len(), given.len());
    }
    let wrong = given.iter().zip(checks).enumerate().find_map(|(index, (argument, check))| {
        let error = check(argument).err()?;
        Some(format!("argument {}: {}", index + 1, without_position(&error)))
    });
    wrong.unwrap_or_else(|| without_position(error))
}

/// The error without its line and column, which are those of a text that users never see.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned()
}

/// A registered function, whatever its types.
#[derive(Clone)]
pub(super) struct Registered(Arc<Erased>);

/// Reads the arguments from JSON, and appends the value as JSON.
type Erased = dyn Fn(&[u8], &mut Vec<u8>) -> Result<(), Failure> + Send + Sync;

impl Registered {
    pub(super) fn plain<F, Arguments>(name: String, function: F) -> Self
    where
        F: Callable<Arguments, Value: Serialize>,
    {
        Self(Arc::new(move |arguments, value| {
            let returned = function.call(arguments).map_err(|reason| mismatch(&name, &reason))?;
            write(&returned, value)
        }))
    }

    pub(super) fn fallible<F, Arguments, Value, Error>(name: String, function: F) -> Self
    where
        F: Callable<Arguments, Value = Result<Value, Error>>,
        Value: Serialize,
        Error: Display,
    {
        Self(Arc::new(move |arguments, value| {
            match function.call(arguments).map_err(|reason| mismatch(&name, &reason))? {
                Ok(returned) => write(&returned, value),
                // The alternate form shows the causes too, where an error type knows them.
                Err(error) => Err(exception(&short_name(type_name::<Error>()), format!("{error:#}"))),
            }
        }))
    }

    pub(super) fn call(&self, arguments: &[u8], value: &mut Vec<u8>) -> Result<(), Failure> {
        (self.0)(arguments, value)
    }
}

impl Debug for Registered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Registered")
    }
}

fn mismatch(name: &str, reason: &str) -> Failure {
    exception("ArgumentError", format!("cannot call {name}: {reason}"))
}

fn write<T: Serialize>(returned: &T, value: &mut Vec<u8>) -> Result<(), Failure> {
    serde_json::to_writer(value, returned).map_err(|error| {
        let returned = short_name(type_name::<T>());
        exception("ValueError", format!("a value of type {returned} cannot be written as JSON: {error}"))
    })
}

/// A type's name without the paths of modules: `Vec<String>` for `alloc::vec::Vec<alloc::string::String>`.
fn short_name(name: &str) -> String {
    let mut short = String::new();
    let mut last_word = 0;
    for letter in name.chars() {
        short.push(letter);
        if short.ends_with("::") {
            short.truncate(last_word);
        } else if !(letter.is_alphanumeric() || letter == '_' || letter == ':') {
            last_word = short.len();
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_lose_their_paths() {
        assert_eq!(short_name(type_name::<Vec<Option<String>>>()), "Vec<Option<String>>");
        assert_eq!(short_name(type_name::<Box<dyn std::error::Error>>()), "Box<dyn Error>");
        assert_eq!(short_name(type_name::<std::io::Error>()), "Error");
    }

    #[test]
    fn arguments_that_do_not_fit_are_explained() {
        let explained = |json: &str| {
            let function = |count: u32, name: String| format!("{name}{count}");
            Callable::<(u32, String)>::call(&function, json.as_bytes())
        };
        assert_eq!(explained(r#"[1, "x"]"#), Ok("x1".to_owned()));
        for (json, expected) in [
            ("[1]", "it takes 2 arguments and was given 1"),
            (r#"[1, "x", 2]"#, "it takes 2 arguments and was given 3"),
            (r#"["x", "y"]"#, r#"argument 1: invalid type: string "x", expected u32"#),
            (r#"[-1, "y"]"#, "argument 1: invalid value: integer `-1`, expected u32"),
            ("[1, null]", "argument 2: invalid type: null, expected a string"),
            (
                "7",
                "its arguments are not a JSON array: invalid type: integer `7`, expected a tuple of size 2",
            ),
            ("", "its arguments are not a JSON array: EOF while parsing a value"),
        ] {
            assert_eq!(explained(json), Err(expected.to_owned()), "{json}");
        }
    }

    #[test]
    fn functions_of_no_argument_and_of_eight_are_called() {
        assert_eq!(Callable::<()>::call(&|| 7, b"[]"), Ok(7));
        assert_eq!(
            Callable::<()>::call(&|| 7, b"[1]"),
            Err("it takes 0 arguments and was given 1".to_owned())
        );
        let sum = |a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8| a + b + c + d + e + f + g + h;
        assert_eq!(Callable::<(u8, u8, u8, u8, u8, u8, u8, u8)>::call(&sum, b"[1,1,1,1,1,1,1,1]"), Ok(8));
    }
}
