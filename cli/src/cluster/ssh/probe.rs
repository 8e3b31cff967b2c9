//! What a host says of itself before it gets a worker.

use std::env::consts::{ARCH, OS};

use super::{HostError, PLACE, quoted};
use crate::cluster::file::Settings;

/// What tells our lines from those that the host's login files print.
const MARK: &str = "poolmap-probe";
const USUAL_PYTHON: &str = "python3";
/// The oldest Python that tasks may run in.
const OLDEST_PYTHON: (u32, u32) = (3, 9);

/// The answers to the script.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Probe {
    /// Kernel and architecture.
    machine: String,
    /// What its Python, or its shell, says of that one's version.
    python: String,
    /// It has this build.
    has_program: bool,
    /// What the poolmap that its user has named says of its version.
    version: String,
}

/// Asks all at once; for `sh`.
pub(super) fn script(settings: &Settings, build: &str) -> String {
    let python = quoted(settings.python.as_deref().unwrap_or(USUAL_PYTHON));
    let program = settings.program.as_deref().map_or_else(
        || format!(r#"if [ -x "{PLACE}/{build}/poolmap" ]; then echo "{MARK} program"; fi"#),
        |program| format!(r#"echo "{MARK} version $({} --version 2>&1 | tail -n 1)""#, quoted(program)),
    );
    format!(
        r#"echo "{MARK} machine $(uname -sm)"; echo "{MARK} python $({python} --version 2>&1 | tail -n 1)"; {program}"#
    )
}

impl Probe {
    /// Reads the answers.
    pub(super) fn read(output: &str) -> Self {
        let mut probe = Self::default();
        for line in output.lines().filter_map(|line| line.strip_prefix(MARK)) {
            match line.trim().split_once(' ') {
                Some(("machine", machine)) => machine.clone_into(&mut probe.machine),
                Some(("python", python)) => python.clone_into(&mut probe.python),
                Some(("version", version)) => version.clone_into(&mut probe.version),
                _ => probe.has_program |= line.trim() == "program",
            }
        }
        probe
    }

    pub(super) fn has_program(&self) -> bool {
        self.has_program
    }

    /// Fails if the host cannot have such a worker; returns what its user should know, if anything.
    pub(super) fn check(&self, settings: &Settings) -> Result<Option<String>, HostError> {
        match &settings.program {
            Some(program) => self.check_version(program)?,
            None => self.check_machine()?,
        }
        let python = settings.python.as_deref().unwrap_or(USUAL_PYTHON).to_owned();
        match (self.check_python(python), &settings.python) {
            (Err(error), Some(_)) => Err(error),
            // Commands and native functions need none.
            (Err(error), None) => Ok(Some(format!("no Python function can run there: {error}"))),
            (Ok(()), _) => Ok(None),
        }
    }

    fn check_machine(&self) -> Result<(), HostError> {
        let mut words = self.machine.split(' ');
        let (system, architecture) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        if system.eq_ignore_ascii_case(OS) && architecture == ARCH {
            return Ok(());
        }
        Err(HostError::OtherMachine { theirs: self.machine.clone(), ours: format!("{OS} {ARCH}") })
    }

    fn check_version(&self, program: &str) -> Result<(), HostError> {
        let ours = env!("CARGO_PKG_VERSION");
        match self.version.strip_prefix("poolmap ") {
            Some(theirs) if theirs == ours => Ok(()),
            Some(theirs) => {
                Err(HostError::OtherVersion { program: program.to_owned(), theirs: theirs.to_owned(), ours })
            }
            None => Err(HostError::NoProgram { program: program.to_owned(), said: self.version.clone() }),
        }
    }

    fn check_python(&self, python: String) -> Result<(), HostError> {
        let Some(version) = self.python.strip_prefix("Python ") else {
            return Err(HostError::NoPython { python, said: self.python.clone() });
        };
        let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
        match (numbers.next(), numbers.next()) {
            (Some(major), Some(minor)) if (major, minor) >= OLDEST_PYTHON => Ok(()),
            _ => Err(HostError::OldPython { python, version: version.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(machine: &str, python: &str) -> Probe {
        Probe::read(&format!("welcome!\n{MARK} machine {machine}\n{MARK} python {python}\n{MARK} program\n"))
    }

    fn ours() -> String {
        format!("Linux {ARCH}")
    }

    #[test]
    fn what_login_files_print_is_not_taken_for_an_answer() {
        let read = probe("Linux riscv64", "Python 3.12.1");
        let wanted = Probe {
            machine: "Linux riscv64".to_owned(),
            python: "Python 3.12.1".to_owned(),
            has_program: true,
            version: String::new(),
        };
        assert_eq!(read, wanted);
    }

    #[test]
    fn a_host_of_another_architecture_is_told_what_to_do() {
        let error = probe("Linux riscv64", "Python 3.12.1").check(&Settings::default());
        let text = error.map_err(|error| error.to_string());
        assert!(
            matches!(&text, Err(text) if text.contains("it is Linux riscv64") && text.contains("program =")),
            "{text:?}"
        );
    }

    #[test]
    fn a_python_that_was_named_must_be_there_and_any_other_is_worth_a_note() {
        let named = Settings { python: Some("py".to_owned()), ..Settings::default() };
        for (said, told) in [
            ("sh: 1: py: not found", "no Python there"),
            ("Python 3.8.18", "Python 3.8.18"),
            ("Python 2.7", "2.7"),
        ] {
            let text = probe(&ours(), said).check(&named).map_err(|error| error.to_string());
            assert!(matches!(&text, Err(text) if text.contains(told)), "{text:?}");
            let note = probe(&ours(), said).check(&Settings::default()).ok().flatten().unwrap_or_default();
            assert!(note.contains(told), "{note}");
        }
        assert!(matches!(probe(&ours(), "Python 3.9.0").check(&named), Ok(None)));
    }

    #[test]
    fn another_version_of_poolmap_is_refused() {
        let named = Settings { program: Some("/opt/poolmap".to_owned()), ..Settings::default() };
        for (said, told) in [("poolmap 0.0.1", "poolmap 0.0.1"), ("sh: not found", "sh: not found")] {
            let read = Probe { version: said.to_owned(), ..Probe::default() };
            let text = read.check(&named).map_err(|error| error.to_string());
            assert!(
                matches!(&text, Err(text) if text.contains(told) && text.contains("/opt/poolmap")),
                "{text:?}"
            );
        }
    }
}
