//! The names of columns.

use std::collections::HashSet;

use bytes::Bytes;

use super::error::Problem;

/// Checks that every column has a name of its own.
pub(super) fn check<'a>(names: impl Iterator<Item = &'a [u8]>) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    for (place, name) in names.enumerate() {
        if name.is_empty() {
            return Err(Problem::UnnamedColumn { column: place + 1 });
        }
        if !seen.insert(name) {
            return Err(Problem::SameName { name: String::from_utf8_lossy(name).into_owned() });
        }
    }
    Ok(())
}

/// The names that a row of values holds, each followed by a NUL.
pub(super) fn names(values: &[u8]) -> Result<Vec<Bytes>, Problem> {
    let names = || values.strip_suffix(b"\0").unwrap_or(values).split(|&byte| byte == 0);
    check(names())?;
    Ok(names().map(Bytes::copy_from_slice).collect())
}
