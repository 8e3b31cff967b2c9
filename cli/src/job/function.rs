//! What the user wants to run: `FUNCTION`, or a command after `--`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use poolmap_client::{Command, Function, NativeFunction, PythonFunction, SourceFile, function};
use poolmap_worker::runtime::command::template::Template;

use crate::exit::Failure;
use crate::output::Subject;
use crate::reason::reason;

/// Names that an error lists before it only counts the others.
const MAX_LISTED: usize = 10;

/// What runs, and how the user named it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: function::Kind,
}

impl Target {
    /// Reads `path/to/file.py:name`, `package.module:name` or `native:name`.
    pub(crate) fn function(text: &str) -> Result<Self, Failure> {
        let Some((place, name)) =
            text.rsplit_once(':').filter(|(place, name)| !place.is_empty() && !name.is_empty())
        else {
            return Err(not_a_function(text));
        };
        let kind = if place == "native" {
            function::Kind::Native(NativeFunction { name: name.to_owned() })
        } else if has_py_suffix(place) {
            function::Kind::Python(from_file(Path::new(place), name)?)
        } else {
            function::Kind::Python(PythonFunction {
                module: place.to_owned(),
                name: name.to_owned(),
                source: None,
            })
        };
        Ok(Self { name: text.to_owned(), kind })
    }

    /// A command; `words` are its own, without the lists of values.
    pub(crate) fn command(words: Vec<OsString>, shell: bool, replacement: &std::ffi::OsStr) -> Self {
        let name = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
        let words = words.into_iter().map(|word| word.into_vec().into()).collect();
        let replacement = replacement.to_owned().into_vec().into();
        let command = Command { words, shell, replacement, columns: Vec::new() };
        Self { name, kind: function::Kind::Command(command) }
    }

    /// Refuses a command that cannot be run.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let function::Kind::Command(command) = &self.kind else { return Ok(()) };
        Template::new(command).map(drop).map_err(|error| Failure::Usage(error.to_string()))
    }

    pub(crate) fn is_native(&self) -> bool {
        matches!(self.kind, function::Kind::Native(_))
    }

    pub(crate) fn is_python(&self) -> bool {
        matches!(self.kind, function::Kind::Python(_))
    }

    pub(crate) fn is_command(&self) -> bool {
        matches!(self.kind, function::Kind::Command(_))
    }

    /// Where its results have their value.
    pub(crate) fn subject(&self) -> Subject {
        if self.is_command() { Subject::Command } else { Subject::Function }
    }

    /// The function as it travels; `columns` are the names that a command's input gave to its values.
    pub(crate) fn into_message(mut self, columns: &[Bytes]) -> Function {
        if let function::Kind::Command(command) = &mut self.kind {
            command.columns = columns.to_vec();
        }
        Function { kind: Some(self.kind) }
    }
}

fn has_py_suffix(place: &str) -> bool {
    Path::new(place).extension().is_some_and(|extension| extension == "py")
}

fn not_a_function(text: &str) -> Failure {
    let place = text.trim_end_matches(':');
    let hint = if has_py_suffix(place) {
        format!("add the function's name: {place}:NAME")
    } else {
        format!(
            "a function is FILE.py:NAME, MODULE:NAME or native:NAME; a command goes after --: poolmap run -- {text}"
        )
    };
    Failure::Usage(format!("'{text}' names no function: {hint}"))
}

fn from_file(path: &Path, name: &str) -> Result<PythonFunction, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::Usage(format!("cannot read {}: {}{}", path.display(), reason(&error), others(path)))
    };
    let content = std::fs::read(path).map_err(unreadable)?;
    let module = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    let source = SourceFile { path: absolute.to_string_lossy().into_owned(), content: content.into() };
    Ok(PythonFunction { module, name: name.to_owned(), source: Some(source) })
}

/// The Python files beside one that is not there.
fn others(path: &Path) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|entry| entry.extension().is_some_and(|e| e == "py")).collect();
    let wanted = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.sort_by_key(|file| {
        strsim::damerau_levenshtein(&wanted, &file.file_name().unwrap_or_default().to_string_lossy())
    });
    files.truncate(MAX_LISTED);
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!("\nbeside it are: {}", names.join(", ").replace("./", ""))
    }
}
