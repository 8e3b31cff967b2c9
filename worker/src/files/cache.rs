//! The contents that a worker has: those that somebody uses, and others for as long as there is room.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use poolmap_proto::files::Digest;
use tempfile::TempPath;
use tokio::sync::OnceCell;

/// Bytes of contents that are kept for other jobs: as many as a coordinator has by default.
const SPARE_BYTES_MAX: u64 = 10 << 30;

/// Contents by name.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    contents: HashMap<Digest, Entry>,
    /// Counts uses.
    last_use: u64,
}

#[derive(Debug, Default)]
struct Entry {
    /// Whoever wants a content first brings it, the others wait.
    content: Arc<OnceCell<Arc<Content>>>,
    last_use: u64,
}

/// A content that is here. It stays as long as somebody has it.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) path: TempPath,
    pub(super) bytes: u64,
}

impl Cache {
    /// A content, fetched unless it is here.
    pub(super) async fn content<F, E>(
        &self,
        digest: Digest,
        fetch: impl FnOnce() -> F,
    ) -> Result<Arc<Content>, E>
    where
        F: Future<Output = Result<Content, E>>,
    {
        let content = self.entries().get(digest);
        let arrived = content.get_or_try_init(async || fetch().await.map(Arc::new)).await?;
        Ok(arrived.clone())
    }

    /// Removes contents that nobody uses until few enough are left, those first that were not used for longest.
    pub(super) async fn trim(&self) {
        let surplus = self.entries().take_surplus(SPARE_BYTES_MAX);
        if !surplus.is_empty() {
            let _removed = tokio::task::spawn_blocking(move || drop(surplus)).await;
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn get(&mut self, digest: Digest) -> Arc<OnceCell<Arc<Content>>> {
        self.last_use += 1;
        let entry = self.contents.entry(digest).or_default();
        entry.last_use = self.last_use;
        entry.content.clone()
    }

    /// Takes out what never came, and what is too much.
    fn take_surplus(&mut self, spare_bytes_max: u64) -> Vec<Entry> {
        let spare =
            self.contents.iter().filter_map(|(digest, entry)| Some((entry.spare_bytes()?, entry, digest)));
        let mut spare: Vec<_> = spare.collect();
        spare.sort_unstable_by_key(|(_, entry, _)| Reverse(entry.last_use));
        let mut kept = 0;
        let surplus = spare.into_iter().filter_map(|(bytes, entry, digest)| {
            kept += bytes;
            (kept > spare_bytes_max || !entry.content.initialized()).then_some(*digest)
        });
        let surplus: Vec<_> = surplus.collect();
        surplus.iter().filter_map(|digest| self.contents.remove(digest)).collect()
    }
}

impl Entry {
    /// Bytes that would be free without it, unless somebody uses it or waits for it.
    fn spare_bytes(&self) -> Option<u64> {
        let is_awaited = Arc::strong_count(&self.content) > 1;
        let content = self.content.get();
        let is_used = content.is_some_and(|content| Arc::strong_count(content) > 1);
        (!is_awaited && !is_used).then(|| content.map_or(0, |content| content.bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn content(bytes: u64) -> io::Result<Content> {
        Ok(Content { path: tempfile::NamedTempFile::new()?.into_temp_path(), bytes })
    }

    fn digest(text: &str) -> io::Result<Digest> {
        Ok(Digest::of(text.as_bytes())?.0)
    }

    #[tokio::test]
    async fn a_content_that_two_want_at_once_is_fetched_once() -> io::Result<()> {
        let (cache, fetched) = (Cache::default(), AtomicU32::new(0));
        let fetch = async || {
            fetched.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            content(1)
        };
        let name = digest("a")?;
        let (one, other) = tokio::join!(cache.content(name, fetch), cache.content(name, fetch));
        assert!(Arc::ptr_eq(&one?, &other?));
        assert_eq!(fetched.load(Ordering::SeqCst), 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_content_that_did_not_come_is_fetched_by_the_next_one() -> io::Result<()> {
        let cache = Cache::default();
        assert!(cache.content(digest("a")?, async || Err(io::Error::other("no"))).await.is_err());
        assert_eq!(cache.content(digest("a")?, async || content(7)).await?.bytes, 7);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_too_much_goes_unless_it_is_used() -> io::Result<()> {
        let cache = Cache::default();
        for name in ["old", "used", "new"] {
            cache.content(digest(name)?, async || content(10)).await?;
        }
        assert!(cache.content(digest("never came")?, async || Err(io::Error::other("no"))).await.is_err());
        let used = cache.content(digest("used")?, async || content(10)).await?;
        assert_eq!(cache.entries().take_surplus(20).len(), 1, "what never came");
        let surplus = cache.entries().take_surplus(19);
        let paths: Vec<_> = surplus.iter().filter_map(|entry| entry.content.get()).collect();
        assert_eq!(paths.len(), 1);
        assert!(cache.entries().contents.contains_key(&digest("new")?), "the old one went");
        drop(used);
        assert_eq!(cache.entries().take_surplus(10).len(), 1, "new was used before the other");
        assert!(cache.entries().contents.contains_key(&digest("used")?));
        Ok(())
    }
}
