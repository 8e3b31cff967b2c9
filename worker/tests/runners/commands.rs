//! Commands as tasks: real processes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use poolmap_proto::v1::{ChildOptions, Command, EnvironmentVariable, Function, JobStarted, function};
use poolmap_worker::os::{self, Program, Spawn};
use poolmap_worker::runtime::command::run::Commands;
use poolmap_worker::slot::frame::{Header, Kind};

use crate::slot::{Record, Slot, header};

fn job(words: &[&[u8]], child: ChildOptions) -> JobStarted {
    let words = words.iter().map(|word| Bytes::copy_from_slice(word)).collect();
    let kind = function::Kind::Command(Command { words, ..Command::default() });
    JobStarted { function: Some(Function { kind: Some(kind) }), child: Some(child), ..JobStarted::default() }
}

/// A slot, its number 3, in which the command is function 1.
fn slot(words: &[&str], child: ChildOptions) -> Slot {
    let mut slot = Slot::new(|| Commands::new(3).unwrap());
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    assert_eq!(slot.load(1, &job(&words, child)), Ok(()));
    slot
}

fn run(words: &[&str], payload: &[u8]) -> Record {
    slot(words, ChildOptions::default()).run(1, &[payload]).remove(0)
}

fn kill(arguments: &[&str]) {
    let status =
        std::process::Command::new("/bin/sh").args(["-c", "kill \"$@\"", "-"]).args(arguments).status();
    assert!(status.unwrap().success());
}

fn variable(name: &str, value: &str) -> EnvironmentVariable {
    EnvironmentVariable { name: name.to_owned().into(), value: value.to_owned().into() }
}

#[test]
fn output_and_errors_are_captured_apart_and_whole() {
    let record = run(&["sh", "-c", r#"printf "%s|" "$@"; echo oops >&2"#, "-"], b"a b\0\0c\0");
    assert_eq!(record.stdout(), b"a b||c|");
    let detail = record.detail.as_ref().unwrap();
    assert_eq!(detail.stderr, "oops\n");
    assert!(detail.seconds > 0.0);
    assert_eq!(record.text(), "");
}

#[test]
fn bytes_that_are_no_text_go_in_and_come_out_untouched() {
    let record = run(&["printf", "%s", "<{}>"], b"\xff\xfe'\n$\0");
    assert_eq!(record.stdout(), b"<\xff\xfe'\n$>");
}

#[test]
fn a_task_knows_its_number_its_slot_its_index_and_its_attempt() {
    let words = ["sh", "-c", "echo {#} {%} $POOLMAP_TASK $POOLMAP_ATTEMPT"];
    let records = slot(&words, ChildOptions::default()).run(1, &["", ""]);
    assert_eq!(records[0].stdout(), b"1 3 0 1\n");
    assert_eq!(records[1].stdout(), b"2 3 1 1\n");
}

#[test]
fn an_exit_status_other_than_0_is_a_failure_that_keeps_the_output() {
    let record = run(&["sh", "-c", "echo out; exit {}"], b"3\0");
    let failure = record.failure();
    assert_eq!((failure.kind.as_str(), failure.exit_status), ("exit", Some(3)));
    assert_eq!(failure.message, "exited with status 3");
    assert_eq!(record.stdout(), b"out\n");
}

#[test]
fn a_signal_is_a_crash_that_names_it() {
    for (signal, name, message) in [
        ("SEGV", "SIGSEGV", "killed by signal 11 (SIGSEGV)"),
        ("KILL", "SIGKILL", "killed by signal 9 (SIGKILL)"),
        ("40", "SIG40", "killed by signal 40 (SIG40)"),
    ] {
        let failure = run(&["sh", "-c", &format!("kill -{signal} $$")], b"").failure();
        assert_eq!((failure.kind.as_str(), failure.kind_type.as_str()), ("crashed", name));
        assert_eq!((failure.message.as_str(), failure.exit_status), (message, None));
    }
}

#[test]
fn a_program_that_cannot_be_run_has_no_exit_status_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    fs::write(&text, "not executable").unwrap();
    for (name, message) in [
        ("poolmap-no-such-program", "in no folder of PATH"),
        ("/no/such/program", "there is no such file"),
        (text.to_str().unwrap(), "not an executable file"),
    ] {
        let failure = run(&[name], b"").failure();
        assert_eq!((failure.kind.as_str(), failure.exit_status), ("exit", None));
        assert!(failure.message.contains(name) && failure.message.contains(message), "{}", failure.message);
    }
    let failure = run(&["{}"], b"").failure();
    assert!(failure.message.contains("no value"), "{}", failure.message);
}

#[test]
fn a_script_without_a_first_line_is_run_by_the_shell() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script");
    fs::write(&script, "echo \"$# $1\"\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("/nowhere:{}:/bin:/usr/bin", folder.path().display());
    let options = ChildOptions { environment: vec![variable("PATH", &path)], ..ChildOptions::default() };
    assert_eq!(slot(&["script"], options).run(1, &["a b\0"])[0].stdout(), b"1 a b\n");
}

#[test]
fn the_environment_and_the_working_directory_are_the_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().canonicalize().unwrap();
    let options = ChildOptions {
        environment: vec![variable("COLOUR", "a b"), variable("POOLMAP_TASK", "not yours")],
        working_directory: directory.to_str().unwrap().to_owned().into(),
        ..ChildOptions::default()
    };
    let record = slot(&["sh", "-c", "pwd; echo $COLOUR $POOLMAP_TASK"], options).run(1, &[""]).remove(0);
    assert_eq!(record.stdout(), format!("{}\na b 0\n", directory.display()).as_bytes());

    let missing = ChildOptions { working_directory: "/no/such/folder".into(), ..ChildOptions::default() };
    let failure = slot(&["true"], missing).run(1, &[""])[0].failure();
    assert!(failure.message.contains("/no/such/folder"), "{}", failure.message);
}

#[test]
fn ten_thousand_variables_reach_the_command() {
    let environment = (0..10_000).map(|number| variable(&format!("V{number}"), "value")).collect();
    let options = ChildOptions { environment, ..ChildOptions::default() };
    let record = slot(&["sh", "-c", "env | grep -c ^V[0-9]*=value$"], options).run(1, &[""]).remove(0);
    assert_eq!(record.stdout(), b"10000\n");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let mut slot = Slot::new(|| Commands::new(1).unwrap());
    let with = |environment| ChildOptions { environment, ..ChildOptions::default() };
    let none = ChildOptions::default;
    for (job, reason) in [
        (job(&[], none()), "the command is empty"),
        (job(&[b"a\0b"], none()), "NUL"),
        (job(&[b"true"], with(vec![variable("A=B", "")])), "A=B"),
        (job(&[b"true"], with(vec![variable("A", "\0")])), "NUL"),
        (JobStarted::default(), "not a command"),
    ] {
        let refused = slot.load(1, &job).unwrap_err();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn fifty_megabytes_of_output_arrive() {
    let record = run(&["head", "-c", "50000000", "/dev/zero"], b"");
    assert_eq!(record.stdout().len(), 50_000_000);
}

#[test]
fn a_process_left_behind_with_its_output_open_holds_up_nothing() {
    let started = Instant::now();
    let mut slot = slot(&["sh", "-c", "sleep 60 & echo $!"], ChildOptions::default());
    let records = slot.run(1, &["", ""]);
    assert!(started.elapsed() < Duration::from_secs(30));
    for record in records {
        let left_behind = std::str::from_utf8(record.stdout()).unwrap().trim();
        assert!(fs::exists(format!("/proc/{left_behind}")).unwrap(), "it is left alone");
        kill(&["-KILL", left_behind]);
    }
}

#[test]
fn a_command_begins_with_no_signal_blocked_and_a_pipe_that_kills() {
    let script = "sed -n 's/^Sig\\(Blk\\|Ign\\):\\t//p' /proc/self/status; kill -PIPE $$";
    let record = run(&["sh", "-c", script], b"");
    let stdout = String::from_utf8_lossy(record.stdout()).into_owned();
    assert_eq!(stdout.lines().next(), Some("0000000000000000"));
    assert_eq!(record.failure().kind_type, "SIGPIPE");
}

#[test]
fn a_command_gets_an_empty_input_two_outputs_a_group_and_nothing_else_of_ours() {
    let script = "cat; cut -d ' ' -f 5 /proc/$$/stat; echo $$; ls -l /proc/$$/fd";
    let record = run(&["sh", "-c", script], b"");
    let stdout = String::from_utf8_lossy(record.stdout()).into_owned();
    let mut lines = stdout.lines();
    assert_eq!(lines.next(), lines.next(), "it leads its group");
    let ours: Vec<&str> = lines.filter(|line| line.contains("memfd:poolmap")).collect();
    assert_eq!(ours.len(), 2, "{ours:?}");
}

#[test]
fn the_map_names_the_process_group_while_the_command_runs() {
    let mut slot = slot(&["sh", "-c", "kill -STOP $$; echo continued"], ChildOptions::default());
    let sequence = slot.send_batch(Header { function: 1, ..header(Kind::Batch) }, &[""]);
    let group = eventually(|| slot.map.process());
    eventually(|| fs::read_to_string(format!("/proc/{group}/stat")).ok()?.contains(") T ").then_some(()));
    kill(&["-KILL", &format!("-{group}")]);
    assert_eq!(slot.collect(sequence)[0].failure().kind_type, "SIGKILL");
    assert_eq!(slot.map.process(), None);
}

#[test]
fn a_command_dies_with_the_thread_of_its_slot() {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let spawn = Spawn {
            program: &Program::find(b"sleep", None).unwrap(),
            arguments: &[c"sleep".to_owned(), c"60".to_owned()],
            environment: &[],
            directory: None,
            descriptors: &[],
            own_group: true,
            own_session: false,
            die_with_parent: true,
        };
        sender.send(spawn.start().unwrap()).unwrap();
    });
    let (status, _) = os::wait(receiver.recv().unwrap()).unwrap();
    assert_eq!(status.signal(), Some(9));
}

/// Waits for something that another process is about to do.
fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}
