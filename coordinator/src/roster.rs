//! Who the attached workers are, and which jobs each may run: those whose labels it has, and which it did not find itself unable to
//! run. Workers that may run the same jobs share a class, by which the scheduler knows them.

use std::collections::{BTreeMap, BTreeSet};

use poolmap_proto::v1::Hello;
use poolmap_scheduler::{ClassId, Classes, JobId, WorkerId};

use crate::clock::Clock;

/// Workers that one message names at most.
const NAMED_MAX: usize = 20;

/// One attached worker.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) hello: Hello,
    pub(crate) attached_ms: u64,
    pub(crate) is_draining: bool,
    pub(crate) class: ClassId,
    kind: Kind,
}

/// What workers of one class have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kind {
    labels: BTreeSet<String>,
    refused: BTreeSet<JobId>,
}

impl Kind {
    fn may_run(&self, job: JobId, labels: &[String]) -> bool {
        self.has(labels) && !self.refused.contains(&job)
    }

    fn has(&self, labels: &[String]) -> bool {
        labels.iter().all(|label| self.labels.contains(label))
    }
}

/// All attached workers and their classes.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    members: BTreeMap<WorkerId, Member>,
    /// Those of the members.
    classes: BTreeMap<ClassId, Kind>,
    last_class: u64,
}

impl Roster {
    pub(crate) fn join(&mut self, worker: WorkerId, hello: Hello) -> ClassId {
        let kind = Kind { labels: hello.labels.iter().cloned().collect(), refused: BTreeSet::new() };
        let class = self.class_of(&kind);
        let attached_ms = Clock::wall_ms();
        self.members.insert(worker, Member { hello, attached_ms, is_draining: false, class, kind });
        class
    }

    pub(crate) fn leave(&mut self, worker: WorkerId) {
        self.members.remove(&worker);
    }

    pub(crate) fn get(&self, worker: WorkerId) -> Option<&Member> {
        self.members.get(&worker)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (WorkerId, &Member)> {
        self.members.iter().map(|(&id, member)| (id, member))
    }

    /// Notes that a worker is about to leave.
    pub(crate) fn drain(&mut self, worker: WorkerId) {
        if let Some(member) = self.members.get_mut(&worker) {
            member.is_draining = true;
        }
    }

    /// A worker found that it cannot run a job. Returns its class from now on, unless it had said so before.
    pub(crate) fn refuse(&mut self, worker: WorkerId, job: JobId) -> Option<ClassId> {
        let member = self.members.get_mut(&worker)?;
        if !member.kind.refused.insert(job) {
            return None;
        }
        Some(self.classify(worker))
    }

    /// A job has ended: who refused it is like the others again. Returns whose class has changed.
    pub(crate) fn forget_job(&mut self, job: JobId) -> Vec<(WorkerId, ClassId)> {
        let refusing = self
            .members
            .iter_mut()
            .filter_map(|(&id, member)| member.kind.refused.remove(&job).then_some(id));
        let refusing: Vec<WorkerId> = refusing.collect();
        refusing.into_iter().map(|worker| (worker, self.classify(worker))).collect()
    }

    fn classify(&mut self, worker: WorkerId) -> ClassId {
        let kind = self.members.get(&worker).map(|member| member.kind.clone()).unwrap_or_default();
        let class = self.class_of(&kind);
        if let Some(member) = self.members.get_mut(&worker) {
            member.class = class;
        }
        class
    }

    fn class_of(&mut self, kind: &Kind) -> ClassId {
        let known = self.classes.iter().find(|(_, known)| *known == kind).map(|(&class, _)| class);
        known.unwrap_or_else(|| {
            self.last_class += 1;
            let class = ClassId(self.last_class);
            self.classes.insert(class, kind.clone());
            class
        })
    }

    /// Forgets classes that no worker has any more; returns whether there were any.
    pub(crate) fn forget_classes(&mut self) -> bool {
        let before = self.classes.len();
        let used: BTreeSet<ClassId> = self.members.values().map(|member| member.class).collect();
        self.classes.retain(|class, _| used.contains(class));
        self.classes.len() < before
    }

    /// The classes of the workers that may run a job.
    pub(crate) fn classes(&self, job: JobId, labels: &[String]) -> Classes {
        if labels.is_empty() && !self.classes.values().any(|kind| kind.refused.contains(&job)) {
            return Classes::All;
        }
        let may = self.classes.iter().filter(|(_, kind)| kind.may_run(job, labels));
        may.map(|(&class, _)| class).collect()
    }

    /// Whether a worker is attached and here to stay that may run a job.
    pub(crate) fn can_run(&self, job: JobId, labels: &[String]) -> bool {
        self.staying().any(|member| member.kind.may_run(job, labels))
    }

    fn staying(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| !member.is_draining)
    }

    /// Why no worker runs a job; empty if one may.
    pub(crate) fn lacks(&self, job: JobId, labels: &[String]) -> String {
        if self.can_run(job, labels) {
            String::new()
        } else if self.members.is_empty() {
            "no worker is attached".to_owned()
        } else if self.staying().next().is_none() {
            "every attached worker is about to leave".to_owned()
        } else if self.staying().any(|member| member.kind.has(labels)) {
            "every attached worker that it may run on cannot run it".to_owned()
        } else {
            let noun = if labels.len() == 1 { "label" } else { "labels" };
            format!("no attached worker has the {noun} {}", labels.join(", "))
        }
    }

    /// The worker with an id or a name, or what is wrong with that.
    pub(crate) fn find(&self, named: &str) -> Result<WorkerId, FindError> {
        if let Some(id) = named.parse().ok().map(WorkerId).filter(|id| self.members.contains_key(id)) {
            return Ok(id);
        }
        let mut alike =
            self.members.iter().filter(|(_, member)| member.hello.name == named).map(|(&id, _)| id);
        match (alike.next(), alike.next()) {
            (Some(worker), None) => Ok(worker),
            (Some(first), Some(second)) => Err(FindError::Several { named: named.to_owned(), first, second }),
            (None, _) => Err(FindError::None { named: named.to_owned(), attached: self.names() }),
        }
    }

    fn names(&self) -> String {
        let mut names: Vec<String> = self
            .iter()
            .take(NAMED_MAX)
            .map(|(id, member)| format!("{} ({})", member.hello.name, id.0))
            .collect();
        match self.members.len() {
            0 => return "none is attached at all".to_owned(),
            all if all > NAMED_MAX => names.push(format!("and {} more", all - NAMED_MAX)),
            _ => {}
        }
        format!("attached are: {}", names.join(", "))
    }
}

/// Why a name stands for no worker.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum FindError {
    #[error("no worker {named} is attached; {attached}")]
    None { named: String, attached: String },
    #[error("several workers are called {named}: say which by its id, such as {} or {}", .first.0, .second.0)]
    Several { named: String, first: WorkerId, second: WorkerId },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(name: &str, labels: &[&str]) -> Hello {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Hello { name: name.to_owned(), labels, ..Hello::default() }
    }

    fn labels(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|label| (*label).to_owned()).collect()
    }

    fn roster() -> Roster {
        let mut roster = Roster::default();
        roster.join(WorkerId(1), hello("a", &["gpu", "big"]));
        roster.join(WorkerId(2), hello("b", &["big", "gpu"]));
        roster.join(WorkerId(3), hello("c", &["big"]));
        roster
    }

    #[test]
    fn workers_with_the_same_labels_share_a_class() {
        let roster = roster();
        let class = |id| roster.get(WorkerId(id)).map(|member| member.class);
        assert_eq!(class(1), class(2));
        assert_ne!(class(1), class(3));
        assert_eq!(roster.classes(JobId(1), &labels(&["gpu"])), class(1).into_iter().collect());
        assert_eq!(roster.classes(JobId(1), &[]), Classes::All);
        assert_eq!(roster.classes(JobId(1), &labels(&["arm"])), Classes::from_iter([]));
    }

    #[test]
    fn who_refuses_a_job_is_in_a_class_of_its_own_until_that_has_ended() {
        let mut roster = roster();
        let before = roster.get(WorkerId(3)).map(|member| member.class);
        let class = roster.refuse(WorkerId(3), JobId(1));
        assert!(class.is_some() && class != before);
        assert_eq!(roster.refuse(WorkerId(3), JobId(1)), None, "it said so before");
        assert!(class.is_some_and(|class| !roster.classes(JobId(1), &[]).include(class)));
        assert!(class.is_some_and(|class| roster.classes(JobId(2), &labels(&["big"])).include(class)));
        let changed = roster.forget_job(JobId(1));
        assert_eq!(changed.len(), 1);
        assert!(roster.forget_classes());
        assert_eq!(roster.classes(JobId(1), &[]), Classes::All);
    }

    #[test]
    fn what_a_job_waits_for_is_said() {
        let mut roster = Roster::default();
        assert_eq!(roster.lacks(JobId(1), &[]), "no worker is attached");
        roster.join(WorkerId(1), hello("a", &["big"]));
        assert_eq!(roster.lacks(JobId(1), &labels(&["big"])), "");
        assert_eq!(roster.lacks(JobId(1), &labels(&["gpu"])), "no attached worker has the label gpu");
        assert_eq!(
            roster.lacks(JobId(1), &labels(&["big", "gpu"])),
            "no attached worker has the labels big, gpu"
        );
        roster.refuse(WorkerId(1), JobId(1));
        assert_eq!(roster.lacks(JobId(1), &[]), "every attached worker that it may run on cannot run it");
        roster.drain(WorkerId(1));
        assert_eq!(roster.lacks(JobId(2), &[]), "every attached worker is about to leave");
    }

    #[test]
    fn a_worker_is_found_by_id_or_name() {
        let mut roster = roster();
        assert_eq!((roster.find("2"), roster.find("c")), (Ok(WorkerId(2)), Ok(WorkerId(3))));
        let unknown = roster.find("d").err().map(|error| error.to_string());
        assert_eq!(unknown.as_deref(), Some("no worker d is attached; attached are: a (1), b (2), c (3)"));
        roster.join(WorkerId(4), hello("a", &[]));
        let several = roster.find("a").err().map(|error| error.to_string());
        assert_eq!(
            several.as_deref(),
            Some("several workers are called a: say which by its id, such as 1 or 4")
        );
        assert_eq!(
            Roster::default().find("a").err().map(|e| e.to_string()).as_deref(),
            Some("no worker a is attached; none is attached at all")
        );
    }
}
