//! What tasks leave running holds up neither recycling nor the end.

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use poolmap_tests::processes::send;

use crate::scene::traced;

const LEAVES: &str = "
def thread(task):
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return os.getpid()
def process(task):
    subprocess.Popen(['sleep', '3600'])
    return os.getpid()
def fork(task):
    if os.fork() == 0: time.sleep(3600)
    return os.getpid()
def pool(task):
    import multiprocessing
    multiprocessing.Process(target=time.sleep, args=(3600,)).start()
    return os.getpid()
def daemon(task):
    # Leaves its process group and all that it was given but the standard streams, as daemons do.
    started = subprocess.Popen(['sleep', '3600'], start_new_session=True, env={'PATH': os.environ['PATH']})
    open(f'daemon-{task}', 'w').write(str(started.pid))
    return os.getpid()
def wont_exit(task):
    import atexit
    if task == 0: atexit.register(time.sleep, 3600)
    return os.getpid()
";

#[test]
fn threads_and_processes_left_running_hold_up_neither_recycling_nor_the_end() {
    const PLAIN: &str = "-j2 --max-tasks-per-child 1";
    const FORKED: &str = "-j2 --max-tasks-per-child 1 --preload json";
    // The last two keep their child from ending by itself until it is killed.
    for (function, ways) in [
        ("thread", &[PLAIN, FORKED][..]),
        ("process", &[PLAIN, FORKED]),
        ("fork", &[PLAIN, FORKED]),
        ("pool", &[FORKED]),
        ("wont_exit", &[PLAIN]),
    ] {
        for &words in ways {
            let ran = traced(LEAVES, words).words(&format!("f.py:{function}")).tasks(4).run().exits(0);
            let mut children: Vec<_> = ran.values().iter().map(|value| value.as_u64().unwrap()).collect();
            children.sort_unstable();
            children.dedup();
            assert_eq!(children.len(), 4, "{function} {words}: each task has a child of its own");
        }
    }
}

#[test]
fn a_daemon_is_left_alone_and_holds_up_nothing() {
    let ran = traced(LEAVES, "-j2 f.py:daemon --max-tasks-per-child 1").tasks(3).run().exits(0);
    assert_eq!(ran.values().len(), 3);
    for task in 0..3 {
        let daemon = Pid::from_raw(ran.file(&format!("daemon-{task}")).parse().unwrap());
        nix::sys::signal::kill(daemon, None).expect("it still runs");
        send(daemon, Signal::SIGKILL);
    }
}
