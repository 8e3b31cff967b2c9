//! x
use super::FileArgs;
use crate::exit::Failure;
use clap::Args;
use std::process::ExitCode;
/// Print
#[derive(Args, Clone, Debug)]
pub(super) struct ManifestArgs {
    #[command(flatten)]
    file: FileArgs,
}
pub(super) fn run(args: &ManifestArgs) -> Result<ExitCode, Failure> {
    let _ = args;
    Ok(ExitCode::SUCCESS)
}
