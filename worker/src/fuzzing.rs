//! What the fuzzer calls, and the tests that replay its stored corpus: bytes from peers, given to the code that reads them in
//! production. Not part of any other build.

use std::cell::RefCell;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use bytes::Bytes;
use poolmap_proto::v1::Command;
use tokio::runtime::Runtime;

use crate::runtime::command::template::{Template, values};
use crate::runtime::native::{Natives, Registry};
use crate::slot::driver::trial;
use crate::slot::map::SlotMap;
use crate::slot::serve::serve;

/// What fits into a socket's buffer in one piece.
const MAX_SOCKET_BYTES: usize = 64 << 10;
/// Separates the parts of a template's input; no UTF-8 text has them.
const SECTION: u8 = 0xff;
const ITEM: u8 = 0xfe;

/// A runner that claims, writes and sends whatever the script says: see [`trial`].
///
/// # Panics
///
/// If what a slot reports of its batches does not add up.
pub fn runner_bytes(script: &[u8]) {
    thread_local! {
        static RUNTIME: RefCell<std::io::Result<Runtime>> =
            RefCell::new(tokio::runtime::Builder::new_current_thread().enable_all().build());
    }
    RUNTIME.with_borrow(|runtime| {
        let Ok(runtime) = runtime else { return };
        let played = runtime.block_on(trial::play(script));
        assert!(played.is_ok(), "the system refused a socket or memory: {played:?}");
    });
}

/// A pool that sends these bytes to a runner written in Rust, and then hangs up.
///
/// # Panics
///
/// If the runner does.
pub fn serve_bytes(sent: &[u8]) {
    let registry = Registry::new()
        .function("echo", |value: serde_json::Value| value)
        .function("add", |a: i64, b: i64| a.wrapping_add(b))
        .function("repeat", |times: u32| "x".repeat((times as usize).min(3 << 20)))
        .fallible("parse", |text: String| text.parse::<i64>());
    let sent = sent.get(..sent.len().min(MAX_SOCKET_BYTES)).unwrap_or_default();
    let Ok((mut pool, runner)) = UnixStream::pair() else { return };
    // All there is to read is there. What the runner says is not read: once there is no room for it, the pool is gone.
    let is_ready = pool.write_all(sent).and_then(|()| pool.shutdown(Shutdown::Write)).is_ok()
        && runner.set_nonblocking(true).is_ok();
    if let (true, Ok(map)) = (is_ready, SlotMap::create()) {
        let _violation = serve(runner, map, &mut Natives::new(registry));
    }
}

/// A command with replacement strings, and the values of a task: flags, replacement, columns, words, payload.
///
/// # Panics
///
/// If an argument comes out that no program can be given.
pub fn template(input: &[u8]) {
    let Some((flags, input)) = input.split_first() else { return };
    let mut sections = input.splitn(4, |byte| *byte == SECTION);
    let mut next = || sections.next().unwrap_or_default();
    let items = |section: &[u8]| -> Vec<Bytes> {
        let items = section.split(|byte| *byte == ITEM).map(Bytes::copy_from_slice);
        if section.is_empty() { Vec::new() } else { items.collect() }
    };
    let replacement = Bytes::copy_from_slice(next());
    let (columns, words, payload) = (items(next()), items(next()), next());
    let command = Command { words, shell: flags & 1 != 0, replacement, columns };
    let Ok(template) = Template::new(&command) else { return };
    let (values, number, slot) = (values(payload), u64::from(*flags), usize::from(*flags));
    let arguments = template.expand(&values, number, slot);
    assert!(arguments.iter().flatten().all(|byte| *byte != 0), "a NUL in {arguments:?}");
    assert!(!template.dry_run_line(&values, number, slot).contains(&0), "a NUL in the line");
}

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use std::io;

    use super::replay::replay;

    #[test]
    fn whatever_a_runner_writes_its_batches_add_up() -> io::Result<()> {
        replay("runner_bytes", super::runner_bytes)
    }

    #[test]
    fn whatever_a_pool_sends_no_runner_panics() -> io::Result<()> {
        replay("serve_bytes", super::serve_bytes)
    }

    #[test]
    fn no_command_and_no_values_are_too_odd_for_a_template() -> io::Result<()> {
        replay("template", super::template)
    }
}
