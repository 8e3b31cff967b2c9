//! The `poolmap` binary.

fn main() -> std::process::ExitCode {
    poolmap::main(poolmap::Registry::new())
}
