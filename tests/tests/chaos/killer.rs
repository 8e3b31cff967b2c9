//! Kills and stops processes of a running command, by choices that a seed tells.

use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use poolmap_tests::cast::Cast;
use poolmap_tests::language::{Running, SOON, eventually};
use poolmap_tests::processes::send;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// What was done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deeds {
    pub(crate) killed_children: usize,
    pub(crate) killed_workers: usize,
    pub(crate) stopped_children: usize,
    pub(crate) stopped_workers: usize,
}

#[derive(Clone, Copy, Debug)]
enum Deed {
    KillChild,
    KillWorker,
    StopChild,
    /// For less or for more than the time after which it is lost.
    StopWorker,
}

/// Whoever does it.
pub(crate) struct Killer {
    random: StdRng,
    /// To come, the next one last.
    plan: Vec<Deed>,
    deeds: Deeds,
}

impl Killer {
    const CHILDREN: usize = 52;
    const WORKERS: usize = 11;
    const STOPPED_CHILDREN: usize = 10;
    const STOPPED_WORKERS: usize = 4;
    /// Deeds in all.
    pub(crate) const DEEDS: usize =
        Self::CHILDREN + Self::WORKERS + Self::STOPPED_CHILDREN + Self::STOPPED_WORKERS;

    /// With the seed of `POOLMAP_CHAOS_SEED`, or any.
    pub(crate) fn new() -> Self {
        let asked = std::env::var("POOLMAP_CHAOS_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = asked.unwrap_or_else(rand::random::<u64>);
        println!("POOLMAP_CHAOS_SEED={seed} makes the same choices");
        let mut random = StdRng::seed_from_u64(seed);
        let mut plan = Vec::new();
        for (deed, times) in [
            (Deed::KillChild, Self::CHILDREN),
            (Deed::KillWorker, Self::WORKERS),
            (Deed::StopChild, Self::STOPPED_CHILDREN),
            (Deed::StopWorker, Self::STOPPED_WORKERS),
        ] {
            for _ in 0..times {
                plan.insert(random.random_range(0..=plan.len()), deed);
            }
        }
        Self { random, plan, deeds: Deeds::default() }
    }

    pub(crate) fn deeds(&self) -> Deeds {
        self.deeds
    }

    /// Lets some time pass and does the next deed; `None` when all are done.
    pub(crate) fn act(&mut self, running: &Running) -> Option<()> {
        let deed = self.plan.pop()?;
        self.pause(10..120);
        match deed {
            Deed::KillChild => {
                self.hit(running, Signal::SIGKILL, |cast| &cast.children);
                self.deeds.killed_children += 1;
            }
            Deed::KillWorker => {
                self.hit(running, Signal::SIGKILL, |cast| &cast.workers);
                self.deeds.killed_workers += 1;
            }
            Deed::StopChild => {
                let child = self.hit(running, Signal::SIGSTOP, |cast| &cast.children);
                self.pause(10..200);
                send(child, Signal::SIGCONT);
                self.deeds.stopped_children += 1;
            }
            Deed::StopWorker => {
                let worker = self.hit(running, Signal::SIGSTOP, |cast| &cast.workers);
                self.pause(100..1500);
                send(worker, Signal::SIGCONT);
                self.deeds.stopped_workers += 1;
            }
        }
        Some(())
    }

    /// Chaos takes its time.
    fn pause(&mut self, ms: std::ops::Range<u64>) {
        std::thread::sleep(Duration::from_millis(self.random.random_range(ms)));
    }

    /// Sends a signal to one of those that are there; waits if there are none.
    fn hit(&mut self, running: &Running, signal: Signal, of: impl Fn(&Cast) -> &Vec<Pid>) -> Pid {
        let choice: usize = self.random.random_range(0..1_000_000);
        eventually("there is somebody to hit", SOON, || {
            let cast = Cast::of(running);
            let candidates = of(&cast);
            let chosen = *candidates.get(choice % candidates.len().max(1))?;
            send(chosen, signal).then_some(chosen)
        })
    }
}
