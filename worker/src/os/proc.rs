//! What `/proc` tells of other processes.

use nix::unistd::Pid;

/// Resident memory of a process in bytes; `None` once it has ended.
#[must_use]
pub fn rss_bytes(pid: Pid) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * page_bytes())
}

/// The processes of a session, but for those that have ended and were not waited for yet.
#[must_use]
pub fn session_members(session: Pid) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Pid::from_raw);
    processes.filter(|process| is_member(*process, session).unwrap_or(false)).collect()
}

fn is_member(process: Pid, session: Pid) -> Option<bool> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before it, in brackets, may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let (state, own) = (fields.next()?, fields.nth(2)?);
    Some(state != "Z" && own.parse() == Ok(session.as_raw()))
}

fn page_bytes() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(4096)
}
