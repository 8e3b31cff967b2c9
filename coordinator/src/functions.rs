//! The functions of a job of pickled calls: what its payloads name by number, kept for workers that are told of the job later.

use bytes::Bytes;
use poolmap_proto::v1::FunctionList;

/// What a function takes in a message beside its own bytes, at most.
const ITEM_BYTES: usize = 8;

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

    /// All of them, in lists that a message can carry.
    pub(crate) fn lists(&self, bytes_max: usize) -> impl Iterator<Item = FunctionList> {
        let mut first = 0;
        std::iter::from_fn(move || {
            let rest = self.0.get(first..).filter(|rest| !rest.is_empty())?;
            let ends = rest.iter().scan(0, |end, function| {
                *end += function.len() + ITEM_BYTES;
                Some(*end)
            });
            let count = ends.take_while(|end| *end <= bytes_max).count().max(1);
            let functions = rest.iter().take(count).cloned().collect();
            first += count;
            Some(FunctionList { first: (first - count) as u64, functions })
        })
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
        assert_eq!(functions.lists(100).count(), 0);
        assert_eq!(functions.add(list(0, &["a", "b"])), list(0, &["a", "b"]));
        assert_eq!(functions.add(list(1, &["b", "c"])), list(2, &["c"]));
        assert_eq!(functions.lists(100).collect::<Vec<_>>(), [list(0, &["a", "b", "c"])]);
    }

    #[test]
    fn a_gap_in_the_numbers_adds_nothing() {
        let mut functions = Functions::default();
        assert_eq!(functions.add(list(1, &["b"])), list(0, &[]));
        assert_eq!(functions.lists(100).count(), 0);
    }

    #[test]
    fn lists_are_as_long_as_a_message_may_be_and_leave_nothing_out() {
        let mut functions = Functions::default();
        functions.add(list(0, &["a", "bb", "ccc", "dddddddd"]));
        let lists: Vec<_> = functions.lists(2 * ITEM_BYTES + 3).collect();
        assert_eq!(lists, [list(0, &["a", "bb"]), list(2, &["ccc"]), list(3, &["dddddddd"])]);
    }
}
