//! The environment that keeps the thread pools of numeric libraries within a slot's share of the machine.
//!
//! Left alone, each child's OpenMP or BLAS would start a thread per processor, and the pool's children together far
//! more threads than there are processors.

use std::num::NonZeroU32;

/// The variable that the others fall back to.
const OPENMP: &str = "OMP_NUM_THREADS";
/// Variables of libraries that take [`OPENMP`]'s value while their own is unset.
const FOLLOW_OPENMP: [&str; 3] = ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"];
/// Apple's, which follows nobody.
const VECLIB: &str = "VECLIB_MAXIMUM_THREADS";

/// Variables to set for the children of a pool, each to the whole processors per slot, at least 1.
///
/// `is_set` tells which variables the user has set, in the environment or for the job. Those stay as they are; and
/// where the user has capped OpenMP, libraries that follow it are left to do so.
pub fn thread_caps(
    cpus: NonZeroU32,
    slots: NonZeroU32,
    is_set: impl Fn(&str) -> bool,
) -> Vec<(&'static str, String)> {
    let threads = (cpus.get() / slots).max(1).to_string();
    let followers = FOLLOW_OPENMP.into_iter().filter(|_| !is_set(OPENMP));
    let unset = [OPENMP, VECLIB].into_iter().chain(followers).filter(|name| !is_set(name));
    unset.map(|name| (name, threads.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(cpus: u32, slots: u32, set: &[&str]) -> Vec<(&'static str, String)> {
        let count = |value| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
        thread_caps(count(cpus), count(slots), |name| set.contains(&name))
    }

    #[test]
    fn every_library_gets_the_whole_processors_of_a_slot() {
        let caps = caps(8, 3, &[]);
        assert_eq!(caps.len(), 5);
        assert!(caps.iter().all(|(_, threads)| threads == "2"), "{caps:?}");
    }

    #[test]
    fn more_slots_than_processors_still_leave_one_thread() {
        assert!(caps(2, 5, &[]).iter().all(|(_, threads)| threads == "1"));
    }

    #[test]
    fn what_the_user_set_stays() {
        let caps = caps(8, 2, &["MKL_NUM_THREADS"]);
        let names: Vec<_> = caps.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [OPENMP, VECLIB, "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"]);
    }

    #[test]
    fn libraries_that_follow_openmp_follow_the_users_value() {
        assert_eq!(caps(8, 2, &[OPENMP]), [(VECLIB, "4".to_owned())]);
    }
}
