//! Native functions by name.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::Serialize;

use super::function::{Callable, Registered};

/// Names that an error lists before it only counts the others.
const MAX_LISTED_NAMES: usize = 20;

/// The native functions of a binary. Clones share the functions.
///
/// ```
/// use poolmap_worker::runtime::native::Registry;
///
/// let registry = Registry::new()
///     .function("add", |a: i64, b: i64| a + b)
///     .fallible("parse", |text: String| text.parse::<i64>());
/// assert_eq!(registry.names().collect::<Vec<_>>(), ["add", "parse"]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Registry {
    functions: BTreeMap<String, Registered>,
}

impl Registry {
    /// A registry with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a function of up to eight arguments, all of which can be read from JSON. What it returns is its value,
    /// written as JSON; for a `Result` whose errors shall be failures use [`fallible`](Self::fallible) instead.
    #[must_use]
    pub fn function<F, Arguments>(self, name: impl Into<String>, function: F) -> Self
    where
        F: Callable<Arguments, Value: Serialize>,
    {
        let name = name.into();
        let function = Registered::plain(name.clone(), function);
        self.with(name, function)
    }

    /// Adds a function that returns a `Result`: an error is the task's failure, with its text as the message and the
    /// name of its type as the type. There is no guessing by return type, since a `Result` is also something that JSON
    /// can carry.
    #[must_use]
    pub fn fallible<F, Arguments, Value, Error>(self, name: impl Into<String>, function: F) -> Self
    where
        F: Callable<Arguments, Value = Result<Value, Error>>,
        Value: Serialize,
        Error: Display,
    {
        let name = name.into();
        let function = Registered::fallible(name.clone(), function);
        self.with(name, function)
    }

    fn with(mut self, name: String, function: Registered) -> Self {
        self.functions.insert(name, function);
        self
    }

    /// The names of all functions, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }

    /// The function of this name.
    pub(super) fn get(&self, name: &str) -> Result<&Registered, UnknownFunction> {
        self.functions.get(name).ok_or_else(|| UnknownFunction::new(name, self))
    }
}

/// A binary has no function of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct UnknownFunction {
    name: String,
    closest: Option<String>,
    names: Vec<String>,
}

impl UnknownFunction {
    fn new(name: &str, registry: &Registry) -> Self {
        // A third of the letters wrong is another word.
        let closest = registry
            .names()
            .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
            .filter(|(distance, candidate)| distance * 3 <= candidate.chars().count().max(3))
            .min()
            .map(|(_, candidate)| candidate.to_owned());
        let names = registry.names().map(str::to_owned).collect();
        Self { name: name.to_owned(), closest, names }
    }
}

impl Display for UnknownFunction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "this binary has no native function `{}`", self.name)?;
        if let Some(closest) = &self.closest {
            write!(out, "; did you mean `{closest}`?")?;
        }
        if self.names.is_empty() {
            return write!(out, "\nit has none at all: build one of your own with poolmap::main(registry)");
        }
        let (listed, others) = self.names.split_at(self.names.len().min(MAX_LISTED_NAMES));
        write!(out, "\nit has: {}", listed.join(", "))?;
        match others.len() {
            0 => Ok(()),
            count => write!(out, " and {count} more"),
        }
    }
}
