//! The functions of a job of pickled calls: what its payloads name by number, kept for workers that are told of the job later.

use bytes::Bytes;
use poolmap_proto::v1::FunctionList;

/// The list so far.
#[derive(Debug, Default)]
pub(crate) struct Functions(Vec<Bytes>);

impl Functions {
    /// Appends those that are not there yet and returns them. A list that would leave a gap adds nothing.
    pub(crate) fn add(&mut self, list: FunctionList) -> FunctionList {
        let known = self.0.len() as u64;
        let skipped = known.checked_sub(list.first).and_then(|skipped| usize::try_from(skipped).ok());
        let new: Vec<_> = list.functions.into_iter().skip(skipped.unwrap_or(usize::MAX)).collect();
        self.0.extend_from_slice(&new);
        FunctionList { first: known, functions: new }
    }

    /// All of them, if there are any.
    pub(crate) fn all(&self) -> Option<FunctionList> {
        (!self.0.is_empty()).then(|| FunctionList { first: 0, functions: self.0.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(first: u64, functions: &[&'static str]) -> FunctionList {
        FunctionList { first, functions: functions.iter().copied().map(Bytes::from).collect() }
    }

    #[test]
    fn functions_that_are_sent_again_are_not_added_twice() {
        let mut functions = Functions::default();
        assert_eq!(functions.all(), None);
        assert_eq!(functions.add(list(0, &["a", "b"])), list(0, &["a", "b"]));
        assert_eq!(functions.add(list(1, &["b", "c"])), list(2, &["c"]));
        assert_eq!(functions.all(), Some(list(0, &["a", "b", "c"])));
    }

    #[test]
    fn a_gap_in_the_numbers_adds_nothing() {
        let mut functions = Functions::default();
        assert_eq!(functions.add(list(1, &["b"])), list(0, &[]));
        assert_eq!(functions.all(), None);
    }
}
