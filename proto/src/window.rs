//! Both directions of an attachment, as each end counts them: what was sent and is not confirmed, and what has arrived.
//!
//! Messages are numbered from 1 for as long as a worker is attached, whatever becomes of the streams that carry them. This is
//! bookkeeping only: it neither sends nor waits.

use std::collections::VecDeque;

/// Messages received after which the other end is told so, and bytes of payloads or values.
const CONFIRM_MESSAGES: u32 = 16;
const CONFIRM_BYTES: usize = 4 << 20;

/// The messages sent that the other end has not confirmed.
#[derive(Debug)]
pub struct Window<M> {
    /// The number of the last message that was confirmed.
    confirmed: u64,
    messages: VecDeque<M>,
}

/// The other end speaks of messages that it cannot have received, or has forgotten what it had confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{received} messages are said to have arrived; {sent} were sent, and {confirmed} of them confirmed before"
)]
pub struct Contradiction {
    received: u64,
    confirmed: u64,
    sent: u64,
}

impl<M> Default for Window<M> {
    fn default() -> Self {
        Self { confirmed: 0, messages: VecDeque::new() }
    }
}

impl<M> Window<M> {
    /// Messages sent so far, which is the number of the last one.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.confirmed + self.messages.len() as u64
    }

    /// Messages sent and not confirmed.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.messages.len()
    }

    /// Keeps a message that is sent.
    pub fn push(&mut self, message: M) {
        self.messages.push_back(message);
    }

    /// A message that was sent and is not confirmed.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&M> {
        let place = number.checked_sub(self.confirmed + 1)?;
        self.messages.get(usize::try_from(place).ok()?)
    }

    /// Forgets the messages that have arrived: those up to number `received`. Fewer than before are no news: a message that is
    /// said again confirms what it did at first.
    pub fn confirm(&mut self, received: u64) -> Result<(), Contradiction> {
        self.resume(received.max(self.confirmed))
    }

    /// The same for an end that goes on with a new stream, and so must know exactly what has arrived.
    pub fn resume(&mut self, received: u64) -> Result<(), Contradiction> {
        let (confirmed, sent) = (self.confirmed, self.sent());
        if !(confirmed..=sent).contains(&received) {
            return Err(Contradiction { received, confirmed, sent });
        }
        self.messages.drain(..(received - confirmed) as usize);
        self.confirmed = received;
        Ok(())
    }
}

/// What has arrived of the other direction.
#[derive(Debug, Default)]
pub struct Receipts {
    received: u64,
    /// Of these, messages and bytes of which the other end has not been told.
    untold: u32,
    untold_bytes: usize,
}

impl Receipts {
    /// Messages received so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Counts a message with so many bytes of payloads or values; whether it is time to tell the other end.
    pub fn count(&mut self, bytes: usize) -> bool {
        self.received += 1;
        self.untold += 1;
        self.untold_bytes = self.untold_bytes.saturating_add(bytes);
        self.untold >= CONFIRM_MESSAGES || self.untold_bytes >= CONFIRM_BYTES
    }

    /// The number of messages received, for a message that is about to be sent.
    pub fn tell(&mut self) -> u64 {
        (self.untold, self.untold_bytes) = (0, 0);
        self.received
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// The sender has one message more.
        Push,
        /// The stream takes on so many messages.
        Carry(u8),
        /// The receiver reads so many of those that are under way.
        Read(u8),
        /// What the receiver has to say arrives.
        Confirm,
        /// The stream breaks with all that is under way; a new one goes on where the receiver stands.
        Break,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Push),
            3 => (1..5_u8).prop_map(Step::Carry),
            3 => (1..5_u8).prop_map(Step::Read),
            2 => Just(Step::Confirm),
            1 => Just(Step::Break),
        ];
        proptest::collection::vec(step, 0..300)
    }

    /// One direction: a sender, the stream, and a receiver.
    #[derive(Default)]
    struct Line {
        window: Window<u64>,
        /// Messages that the stream has taken on: from the window's `next`.
        next: u64,
        under_way: VecDeque<u64>,
        receipts: Receipts,
        arrived: Vec<u64>,
        untold: u32,
    }

    impl Line {
        fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
            match *step {
                Step::Push => self.window.push(self.window.sent() + 1),
                Step::Carry(count) => {
                    for _ in 0..count {
                        let Some(&message) = self.window.get(self.next + 1) else { break };
                        self.next += 1;
                        self.under_way.push_back(message);
                    }
                }
                Step::Read(count) => {
                    for _ in 0..count {
                        let Some(message) = self.under_way.pop_front() else { break };
                        self.arrived.push(message);
                        self.untold += 1;
                        prop_assert_eq!(self.receipts.count(0), self.untold >= CONFIRM_MESSAGES);
                    }
                }
                Step::Confirm => {
                    self.untold = 0;
                    prop_assert_eq!(self.window.confirm(self.receipts.tell()), Ok(()));
                }
                Step::Break => {
                    self.under_way.clear();
                    self.next = self.receipts.received();
                    prop_assert_eq!(self.window.resume(self.next), Ok(()));
                }
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn every_message_arrives_once_and_in_order_whenever_the_stream_breaks(steps in steps()) {
            let mut line = Line::default();
            for step in &steps {
                line.step(step)?;
                let kept = line.window.sent() - line.window.unconfirmed() as u64;
                prop_assert!(kept <= line.arrived.len() as u64, "what has not arrived is kept");
            }
            for step in [Step::Break, Step::Carry(u8::MAX), Step::Carry(u8::MAX), Step::Read(u8::MAX), Step::Read(u8::MAX)] {
                line.step(&step)?;
            }
            prop_assert_eq!(line.arrived, (1..=line.window.sent()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nobody_confirms_what_was_never_sent_or_forgets_what_it_has_confirmed() {
        let mut window = Window::default();
        (0..3).for_each(|message| window.push(message));
        assert_eq!(window.confirm(2), Ok(()));
        for received in [0, 1, 4, u64::MAX] {
            assert_eq!(window.resume(received), Err(Contradiction { received, confirmed: 2, sent: 3 }));
        }
        assert_eq!((window.confirm(0), window.confirm(1), window.unconfirmed()), (Ok(()), Ok(()), 1));
        assert!(window.confirm(4).is_err());
        assert_eq!(
            (window.unconfirmed(), window.get(2), window.get(3), window.get(0)),
            (1, None, Some(&2), None)
        );
    }

    #[test]
    fn few_but_large_messages_are_confirmed_too() {
        let mut receipts = Receipts::default();
        assert!(!receipts.count(CONFIRM_BYTES - 1));
        assert!(receipts.count(1));
        assert_eq!(receipts.tell(), 2);
        assert!(!receipts.count(1), "it has been told");
    }
}
