//! The name of a content: its SHA-256.

use std::fmt;
use std::io::{self, Read};

use bytes::Bytes;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// Bytes read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// The SHA-256 of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; SHA256_OUTPUT_LEN]);

/// Bytes that are no SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 has {SHA256_OUTPUT_LEN} bytes, not {0}")]
pub struct NoDigest(usize);

impl Digest {
    /// The name of all that can be read, and how many bytes that is. Blocks.
    pub fn of(mut content: impl Read) -> io::Result<(Self, u64)> {
        let (mut hasher, mut bytes) = (Hasher::default(), 0);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = match content.read(&mut buffer) {
                Ok(0) => return Ok((hasher.finish(), bytes)),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hasher.update(buffer.get(..read).unwrap_or_default());
            bytes += read as u64;
        }
    }

    /// As messages carry it.
    #[must_use]
    pub fn to_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self.0)
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = NoDigest;

    fn try_from(bytes: &[u8]) -> Result<Self, NoDigest> {
        bytes.try_into().map(Self).map_err(|_| NoDigest(bytes.len()))
    }
}

/// In hexadecimal.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Names what comes bit by bit.
pub(super) struct Hasher(Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Hasher {
    pub(super) fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(super) fn finish(self) -> Digest {
        let mut digest = [0; SHA256_OUTPUT_LEN];
        digest.iter_mut().zip(self.0.finish().as_ref()).for_each(|(to, from)| *to = *from);
        Digest(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_has_the_name_that_sha256sum_gives_it() -> io::Result<()> {
        let (digest, bytes) = Digest::of("poolmap\n".repeat(100_000).as_bytes())?;
        assert_eq!(digest.to_string(), "66f5826db09b0ef09bf3eb3a4b9aedf36e697114726cb67dee18667cd5d108f9");
        assert_eq!(bytes, 800_000);
        Ok(())
    }
}
