//! Tables for people: columns side by side, nothing else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use comfy_table::{Table, presets};

/// A table with these columns and no rows.
pub(crate) fn table<const N: usize>(columns: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(columns.map(str::to_uppercase));
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 1));
    });
    table
}

/// How long ago a moment was, in words.
pub(crate) fn ago(unix_ms: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = now.saturating_sub(Duration::from_millis(unix_ms));
    format!("{} ago", humantime::format_duration(Duration::from_secs(since.as_secs())))
}
