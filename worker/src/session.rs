//! A worker's life with its coordinator: it dials in, turns what the coordinator says into calls of the pool, and leaves when
//! its time has come.
//!
//! Streams that break are the business of [`link`]; here an attachment goes on, is replaced by a new one, or is over.

mod dial;
mod leaving;
mod line;
mod link;

use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use poolmap_proto::PROTOCOL_VERSION;
use poolmap_proto::v1::Hello;
use poolmap_proto::v1::coordinator_message::Kind;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};
use tonic::Status;

use self::dial::{Attached, Dialer};
use self::leaving::{Leaving, Reason, Step};
use self::link::{End, Link};
use crate::connect::Connector;
use crate::launch::Ground;
use crate::pool::{BadBatch, GUARD_INTERVAL, Pool, SlotStuck};
use crate::slot::driver::Left;
use crate::{Config, OnCoordinatorLost};

/// Time that children have to end after the last slot has stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a worker ended.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The coordinator did not take this worker, or ended its stream with a reason.
    #[error("the coordinator ended the session: {}", .0.message())]
    Refused(#[from] Status),
    /// There is no way to the coordinator, and there will be none.
    #[error("{0}")]
    NoWay(String),
    /// The coordinator was not reached at first.
    #[error("the coordinator could not be reached within {} s: {reason}", tried_for.as_secs())]
    Unreachable {
        /// How long it was tried.
        tried_for: Duration,
        /// Why the last attempt failed.
        reason: String,
    },
    /// The coordinator could not be reached any more.
    #[error("the coordinator could not be reached again within {} s and is taken for lost", .0.as_secs_f64())]
    Lost(Duration),
    /// The coordinator said something that cannot be.
    #[error("the coordinator made no sense: {0}")]
    Nonsense(String),
    /// A defect of this program.
    #[error(transparent)]
    Stuck(#[from] SlotStuck),
}

impl From<BadBatch> for SessionError {
    fn from(error: BadBatch) -> Self {
        Self::Nonsense(error.to_string())
    }
}

/// Serves a coordinator until it has no more use for this worker, or the worker has reason to leave; no child is left behind.
pub(crate) async fn serve(
    config: Config,
    connector: Connector,
    ground: Ground,
    stop: impl Future<Output = ()>,
) -> Result<(), SessionError> {
    let tasks = ground.tasks.clone();
    // A child that is being started when the session ends still reads these before it notices.
    let _runner_files = ground.runner_files.clone();
    let served = run(config, connector, ground, pin!(stop)).await;
    tasks.close();
    if tokio::time::timeout(STOP_TIMEOUT, tasks.wait()).await.is_err() {
        tracing::warn!("children were still ending after {} s", STOP_TIMEOUT.as_secs());
    }
    served
}

async fn run<S: Future<Output = ()>>(
    config: Config,
    connector: Connector,
    ground: Ground,
    mut stop: Pin<&mut S>,
) -> Result<(), SessionError> {
    let mut leaving = Leaving::new(config.idle_timeout, config.time_limit, Instant::now());
    let dialer = Dialer { connector, hello: hello(&config) };
    let mut attached = tokio::select! {
        attached = dialer.clone().dial(None, config.connect_timeout) => attached?,
        () = &mut stop => return Ok(()),
    };
    loop {
        let session = Session::start(&config, &dialer, attached, ground.clone(), &mut leaving);
        match session.serve(stop.as_mut()).await? {
            None => return Ok(()),
            Some(replacement) => attached = replacement,
        }
        if leaving.is_draining() {
            return Ok(());
        }
        tracing::warn!(
            "the coordinator has given this worker up, or has begun anew: what ran was stopped, and it goes on as a new worker"
        );
    }
}

fn hello(config: &Config) -> Hello {
    Hello {
        protocol: PROTOCOL_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name: config.name.clone(),
        slots: config.slots.get(),
        process_id: std::process::id(),
        host: config.host.clone(),
        cpus: config.cpus,
        python_version: config.python_version.clone(),
        labels: config.labels.clone(),
        resume: None,
    }
}

/// One attachment, and the pool that works for it. Whatever is left of either when it is dropped, ends.
struct Session<'a> {
    config: &'a Config,
    leaving: &'a mut Leaving,
    link: Link,
    pool: Pool,
    /// Batches that have left their slots.
    departures: mpsc::Receiver<Left>,
    /// When to look at memory and time.
    look: Interval,
    heartbeat: Interval,
}

impl<'a> Session<'a> {
    fn start(
        config: &'a Config,
        dialer: &Dialer,
        attached: Attached,
        ground: Ground,
        leaving: &'a mut Leaving,
    ) -> Self {
        let (link, reports) = Link::new(dialer.clone(), attached, config.reconnect_timeout);
        let (pool, departures) = Pool::start(ground, reports, link.max_message_bytes());
        let mut look = tokio::time::interval(GUARD_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let heartbeat = tokio::time::interval(link.heartbeat_interval());
        Self { config, leaving, link, pool, departures, look, heartbeat }
    }

    /// Works until it is time to leave, or to go on with another attachment.
    async fn serve<S: Future<Output = ()>>(
        mut self,
        mut stop: Pin<&mut S>,
    ) -> Result<Option<Attached>, SessionError> {
        let (mut is_told, mut is_lost) = (false, false);
        while !(self.leaving.is_draining() && self.pool.is_idle()) {
            tokio::select! {
                said = self.link.next() => match said {
                    Ok(kind) => self.handle(kind)?,
                    Err(End::HungUp) => return Ok(None),
                    Err(End::Replaced(attached)) => return Ok(Some(*attached)),
                    Err(End::Lost) => {
                        self.coordinator_lost()?;
                        is_lost = true;
                    }
                    Err(End::Failed(error)) => return Err(error),
                },
                Some(left) = self.departures.recv() => self.pool.left(left)?,
                attended = self.pool.attend() => attended?,
                _ = self.look.tick() => self.look()?,
                _ = self.heartbeat.tick() => self.link.beat(),
                () = &mut stop, if !is_told => {
                    is_told = true;
                    self.drain(Some(self.config.drain_timeout))?;
                }
            }
        }
        if is_lost {
            return Err(SessionError::Lost(self.config.reconnect_timeout));
        }
        let Self { link, pool, .. } = self;
        drop(pool);
        link.leave().await;
        Ok(None)
    }

    fn handle(&mut self, kind: Kind) -> Result<(), SessionError> {
        match kind {
            Kind::JobStarted(announced) => self.pool.job_started(announced),
            Kind::FunctionsAdded(added) => self.pool.functions_added(added),
            Kind::Batch(batch) => self.pool.batch(batch)?,
            Kind::TakeBack(asked) => self.pool.take_back(asked)?,
            Kind::Stop(stop) => self.pool.stop_batch(stop.batch_id)?,
            Kind::JobEnded(ended) => self.pool.job_ended(ended.job_id)?,
            Kind::Drain(_) => self.drain(None)?,
            Kind::Welcome(_) | Kind::Heartbeat(_) => {}
        }
        Ok(())
    }

    /// Looks at memory and time, and does what is due.
    fn look(&mut self) -> Result<(), SlotStuck> {
        self.pool.guard()?;
        let now = Instant::now();
        match self.leaving.look(now, self.pool.is_idle(), self.pool.longest_task(now)) {
            None => Ok(()),
            Some(Step::Stop) => self.pool.stop_all(),
            Some(Step::Drain(reason)) => {
                match reason {
                    Reason::Idle(timeout) => {
                        tracing::info!("nothing to do for {} s: leaving", timeout.as_secs_f64());
                    }
                    Reason::TimeLimit => tracing::info!("little time is left: leaving"),
                }
                self.pool.drain()
            }
        }
    }

    /// Finishes what runs, within a time if one is given, and gives back the rest.
    fn drain(&mut self, grace: Option<Duration>) -> Result<(), SlotStuck> {
        let is_new = !self.leaving.is_draining();
        self.leaving.told(Instant::now(), grace);
        if is_new {
            tracing::info!("leaving as soon as what runs has ended");
            self.pool.drain()?;
        }
        Ok(())
    }

    /// Nobody waits for outcomes any more: what runs is stopped, or run to its end, as the operator wishes.
    fn coordinator_lost(&mut self) -> Result<(), SessionError> {
        let lost = SessionError::Lost(self.config.reconnect_timeout);
        if self.config.on_coordinator_lost == OnCoordinatorLost::Stop {
            return Err(lost);
        }
        tracing::warn!("{lost}; what runs is run to its end");
        self.link.hang_up();
        Ok(self.drain(None)?)
    }
}
