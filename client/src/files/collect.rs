//! Which files travel, and what they are called on a worker. Everything here blocks.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use poolmap_proto::files::{self, FILES_MAX};
use poolmap_proto::v1::ShippedFile;

use super::{Found, ShipError, digest};

/// Any of the bits that let somebody run a file.
const EXECUTABLE: u32 = 0o111;

/// All files that lie at these paths or in folders there, by ascending path on a worker.
pub(super) fn collect(paths: &[PathBuf]) -> Result<Vec<Found>, ShipError> {
    let mut collection = Collection::default();
    for path in paths {
        let name = own_name(path)?;
        collection.visit(path.clone(), name)?;
    }
    let found: Vec<_> = collection.files.into_values().collect();
    let shipped: Vec<_> = found.iter().map(|found| found.shipped.clone()).collect();
    files::check(&shipped)?;
    Ok(found)
}

/// What a path is called by itself, wherever it lies.
fn own_name(path: &Path) -> Result<String, ShipError> {
    if let Some(name) = path.file_name() {
        return text(name, path);
    }
    // `.`, or something that ends in `..`.
    let whole = path.canonicalize().map_err(|reason| unreadable(path, reason))?;
    whole.file_name().map_or_else(|| Err(ShipError::NoName(path.to_owned())), |name| text(name, path))
}

fn text(name: &OsStr, path: &Path) -> Result<String, ShipError> {
    name.to_str().map(str::to_owned).ok_or_else(|| ShipError::NotUtf8(path.to_owned()))
}

#[derive(Default)]
struct Collection {
    /// By path on a worker.
    files: BTreeMap<String, Found>,
    /// Device and number of the folders that are being visited, outermost first.
    open: Vec<(u64, u64)>,
    /// Files and folders so far.
    visited: usize,
}

impl Collection {
    /// Takes a file, or all that is in a folder, at `path` here and `name` on a worker.
    fn visit(&mut self, path: PathBuf, name: String) -> Result<(), ShipError> {
        self.visited += 1;
        if self.visited > FILES_MAX {
            return Err(ShipError::TooMany);
        }
        // Of what a link leads to.
        let metadata = fs::metadata(&path).map_err(|reason| unreadable(&path, reason))?;
        if metadata.is_dir() {
            self.visit_folder(&path, &name, &metadata)
        } else if metadata.is_file() {
            self.take(path, name, &metadata)
        } else {
            Err(ShipError::NoFile(path))
        }
    }

    fn visit_folder(&mut self, path: &Path, name: &str, metadata: &Metadata) -> Result<(), ShipError> {
        let identity = (metadata.dev(), metadata.ino());
        if self.open.contains(&identity) {
            return Err(ShipError::Loop(path.to_owned()));
        }
        self.open.push(identity);
        let entries = fs::read_dir(path).map_err(|reason| unreadable(path, reason))?;
        for entry in entries {
            let inner = entry.map_err(|reason| unreadable(path, reason))?.path();
            let inner_name = text(inner.file_name().unwrap_or_default(), &inner)?;
            self.visit(inner, format!("{name}/{inner_name}"))?;
        }
        self.open.pop();
        Ok(())
    }

    fn take(&mut self, path: PathBuf, name: String, metadata: &Metadata) -> Result<(), ShipError> {
        let (digest, bytes) = digest(&path).map_err(|reason| unreadable(&path, reason))?;
        let executable = metadata.permissions().mode() & EXECUTABLE != 0;
        let shipped = ShippedFile { path: name, sha256: digest.to_bytes(), bytes, executable };
        match self.files.get(&shipped.path) {
            Some(known) if known.shipped != shipped => {
                Err(ShipError::Clash { path: shipped.path, one: known.path.clone(), other: path })
            }
            Some(_) => Ok(()),
            None => {
                self.files.insert(shipped.path.clone(), Found { shipped, path });
                Ok(())
            }
        }
    }
}

fn unreadable(path: &Path, reason: io::Error) -> ShipError {
    ShipError::Unreadable { path: path.to_owned(), reason }
}
