//! What is still to be written to a runner's socket.

use std::collections::VecDeque;

use bytes::{Buf, BufMut as _, Bytes, BytesMut};

/// From so many bytes on it costs less to write a payload by itself than to copy it behind what else is to be written.
const LARGE_BYTES: usize = 64 << 10;

/// Bytes in the order in which they are to be written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// All but the tail.
    parts: VecDeque<Bytes>,
    tail: BytesMut,
}

impl Outbox {
    /// What was put last, to put more of the kind behind it.
    pub(super) fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Puts payloads, which are not copied if they are large.
    pub(super) fn put(&mut self, payloads: Bytes) {
        if payloads.len() < LARGE_BYTES {
            self.tail.put_slice(&payloads);
        } else {
            self.parts.push_back(self.tail.split().freeze());
            self.parts.push_back(payloads);
        }
    }

    /// Whether all is written.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_remaining()
    }
}

impl Buf for Outbox {
    fn remaining(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum::<usize>() + self.tail.len()
    }

    fn chunk(&self) -> &[u8] {
        self.parts.iter().find(|part| !part.is_empty()).map_or(&self.tail, |part| part)
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(part) = self.parts.front_mut() {
            let here = count.min(part.len());
            part.advance(here);
            count -= here;
            if !part.is_empty() {
                return;
            }
            self.parts.pop_front();
        }
        self.tail.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_written_in_its_order_whatever_the_socket_takes_at_once() {
        let large = Bytes::from(vec![7; LARGE_BYTES]);
        for step in [1, 1000, LARGE_BYTES, usize::MAX] {
            let mut outbox = Outbox::default();
            outbox.tail().put_slice(b"before");
            outbox.put(large.clone());
            outbox.put(large.clone());
            outbox.put(Bytes::from_static(b"after"));
            let mut written: Vec<u8> = Vec::new();
            while !outbox.is_empty() {
                let taken = outbox.chunk().len().min(step);
                written.extend(outbox.chunk().iter().take(taken));
                outbox.advance(taken);
            }
            assert_eq!(written, [b"before", &large[..], &large, b"after"].concat());
        }
    }
}
