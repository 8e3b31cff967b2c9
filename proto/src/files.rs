//! What all ends of the service `Files` share: how a content is named, where the files of a job may lie, limits, and
//! contents on their way to disk.

mod arrival;
mod digest;

use std::collections::HashSet;

pub use self::arrival::{Arrival, WrongContent};
pub use self::digest::{Digest, NoDigest};
use crate::v1::ShippedFile;

/// The most files that travel with a job.
pub const FILES_MAX: usize = 100_000;
/// The most bytes of one piece of a content.
pub const PIECE_BYTES_MAX: usize = 1 << 20;
/// The most bytes of one message of the service: the names of 100,000 contents, or a piece and what goes with it.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// The most bytes of a file's path within its job's folder: as Linux has it for a whole path.
const PATH_BYTES_MAX: usize = 4096;

/// Files that cannot travel with a job.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFiles {
    /// There are too many.
    #[error("{0} files are to travel with the job; {FILES_MAX} can at most")]
    TooMany(usize),
    /// A path is not relative, leads out of the job's folder, or is no path at all.
    #[error("{0:?} is no path of a file within the folder of a job")]
    Path(String),
    /// Two files have the same path, or one lies where another needs a folder.
    #[error("two files that travel with the job are in each other's way at {0:?}")]
    Clash(String),
    /// A content is not named by its SHA-256.
    #[error("the content of {path:?} is not named: {reason}")]
    Digest {
        /// Of the file.
        path: String,
        /// What is wrong with its name.
        reason: NoDigest,
    },
}

/// Checks that files can lie in one folder, each at its path, and are named by their contents; returns these names.
pub fn check(files: &[ShippedFile]) -> Result<Vec<Digest>, BadFiles> {
    if files.len() > FILES_MAX {
        return Err(BadFiles::TooMany(files.len()));
    }
    let mut paths = HashSet::with_capacity(files.len());
    for file in files {
        if !is_inner_path(&file.path) {
            return Err(BadFiles::Path(file.path.clone()));
        }
        if !paths.insert(file.path.as_str()) {
            return Err(BadFiles::Clash(file.path.clone()));
        }
    }
    let blocked = paths.iter().find_map(|path| folders(path).find(|folder| paths.contains(folder)));
    if let Some(path) = blocked {
        return Err(BadFiles::Clash(path.to_owned()));
    }
    files.iter().map(digest).collect()
}

fn digest(file: &ShippedFile) -> Result<Digest, BadFiles> {
    let digest = Digest::try_from(file.sha256.as_ref());
    digest.map_err(|reason| BadFiles::Digest { path: file.path.clone(), reason })
}

/// Whether a path is relative and has none but ordinary names in it.
fn is_inner_path(path: &str) -> bool {
    let is_name = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    path.len() <= PATH_BYTES_MAX && path.split('/').all(is_name)
}

/// The folders that a path leads through.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(end, _)| path.get(..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> ShippedFile {
        ShippedFile { path: path.to_owned(), sha256: vec![7; 32].into(), ..ShippedFile::default() }
    }

    fn check_paths(paths: &[&str]) -> Result<usize, BadFiles> {
        check(&paths.iter().map(|path| file(path)).collect::<Vec<_>>()).map(|digests| digests.len())
    }

    #[test]
    fn files_in_folders_can_travel() {
        assert_eq!(check_paths(&["a", "b/a", "b/c/..d", "b/…", "ab"]), Ok(5));
        assert_eq!(check_paths(&[]), Ok(0));
    }

    #[test]
    fn paths_that_lead_out_of_the_folder_are_refused() {
        for path in ["", "/etc/passwd", "..", "../a", "a/../../b", "a//b", "a/", "./a", "a/.", "a\0b"] {
            assert_eq!(check_paths(&["fine", path]), Err(BadFiles::Path(path.to_owned())));
        }
        assert!(check_paths(&["a/".repeat(3000).as_str()]).is_err());
    }

    #[test]
    fn files_in_each_others_way_are_refused() {
        for paths in [["a", "a"], ["a", "a/b"], ["a/b/c/d", "a"]] {
            assert_eq!(check_paths(&paths), Err(BadFiles::Clash("a".to_owned())));
        }
    }

    #[test]
    fn a_content_is_named_by_its_whole_digest() {
        let cut = ShippedFile { sha256: vec![7; 31].into(), ..file("a") };
        let error = check(&[cut]).map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err("the content of \"a\" is not named: a SHA-256 has 32 bytes, not 31".to_owned())
        );
    }

    #[test]
    fn more_files_than_can_travel_are_refused() {
        let files: Vec<_> = (0..=FILES_MAX).map(|number| file(&number.to_string())).collect();
        assert_eq!(check(&files), Err(BadFiles::TooMany(FILES_MAX + 1)));
    }
}
