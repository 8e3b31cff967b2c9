//! What to do when memory runs out, decided from figures alone: the pool reads them, asks, and acts.
//!
//! In three steps, each dearer than the one before. Above the high-water mark no task begins beside another, and idle
//! children, which hold memory for nothing, are replaced one by one. Above the critical mark all idle children go at
//! once, and when there are none left the youngest attempt: it has lost the least work, and the older ones come nearer
//! to an end that frees their memory.
//!
//! The last attempt is never evicted, nor is the oldest of several. An attempt that does not fit although nothing runs beside it would not fit the next
//! time either: the kernel kills it, and it is reported as out of memory, which is the truth. And whatever happens one
//! task makes progress, so that the pool cannot stand still because of what other programs use.

use std::time::{Duration, Instant};

use super::limits::Memory;

/// Where the guard acts. Shares are of the memory that may be used, from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    /// From here on no task begins beside another. A fifth is left for those that run to grow into: tasks are
    /// smallest when they begin.
    pub(crate) high_water: f64,
    /// Below this tasks begin again. The gap is several times what a small child takes, so that one that comes or goes does
    /// not switch it.
    pub(crate) release: f64,
    /// From here on attempts are evicted. What is left must last for a few readings: a process fills about 100 MB in the
    /// tenth of a second between two of them, and 5% of 8 GB are 400 MB.
    pub(crate) critical: f64,
    /// Time that the memory of an ended child takes to show as available, beyond doubt; till then nothing more of the
    /// same kind is done. The kernel gives back some 5 GB in that time.
    pub(crate) settle: Duration,
}

impl Default for Marks {
    fn default() -> Self {
        Self { high_water: 0.80, release: 0.75, critical: 0.95, settle: Duration::from_millis(500) }
    }
}

/// A slot with a child of its own, which can be ended without touching another slot. Slots without a child, and children
/// that are ending already, are not shown to the guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotUse {
    pub(crate) slot: usize,
    /// Resident memory of the child.
    pub(crate) rss_bytes: u64,
    /// When the attempt it runs was begun; `None` if it is idle.
    pub(crate) attempt_started: Option<Instant>,
}

/// What the pool shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// From now on (or, if false, no longer) a task may begin only while no other runs.
    Hold(bool),
    /// End this slot's idle child; another is started when there is work for it.
    RecycleIdle(usize),
    /// Kill this slot's child. Its task runs again, later and alone, and the death does not count as a crash.
    Evict(usize),
}

/// Remembers what was decided before.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    marks: Marks,
    is_holding: bool,
    recycled: Option<Instant>,
    evicted: Option<Instant>,
}

impl Guard {
    /// What to do now that `memory` was read, after all that was decided before was done. Each call must bring figures
    /// that were read after the last one.
    pub(crate) fn decide(&mut self, now: Instant, memory: Memory, slots: &[SlotUse]) -> Vec<Decision> {
        let used = memory.used_share();
        let mut decisions = Vec::new();
        decisions.extend(self.switch(used));
        let recycled = self.recycle(now, used, slots);
        let evicted = if recycled.is_empty() { self.evict(now, used, slots) } else { None };
        decisions.extend(recycled.into_iter().map(Decision::RecycleIdle));
        decisions.extend(evicted.map(Decision::Evict));
        decisions
    }

    fn switch(&mut self, used: f64) -> Option<Decision> {
        let mark = if self.is_holding { self.marks.release } else { self.marks.high_water };
        let shall_hold = used >= mark;
        let changed = shall_hold != self.is_holding;
        self.is_holding = shall_hold;
        changed.then_some(Decision::Hold(shall_hold))
    }

    /// Idle children to end: all when it is critical, else the fattest one.
    fn recycle(&mut self, now: Instant, used: f64, slots: &[SlotUse]) -> Vec<usize> {
        let idle = slots.iter().filter(|slot| slot.attempt_started.is_none());
        let chosen: Vec<_> = if used >= self.marks.critical {
            idle.map(|slot| slot.slot).collect()
        } else if used >= self.marks.high_water && self.has_settled(self.recycled, now) {
            idle.max_by_key(|slot| slot.rss_bytes).map(|slot| slot.slot).into_iter().collect()
        } else {
            Vec::new()
        };
        if !chosen.is_empty() {
            self.recycled = Some(now);
        }
        chosen
    }

    /// The slot whose attempt must go.
    fn evict(&mut self, now: Instant, used: f64, slots: &[SlotUse]) -> Option<usize> {
        if used < self.marks.critical || !self.has_settled(self.evicted, now) {
            return None;
        }
        let busy = || slots.iter().filter_map(|slot| Some((slot.attempt_started?, slot.slot)));
        let youngest = busy().max()?;
        if busy().min()? == youngest {
            return None;
        }
        self.evicted = Some(now);
        Some(youngest.1)
    }

    fn has_settled(&self, last: Option<Instant>, now: Instant) -> bool {
        last.is_none_or(|last| now.saturating_duration_since(last) >= self.marks.settle)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static START: LazyLock<Instant> = LazyLock::new(Instant::now);

    fn at(ms: u64) -> Instant {
        *START + Duration::from_millis(ms)
    }

    /// Memory of which so many thousandths are in use.
    fn used(thousandths: u64) -> Memory {
        Memory { limit_bytes: 1000, available_bytes: 1000_u64.saturating_sub(thousandths) }
    }

    fn idle(slot: usize, rss_bytes: u64) -> SlotUse {
        SlotUse { slot, rss_bytes, attempt_started: None }
    }

    fn busy(slot: usize, started_ms: u64) -> SlotUse {
        SlotUse { slot, rss_bytes: 1, attempt_started: Some(at(started_ms)) }
    }

    #[test]
    fn with_memory_left_nothing_is_done() {
        let slots = [idle(0, 500), busy(1, 0), busy(2, 5)];
        assert_eq!(Guard::default().decide(at(10), used(799), &slots), []);
    }

    #[test]
    fn holding_begins_at_the_high_water_mark_and_ends_well_below_it() {
        let mut guard = Guard::default();
        assert_eq!(guard.decide(at(0), used(800), &[]), [Decision::Hold(true)]);
        assert_eq!(guard.decide(at(100), used(790), &[]), []);
        assert_eq!(guard.decide(at(200), used(751), &[]), []);
        assert_eq!(guard.decide(at(300), used(749), &[]), [Decision::Hold(false)]);
        assert_eq!(guard.decide(at(400), used(790), &[]), []);
    }

    #[test]
    fn above_the_high_water_mark_the_fattest_idle_child_goes_and_then_the_next() {
        let mut guard = Guard::default();
        let slots = [idle(0, 10), idle(1, 30), busy(2, 0), idle(3, 20)];
        assert_eq!(guard.decide(at(0), used(850), &slots), [Decision::Hold(true), Decision::RecycleIdle(1)]);
        assert_eq!(guard.decide(at(499), used(850), &slots), []);
        assert_eq!(guard.decide(at(500), used(850), &slots), [Decision::RecycleIdle(1)]);
        assert_eq!(guard.decide(at(1000), used(799), &slots), []);
    }

    #[test]
    fn when_it_is_critical_all_idle_children_go_before_any_attempt() {
        let mut guard = Guard::default();
        let slots = [busy(0, 0), idle(1, 10), busy(2, 5), idle(3, 20)];
        let decisions = guard.decide(at(10), used(960), &slots);
        assert_eq!(decisions, [Decision::Hold(true), Decision::RecycleIdle(1), Decision::RecycleIdle(3)]);
        assert_eq!(guard.decide(at(110), used(960), &[busy(0, 0), busy(2, 5)]), [Decision::Evict(2)]);
    }

    #[test]
    fn the_youngest_attempt_is_evicted_and_the_next_only_after_a_while() {
        let mut guard = Guard::default();
        let slots = [busy(0, 7), busy(1, 3), busy(2, 9)];
        assert_eq!(guard.decide(at(10), used(950), &slots), [Decision::Hold(true), Decision::Evict(2)]);
        assert_eq!(guard.decide(at(500), used(999), &slots[..2]), []);
        assert_eq!(guard.decide(at(510), used(999), &slots[..2]), [Decision::Evict(0)]);
    }

    #[test]
    fn an_attempt_that_runs_alone_is_left_to_the_kernel() {
        let mut guard = Guard::default();
        assert_eq!(guard.decide(at(10), used(1000), &[busy(4, 0)]), [Decision::Hold(true)]);
        assert_eq!(guard.decide(at(1000), used(1000), &[busy(4, 0)]), []);
    }

    #[test]
    fn of_attempts_that_began_together_one_stays() {
        let mut guard = Guard::default();
        let slots = [busy(0, 3), busy(1, 3)];
        assert_eq!(guard.decide(at(10), used(990), &slots), [Decision::Hold(true), Decision::Evict(1)]);
    }

    /// One reading: time since the last one, thousandths in use, and the slots.
    fn reading() -> impl Strategy<Value = (u64, u64, Vec<(bool, u64, u64)>)> {
        let slot = (any::<bool>(), 0..50_u64, 0..100_u64);
        (1..400_u64, prop_oneof![700..1000_u64, 940..960_u64], prop::collection::vec(slot, 0..6))
    }

    fn slots_at(ms: u64, slots: &[(bool, u64, u64)]) -> Vec<SlotUse> {
        let slots = slots.iter().enumerate();
        slots
            .map(|(slot, (is_busy, age, rss))| if *is_busy { busy(slot, ms - age) } else { idle(slot, *rss) })
            .collect()
    }

    proptest! {
        #[test]
        fn the_guard_keeps_its_rules_whatever_it_reads(readings in prop::collection::vec(reading(), 1..60)) {
            let marks = Marks::default();
            let (mut guard, mut ms) = (Guard::default(), 1000);
            let (mut is_holding, mut evicted) = (false, None::<Instant>);
            for (step, thousandths, slots) in readings {
                ms += step;
                let (now, slots, memory) = (at(ms), slots_at(ms, &slots), used(thousandths));
                let share = memory.used_share();
                let started = |slot| slots.iter().find(|use_| use_.slot == slot).and_then(|use_| use_.attempt_started);
                for decision in guard.decide(now, memory, &slots) {
                    match decision {
                        Decision::Hold(hold) => {
                            prop_assert_ne!(hold, is_holding, "hold and release take turns");
                            is_holding = hold;
                        }
                        Decision::RecycleIdle(slot) => {
                            prop_assert!(share >= marks.high_water);
                            prop_assert!(slots.iter().any(|use_| use_.slot == slot) && started(slot).is_none());
                        }
                        Decision::Evict(slot) => {
                            prop_assert!(share >= marks.critical);
                            prop_assert!(slots.iter().all(|use_| use_.attempt_started.is_some()), "idle ones go first");
                            let own = started(slot);
                            prop_assert!(slots.iter().all(|use_| use_.attempt_started <= own), "the youngest goes");
                            let others = slots.iter().filter(|use_| use_.slot != slot);
                            prop_assert!(others.count() > 0, "one stays");
                            prop_assert!(evicted.is_none_or(|last| now - last >= marks.settle), "one at a time");
                            evicted = Some(now);
                        }
                    }
                }
                prop_assert!(share < marks.high_water || is_holding);
                prop_assert!(share >= marks.release || !is_holding);
            }
        }
    }
}
