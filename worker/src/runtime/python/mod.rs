//! The Python runner: files carried in this program, written to a private folder for interpreters to run.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

/// The runner's files, by their path in the folder.
const FILES: &[(&str, &str)] = &[
    ("runner.py", include_str!("runner.py")),
    ("poolmap_runner/__init__.py", include_str!("poolmap_runner/__init__.py")),
    ("poolmap_runner/awaiting.py", include_str!("poolmap_runner/awaiting.py")),
    ("poolmap_runner/buffers.py", include_str!("poolmap_runner/buffers.py")),
    ("poolmap_runner/details.py", include_str!("poolmap_runner/details.py")),
    ("poolmap_runner/failures.py", include_str!("poolmap_runner/failures.py")),
    ("poolmap_runner/frames.py", include_str!("poolmap_runner/frames.py")),
    ("poolmap_runner/functions.py", include_str!("poolmap_runner/functions.py")),
    ("poolmap_runner/pickled.py", include_str!("poolmap_runner/pickled.py")),
    ("poolmap_runner/elsewhere.py", include_str!("poolmap_runner/elsewhere.py")),
    ("poolmap_runner/prepared.py", include_str!("poolmap_runner/prepared.py")),
    ("poolmap_runner/refusals.py", include_str!("poolmap_runner/refusals.py")),
    ("poolmap_runner/slot.py", include_str!("poolmap_runner/slot.py")),
    ("poolmap_runner/values.py", include_str!("poolmap_runner/values.py")),
];

/// The files on disk, cheap to clone. They are removed with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct RunnerFiles {
    folder: Arc<TempDir>,
    runner: PathBuf,
}

impl RunnerFiles {
    /// Writes them to a new folder that only this user may enter, within `parent` or among temporary files.
    pub(crate) fn write(parent: Option<&Path>) -> io::Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let folder = tempfile::Builder::new()
            .prefix("poolmap-python-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        for (name, text) in FILES {
            let path = folder.path().join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, text)?;
        }
        let runner = folder.path().join("runner.py");
        Ok(Self { folder: Arc::new(folder), runner })
    }

    /// The file that interpreters are started with.
    pub(crate) fn runner(&self) -> &Path {
        debug_assert!(self.runner.starts_with(self.folder.path()), "it lies in the folder");
        &self.runner
    }
}
