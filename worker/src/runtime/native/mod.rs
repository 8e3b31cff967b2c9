//! Native functions: Rust functions registered in the worker's own binary.
//!
//! [`Registry`] holds the functions by name. This file runs them as the tasks of a slot, in a thread or in a child
//! process; beside it, `function` turns a call over JSON into a call of a Rust function, `payload` reads what a task
//! asks for, and `panics` makes a panic the outcome of its task.

mod function;
mod panics;
mod payload;
mod registry;

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use poolmap_proto::v1::{JobStarted, function::Kind};
use prost::Message as _;

pub use function::Callable;
pub use registry::{Registry, UnknownFunction};

use crate::os;
use crate::slot::map::SlotMap;
use crate::slot::record::{Detail, Failure};
use crate::slot::serve::{Call, Outcome, Tasks, serve};
use function::Registered;
use payload::Payload;

/// The native functions of one slot.
#[derive(Debug)]
pub struct Natives {
    registry: Registry,
    loaded: BTreeMap<u32, Loaded>,
}

#[derive(Debug)]
struct Loaded {
    function: Registered,
    wants_details: bool,
}

impl Natives {
    /// A runtime for a slot that has these functions.
    #[must_use]
    pub fn new(registry: Registry) -> Self {
        panics::install_hook();
        Self { registry, loaded: BTreeMap::new() }
    }

    fn call(&self, loaded: &Loaded, payload: &[u8], value: &mut Vec<u8>) -> Result<(), Failure> {
        let payload = Payload::parse(payload)?;
        let function = match payload.function {
            None => &loaded.function,
            Some(name) => self
                .registry
                .get(&name)
                .map_err(|unknown| exception("UnknownFunction", unknown.to_string()))?,
        };
        panics::catch(|| function.call(payload.arguments, value))
    }
}

impl Tasks for Natives {
    fn load(&mut self, function: u32, body: &[u8]) -> Result<(), String> {
        let job = JobStarted::decode(body).map_err(|error| format!("the job cannot be read: {error}"))?;
        let Some(Kind::Native(native)) = job.function.and_then(|function| function.kind) else {
            return Err("the job's function is not a native one".to_owned());
        };
        let found = self.registry.get(&native.name).map_err(|unknown| unknown.to_string())?;
        let loaded = Loaded { function: found.clone(), wants_details: job.details };
        self.loaded.insert(function, loaded);
        Ok(())
    }

    fn run(&mut self, call: &Call<'_>, outcome: &mut Outcome) {
        let Some(loaded) = self.loaded.get(&call.function) else {
            let message = format!("function {} is not known to this slot", call.function);
            return outcome.fail(&exception("UnknownFunction", message));
        };
        let started = loaded.wants_details.then(Instant::now);
        let result = self.call(loaded, call.payload, outcome.value());
        if let Some(started) = started {
            outcome.set_detail(Detail { seconds: started.elapsed().as_secs_f64(), ..Detail::default() });
        }
        if let Err(failure) = result {
            outcome.fail(&failure);
        }
    }
}

/// Serves a slot as a child process, which is given `SOCKET:MAP`: the numbers of the two descriptors that it
/// inherited. What functions print goes to stderr from here on.
pub fn serve_descriptors(numbers: &str, registry: &Registry) -> io::Result<()> {
    let malformed = || io::Error::other(format!("{numbers:?} is not a pair of descriptor numbers"));
    let (socket, map) = numbers.split_once(':').ok_or_else(malformed)?;
    let (socket, map) = (socket.parse().map_err(|_| malformed())?, map.parse().map_err(|_| malformed())?);
    let socket = UnixStream::from(os::take_inherited(socket)?);
    let map = SlotMap::open(os::take_inherited(map)?)?;
    nix::unistd::dup2_stdout(io::stderr())?;
    serve(socket, map, &mut Natives::new(registry.clone()))
}

fn exception(kind_type: &str, message: String) -> Failure {
    Failure { kind: "exception".to_owned(), kind_type: kind_type.to_owned(), message, ..Failure::default() }
}
