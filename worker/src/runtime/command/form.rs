//! The pieces of a value that replacement strings ask for: values are bytes, taken as paths.

/// What of a value a replacement string stands for, where the value is a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    WithoutExtension,
    Name,
    Directory,
    NameWithoutExtension,
}

/// The endings of a replacement string and what they ask for; longer ones first.
pub(super) const FORMS: [(&[u8], Form); 4] = [
    (b"/.", Form::NameWithoutExtension),
    (b"//", Form::Directory),
    (b"/", Form::Name),
    (b".", Form::WithoutExtension),
];

impl Form {
    pub(super) fn of(self, value: &[u8]) -> &[u8] {
        match self {
            Form::Whole => value,
            Form::WithoutExtension => without_extension(value),
            Form::Name => name(value),
            Form::Directory => directory(value),
            Form::NameWithoutExtension => without_extension(name(value)),
        }
    }
}

/// Where the last part of a path begins.
fn name_start(path: &[u8]) -> usize {
    memchr::memrchr(b'/', path).map_or(0, |slash| slash + 1)
}

/// What follows the last slash: nothing for `trailing/`.
fn name(path: &[u8]) -> &[u8] {
    path.get(name_start(path)..).unwrap_or_default()
}

/// The path without the last dot of its last part and what follows it: nothing for `.hidden`.
fn without_extension(path: &[u8]) -> &[u8] {
    let end = memchr::memrchr(b'.', name(path)).map_or(path.len(), |dot| name_start(path) + dot);
    path.get(..end).unwrap_or_default()
}

/// The folder that holds the file or folder of this path, as `dirname` has it.
fn directory(path: &[u8]) -> &[u8] {
    let above = without_trailing_slashes(path);
    if above.is_empty() {
        return if path.is_empty() { b"." } else { b"/" };
    }
    match above.get(..name_start(above)).unwrap_or_default() {
        b"" => b".",
        parent => match without_trailing_slashes(parent) {
            b"" => b"/",
            parent => parent,
        },
    }
}

fn without_trailing_slashes(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    path.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_comes_apart_as_people_expect() {
        let path = b"dir.d/archive.tar.gz";
        assert_eq!(Form::WithoutExtension.of(path), b"dir.d/archive.tar");
        assert_eq!(Form::Name.of(path), b"archive.tar.gz");
        assert_eq!(Form::NameWithoutExtension.of(path), b"archive.tar");
        assert_eq!(Form::Directory.of(path), b"dir.d");
        assert_eq!(Form::WithoutExtension.of(b".hidden"), b"");
        assert_eq!(Form::WithoutExtension.of(b"dir.d/noext"), b"dir.d/noext");
        assert_eq!(Form::Name.of(b"trailing/"), b"");
        assert_eq!(Form::Directory.of(b"name"), b".");
    }

    proptest! {
        #[test]
        fn every_path_has_every_form(path: Vec<u8>) {
            for (_, form) in FORMS {
                prop_assert!(form.of(&path).len() <= path.len().max(1));
            }
        }
    }
}
