//! A wire with delay, jitter and loss between two hosts, beside the switch.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use poolmap_tests::network::Host;
use poolmap_tests::programs;

/// Carries frames until it is dropped.
pub(crate) struct Wire {
    carrier: Child,
}

impl Wire {
    /// A wire with an address at each end; `quality` is its delay and jitter in milliseconds, and its share of lost frames.
    pub(crate) fn between(
        first: &Host,
        first_address: &str,
        second: &Host,
        second_address: &str,
        quality: &str,
    ) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/wire.py");
        let mut command = Command::new(programs::interpreter());
        command.arg(script);
        for (host, address) in [(first, first_address), (second, second_address)] {
            command.arg(host.namespace()).arg(format!("{address}/24"));
        }
        command.args(quality.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut carrier = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(carrier.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self { carrier }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ended = self.carrier.kill();
        let _ended = self.carrier.wait();
    }
}
