//! Bytes on their way out: a buffer whose parts go to standard output or standard error, in order.

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// The results' destination.
    Results,
    /// Standard error.
    Notes,
}

/// Memory that an empty buffer keeps.
const KEPT_BYTES: usize = 4 << 20;

/// Bytes for two streams, in the order in which they are to appear.
#[derive(Default)]
pub(super) struct Pages {
    bytes: Vec<u8>,
    /// Where a part ends and whose it is, for all parts but the last.
    parts: Vec<(usize, Stream)>,
    /// Whose the last part is.
    last: Option<Stream>,
}

impl Pages {
    /// The buffer, to append bytes for this stream.
    pub(super) fn to(&mut self, stream: Stream) -> &mut Vec<u8> {
        match self.last {
            Some(last) if last != stream => self.parts.push((self.bytes.len(), last)),
            _ => {}
        }
        self.last = Some(stream);
        &mut self.bytes
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The parts in order, without empty ones.
    pub(super) fn parts(&self) -> impl Iterator<Item = (Stream, &[u8])> {
        let last = self.last.map(|last| (self.bytes.len(), last));
        let mut begin = 0;
        let parts = self.parts.iter().copied().chain(last).map(move |(end, stream)| {
            let part = self.bytes.get(begin..end).unwrap_or_default();
            begin = end;
            (stream, part)
        });
        parts.filter(|(_, part)| !part.is_empty())
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.parts.clear();
        self.last = None;
    }
}
