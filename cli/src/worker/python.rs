//! Which Python a worker has.

use std::process::Stdio;
use std::time::Duration;

use poolmap_worker::sizing::machine::PythonVersion;
use tokio::process::Command;

/// Time that an interpreter has to say its version, which is thousands of times what it needs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The version of an interpreter, as it said it.
pub(super) struct Version(String);

impl Version {
    pub(super) fn parsed(&self) -> Option<PythonVersion> {
        self.0.parse().ok()
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// Asks an interpreter. One that is not there, or is none, has no version: jobs that need it will say so.
pub(super) async fn version(program: &str) -> Option<Version> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(TIMEOUT, command.output()).await.ok()?.ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let version = said.trim().strip_prefix("Python ")?;
    (output.status.success() && version.parse::<PythonVersion>().is_ok()).then(|| Version(version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(program: &str) -> Option<String> {
        version(program).await.map(Version::into_text)
    }

    #[tokio::test]
    async fn what_is_no_python_has_no_version() {
        for program in ["/no/such/file", "true", "cat"] {
            assert_eq!(said(program).await, None, "{program}");
        }
    }

    #[tokio::test]
    async fn a_python_says_its_version() {
        let version = said("python3").await.unwrap_or_default();
        assert!(version.starts_with("3."), "{version}");
    }
}
