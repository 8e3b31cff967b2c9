//! The scheduler against the naive model: any events in any order, sensible or not.

use poolmap_scheduler::{BatchId, ClassId, Classes, Config, Event, Halt, JobId, JobOptions, Time, WorkerId};
use proptest::prelude::*;

use crate::checked::Checked;

/// An event whose batch and counts are still to be fitted to what is in flight when its turn comes.
#[derive(Clone, Debug)]
enum Step {
    /// Exactly this event.
    Plain(Event),
    /// A report of the `pick`th batch in flight, by its own worker, with a number within `0..=length`.
    Report { pick: usize, kind: ReportKind, part: u32 },
}

#[derive(Clone, Debug)]
enum ReportKind {
    Begun,
    Ended,
    Returned,
    Failed,
    Crashed,
    Evicted,
}

fn job() -> impl Strategy<Value = JobId> {
    (0..3_u64).prop_map(JobId)
}

fn worker() -> impl Strategy<Value = WorkerId> {
    (0..3_u64).prop_map(WorkerId)
}

fn batch() -> impl Strategy<Value = BatchId> {
    (0..40_u64).prop_map(BatchId)
}

fn class() -> impl Strategy<Value = ClassId> {
    (0..3_u64).prop_map(ClassId)
}

fn classes() -> impl Strategy<Value = Classes> {
    let some = prop::collection::btree_set(class(), 0..3).prop_map(Classes::from_iter);
    prop_oneof![2 => Just(Classes::All), 1 => some]
}

fn options() -> impl Strategy<Value = JobOptions> {
    let halt = prop_oneof![
        4 => Just(Halt::Never),
        1 => (1..5_u64).prop_map(Halt::AfterFailures),
        1 => (1..100_u8).prop_map(|percent| Halt::AfterShare { percent }),
    ];
    let retries = (0..=2_u32, prop_oneof![Just(0), 0..40_000_000_u64]);
    (-1..=1, 1..=3_u32, prop::option::of(1..=5_u32), retries, halt, any::<bool>(), classes()).prop_map(
        |(
            priority,
            crash_limit,
            max_tasks_per_child,
            (retries, retry_delay_ns),
            halt,
            speculate,
            classes,
        )| {
            JobOptions {
                priority,
                crash_limit,
                max_tasks_per_child,
                retries,
                retry_delay_ns,
                halt,
                speculate,
                classes,
            }
        },
    )
}

fn request() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (job(), options()).prop_map(|(job, options)| Event::JobSubmitted { job, options }),
        6 => (job(), 0..30_u32).prop_map(|(job, count)| Event::TasksAdded { job, count }),
        1 => job().prop_map(|job| Event::JobClosed { job }),
        1 => (job(), any::<bool>())
            .prop_map(|(job, kills_running)| Event::JobCancelled { job, kills_running }),
        2 => (job(), 0..60_u64, 0..20_u64, any::<bool>()).prop_map(|(job, first, count, kills_running)| {
            Event::TasksCancelled { job, first, count, kills_running }
        }),
        2 => (job(), any::<bool>()).prop_map(|(job, held)| Event::JobHeld { job, held }),
        1 => (job(), classes()).prop_map(|(job, classes)| Event::JobLimited { job, classes }),
        3 => (worker(), 1..=3_u32, class())
            .prop_map(|(worker, slots, class)| Event::WorkerJoined { worker, slots, class }),
        1 => (worker(), class()).prop_map(|(worker, class)| Event::WorkerClassed { worker, class }),
        1 => worker().prop_map(|worker| Event::WorkerDraining { worker }),
        2 => (worker(), any::<bool>())
            .prop_map(|(worker, is_blamed)| Event::WorkerLeft { worker, is_blamed }),
        1 => Just(Event::TimePassed),
    ]
}

fn wild_report() -> impl Strategy<Value = Event> {
    (worker(), batch(), any::<u32>(), 0..5).prop_map(|(worker, batch, number, kind)| match kind {
        0 => Event::Begun { worker, batch },
        1 => Event::Ended { worker, batch, count: number, busy_ns: u64::MAX, failed: vec![number] },
        2 => Event::Returned { worker, batch, length: number },
        3 => Event::Crashed { worker, batch, offset: number },
        _ => Event::Evicted { worker, batch, offset: number },
    })
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        Just(ReportKind::Begun),
        Just(ReportKind::Ended),
        Just(ReportKind::Returned),
        Just(ReportKind::Failed),
        Just(ReportKind::Crashed),
        Just(ReportKind::Evicted)
    ];
    prop_oneof![
        4 => request().prop_map(Step::Plain),
        1 => wild_report().prop_map(Step::Plain),
        6 => (any::<usize>(), kind, any::<u32>()).prop_map(|(pick, kind, part)| Step::Report { pick, kind, part }),
    ]
}

fn event(step: Step, checked: &Checked, now: u64) -> Option<Event> {
    let (pick, kind, part) = match step {
        Step::Plain(event) => return Some(event),
        Step::Report { pick, kind, part } => (pick, kind, part),
    };
    let in_flight = &checked.ledger.batches;
    let (&id, batch) = in_flight.iter().nth(pick % in_flight.len().max(1))?;
    let worker = batch.worker;
    let number = part % (batch.length + 1);
    Some(match kind {
        ReportKind::Begun => Event::Begun { worker, batch: id },
        ReportKind::Ended => Event::Ended {
            worker,
            batch: id,
            count: number,
            busy_ns: u64::from(part) % (now + 1),
            failed: Vec::new(),
        },
        ReportKind::Failed => {
            let failed = (0..number).filter(|offset| part >> (offset % 32) & 1 == 1).collect();
            Event::Ended { worker, batch: id, count: number, busy_ns: 0, failed }
        }
        ReportKind::Returned => Event::Returned { worker, batch: id, length: number },
        ReportKind::Crashed => {
            let offset = if part % 4 == 0 { number } else { batch.done };
            Event::Crashed { worker, batch: id, offset }
        }
        ReportKind::Evicted => Event::Evicted { worker, batch: id, offset: batch.done },
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_events_do_what_they_do_to_a_record_per_task(
        steps in prop::collection::vec((step(), 0..30_000_000_u64), 1..150),
    ) {
        let mut checked = Checked::new(Config::default());
        let mut now = 0;
        for (step, pause_ns) in steps {
            now += pause_ns;
            if let Some(event) = event(step, &checked, now) {
                checked.handle(Time(now), event);
            }
        }
    }
}
