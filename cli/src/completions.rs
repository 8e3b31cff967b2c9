//! `poolmap completions`: scripts that make shells complete poolmap's words.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::Cli;
use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  poolmap completions bash > ~/.local/share/bash-completion/completions/poolmap
  poolmap completions zsh > ~/.zfunc/_poolmap
  poolmap completions fish > ~/.config/fish/completions/poolmap.fish";

/// Print a script that completes poolmap's options in a shell.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "poolmap", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)?;
    Ok(ExitCode::SUCCESS)
}
