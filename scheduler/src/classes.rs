//! Which workers may run which jobs: workers that may run the same jobs share a class, and a job may be limited to some classes.
//! What a class stands for is the shell's business.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Workers that may run the same jobs, named by the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u64);

/// The classes of the workers that may run a job. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Classes {
    /// Every worker may.
    #[default]
    All,
    /// Only workers of these classes may; of none, the job waits.
    Only(Arc<BTreeSet<ClassId>>),
}

impl Classes {
    /// Whether workers of a class may run the job.
    #[must_use]
    pub fn include(&self, class: ClassId) -> bool {
        match self {
            Self::All => true,
            Self::Only(classes) => classes.contains(&class),
        }
    }

    /// Whether a worker may be among both.
    pub(crate) fn overlap(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => true,
            (Self::Only(one), Self::Only(other)) => !one.is_disjoint(other),
        }
    }
}

impl FromIterator<ClassId> for Classes {
    fn from_iter<I: IntoIterator<Item = ClassId>>(classes: I) -> Self {
        Self::Only(Arc::new(classes.into_iter().collect()))
    }
}
