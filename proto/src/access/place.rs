//! Where access files are found.

use std::env;
use std::path::PathBuf;

use super::Role;

/// The environment variable that names the access file.
pub const ACCESS_VARIABLE: &str = "POOLMAP_ACCESS";

/// It is not known where this user keeps files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither XDG_STATE_HOME nor HOME is set, so there is no default folder")]
pub struct NoHome;

/// A coordinator's folder, unless it was told another: `poolmap/coordinator` where this user's programs keep their state.
pub fn default_folder() -> Result<PathBuf, NoHome> {
    // As the XDG Base Directory Specification has it: a path that is not absolute does not count.
    let folder = |variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    Ok(state.ok_or(NoHome)?.join("poolmap/coordinator"))
}

/// The access file of a role: the one that was named, else that of the environment, else that of a coordinator of this user
/// on this machine.
pub fn find(named: Option<PathBuf>, role: Role) -> Result<PathBuf, NoHome> {
    let from_environment = || env::var_os(ACCESS_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    match named.or_else(from_environment) {
        Some(path) => Ok(path),
        None => Ok(default_folder()?.join(role.file_name())),
    }
}
