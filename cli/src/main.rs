//! The `poolmap` binary.
fn main() {}
