//! `poolmap.v1`, the protocol between clients, the coordinator and workers.
//!
//! The contract is the `.proto` files beside this crate; the code here is made from them at build time.
//! Payloads and values are [`bytes::Bytes`]: decoding a message does not copy them.

pub mod access;
mod failure;
pub mod files;
pub mod transport;
pub mod window;

/// Messages and services of `poolmap.v1`.
pub mod v1 {
    #![expect(
        missing_docs,
        unused_qualifications,
        clippy::allow_attributes,
        clippy::large_enum_variant,
        clippy::pedantic,
        reason = "generated from the .proto files, which carry the documentation"
    )]
    tonic::include_proto!("poolmap.v1");
}

/// The encoded `FileDescriptorSet` of `poolmap.v1`, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/poolmap.v1.bin"));

/// Version of the protocol between worker and coordinator; both ends must have the same.
pub const PROTOCOL_VERSION: u32 = 1;

/// The largest message that any end accepts, in bytes: a payload or value of 1 GiB and what goes with it.
pub const MAX_MESSAGE_BYTES: usize = (1 << 30) + (1 << 20);

/// The largest message that a coordinator takes, in bytes. What it passes on has a little more around it, and must not be larger
/// than [`MAX_MESSAGE_BYTES`].
pub const MAX_TAKEN_BYTES: usize = (1 << 30) + (1 << 19);

/// The most that a message has beside the payloads, functions or values in it, in bytes.
pub const ENVELOPE_BYTES: usize = 1 << 10;

/// About how much memory a run of outcomes takes, in bytes. Coordinator and client count alike, so that a client knows when to
/// confirm.
#[must_use]
pub fn memory_bytes(run: &v1::OutcomeRun) -> usize {
    let failures: usize =
        run.failures.iter().map(|f| size_of::<v1::Failure>() + f.message.len() + f.traceback.len()).sum();
    let details: usize =
        run.details.iter().map(|d| size_of::<v1::Detail>() + d.stdout.len() + d.stderr.len()).sum();
    size_of_val(run) + size_of_val(&run.lengths[..]) + run.values.len() + failures + details
}
