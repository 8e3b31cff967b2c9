//! The plain form of calls: numbers, strings and the like, written as Python's `marshal` reads them.
//!
//! One call into the interpreter then reads a whole batch, while a pickle costs one for each task. What is written is a small
//! part of `marshal`'s format that has never changed. Both ends are of the same version of Python nevertheless.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyString, PyTuple};

/// Longer strings travel as pickles, which the way to the coordinator copies less often.
const STRING_BYTES_MAX: usize = 1 << 16;
/// Bits of a digit of a large integer.
const DIGIT_BITS: u32 = 15;

/// Appends a call of the function with this number; `None`, and perhaps a part of it appended, if it has no plain form.
pub(crate) fn write_call(number: u64, arguments: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> Option<()> {
    let arguments = arguments.cast_exact::<PyTuple>().ok()?;
    write_tuple(2, out)?;
    write_int(i64::try_from(number).ok()?, out);
    write_tuple(arguments.len(), out)?;
    arguments.iter_borrowed().try_for_each(|argument| write_value(&argument, out))
}

/// Only objects of exactly these types: one of a subclass is more than its number or its text.
fn write_value(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> Option<()> {
    if let Ok(int) = value.cast_exact::<PyInt>() {
        write_int(int.extract().ok()?, out);
    } else if let Ok(string) = value.cast_exact::<PyString>() {
        write_bytes(b'u', string.to_cow().ok()?.as_bytes(), out)?;
    } else if let Ok(float) = value.cast_exact::<PyFloat>() {
        out.push(b'g');
        out.extend_from_slice(&float.value().to_le_bytes());
    } else if value.is_none() {
        out.push(b'N');
    } else if let Ok(bool) = value.cast_exact::<PyBool>() {
        out.push(if bool.is_true() { b'T' } else { b'F' });
    } else {
        write_bytes(b's', value.cast_exact::<PyBytes>().ok()?.as_bytes(), out)?;
    }
    Some(())
}

/// The items follow.
fn write_tuple(items: usize, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(&[b')', u8::try_from(items).ok()?]);
    Some(())
}

fn write_bytes(kind: u8, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= STRING_BYTES_MAX)?;
    out.push(kind);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

fn write_int(value: i64, out: &mut Vec<u8>) {
    if let Ok(small) = i32::try_from(value) {
        out.push(b'i');
        out.extend_from_slice(&small.to_le_bytes());
        return;
    }
    let mut rest = value.unsigned_abs();
    let digits = (u64::BITS - rest.leading_zeros()).div_ceil(DIGIT_BITS).cast_signed();
    out.push(b'l');
    out.extend_from_slice(&(if value < 0 { -digits } else { digits }).to_le_bytes());
    for _ in 0..digits {
        out.extend_from_slice(&((rest & ((1 << DIGIT_BITS) - 1)) as u16).to_le_bytes());
        rest >>= DIGIT_BITS;
    }
}
