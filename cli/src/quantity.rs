//! Times and sizes as people write them, for `value_parser`.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;

/// A time with units, or a bare number of seconds.
pub(crate) fn parse_time(text: &str) -> Result<Duration, String> {
    let time = parse_time_or_zero(text)?;
    if time.is_zero() { Err("a time of 0 leaves no room for any task".to_owned()) } else { Ok(time) }
}

/// The same where no time at all makes sense, too.
pub(crate) fn parse_time_or_zero(text: &str) -> Result<Duration, String> {
    let bare = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match bare {
        Some(time) => Ok(time),
        None => humantime::parse_duration(text)
            .map_err(|error| format!("{error}; write it as 500ms, 30s, 5m or 2h")),
    }
}

/// A number of bytes, with units.
pub(crate) fn parse_size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|_| "not a size such as 500MB or 2GiB")?;
    if size.as_u64() == 0 { Err("a size of 0 leaves no room for anything".to_owned()) } else { Ok(size) }
}

/// The same within limits, in bytes.
pub(crate) fn parse_size_within(text: &str, limits: RangeInclusive<u64>) -> Result<ByteSize, String> {
    let size = parse_size(text)?;
    let [least, most] = [*limits.start(), *limits.end()].map(|bytes| ByteSize(bytes).display().iec());
    if limits.contains(&size.as_u64()) { Ok(size) } else { Err(format!("not a size from {least} to {most}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_or_are_seconds() {
        assert_eq!(parse_time("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_time("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time_or_zero("0"), Ok(Duration::ZERO));
        for wrong in ["abc", "0", "0s", "-1", "nan", "inf", "", "1e400"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
