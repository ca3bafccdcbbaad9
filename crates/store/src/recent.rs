//! Results that were asked for last, so that asking again costs nothing and memory stays bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// What the last so many different keys came to, newest first.
#[derive(Debug)]
pub(crate) struct Recent<K, T: ?Sized> {
    most: usize,
    kept: Mutex<VecDeque<(K, Slot<T>)>>,
}

/// Empty until the result is made; locked while somebody makes it.
type Slot<T> = Arc<Mutex<Option<Arc<T>>>>;

impl<K: Clone + PartialEq, T: ?Sized> Recent<K, T> {
    /// Keeps no more than `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            kept: Mutex::default(),
        }
    }

    /// The result for this key: as kept, or made now. Who asks for one that is being made waits for it; for others nobody waits.
    ///
    /// # Errors
    /// Those of `make`; nothing is kept then.
    pub(crate) fn get<E>(
        &self,
        key: &K,
        make: impl FnOnce(&K) -> Result<Arc<T>, E>,
    ) -> Result<Arc<T>, E> {
        let slot = self.slot(key);
        let mut result = locked(&slot);
        if let Some(kept) = &*result {
            return Ok(Arc::clone(kept));
        }
        let made = make(key).inspect_err(|_| {
            locked(&self.kept).retain(|(_, other)| !Arc::ptr_eq(other, &slot));
        })?;
        *result = Some(Arc::clone(&made));
        Ok(made)
    }

    /// Whether the result for this key is kept; false while it is being made.
    pub(crate) fn has(&self, key: &K) -> bool {
        let kept = locked(&self.kept);
        let slot = kept.iter().find(|(of, _)| of == key);
        slot.is_some_and(|(_, slot)| match slot.try_lock() {
            Ok(result) => result.is_some(),
            Err(TryLockError::Poisoned(result)) => result.into_inner().is_some(),
            Err(TryLockError::WouldBlock) => false,
        })
    }

    fn slot(&self, key: &K) -> Slot<T> {
        let mut kept = locked(&self.kept);
        let at = kept.iter().position(|(of, _)| of == key);
        let entry = at.and_then(|at| kept.remove(at));
        let entry = entry.unwrap_or_else(|| (key.clone(), Slot::default()));
        let slot = Arc::clone(&entry.1);
        kept.push_front(entry);
        kept.truncate(self.most);
        slot
    }
}

/// What a lock guards is whole even after a panic: it is replaced in one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_made_once_while_it_is_among_the_last() {
        let recent: Recent<u32, u32> = Recent::new(3);
        let mut made = 0;
        let mut ask = |key: u32| {
            let found = recent.get(&key, |key| {
                made += 1;
                Ok::<_, ()>(Arc::new(10 * key))
            });
            assert_eq!(found.as_deref(), Ok(&(10 * key)));
            made
        };
        for key in 0..3 {
            ask(key);
        }
        assert_eq!(ask(0), 3);
        assert!(recent.has(&0) && !recent.has(&3));
        // One more pushes out the one not asked for longest.
        ask(3);
        assert_eq!(ask(0), 4);
        assert_eq!(ask(1), 5);
    }

    #[test]
    fn many_who_ask_at_once_share_one_result() {
        let recent: Recent<u32, u32> = Recent::new(3);
        let made = std::sync::atomic::AtomicU32::new(0);
        let ask = || {
            recent.get(&1, |_| {
                std::thread::sleep(std::time::Duration::from_millis(20));
                let before = made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok::<_, ()>(Arc::new(before))
            })
        };
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            for one in asking {
                assert_eq!(one.join().unwrap().as_deref(), Ok(&0));
            }
        });
    }

    #[test]
    fn a_failure_is_not_kept() {
        let recent: Recent<&str, str> = Recent::new(3);
        assert_eq!(recent.get(&"a", |_| Err("no")), Err("no"));
        assert_eq!(
            recent.get(&"a", |_| Ok::<_, ()>("b".into())),
            Ok("b".into())
        );
    }
}
