//! Results that were asked for last, so that asking again costs nothing and memory stays bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// What the last so many different keys came to, newest first.
#[derive(Debug)]
pub(crate) struct Recent<K, T: ?Sized> {
    most: usize,
    kept: Mutex<VecDeque<(K, Arc<T>)>>,
}

impl<K: PartialEq, T: ?Sized> Recent<K, T> {
    /// Keeps no more than `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            kept: Mutex::default(),
        }
    }

    /// The result for this key: as kept, or made now.
    ///
    /// # Errors
    /// Those of `make`; nothing is kept then.
    pub(crate) fn get<E>(
        &self,
        key: K,
        make: impl FnOnce(&K) -> Result<Arc<T>, E>,
    ) -> Result<Arc<T>, E> {
        if let Some(kept) = self.kept(&key) {
            return Ok(kept);
        }
        // Others need not wait for this; two may make the same.
        let made = make(&key)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((key, Arc::clone(&made)));
        kept.truncate(self.most);
        Ok(made)
    }

    fn kept(&self, key: &K) -> Option<Arc<T>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(of, _)| of == key)?;
        let entry = kept.remove(at)?;
        let found = Arc::clone(&entry.1);
        kept.push_front(entry);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_made_once_while_it_is_among_the_last() {
        let recent: Recent<u32, u32> = Recent::new(3);
        let mut made = 0;
        let mut ask = |key: u32| {
            let found = recent.get(key, |key| {
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
        // One more pushes out the one not asked for longest.
        ask(3);
        assert_eq!(ask(0), 4);
        assert_eq!(ask(1), 5);
    }

    #[test]
    fn a_failure_is_not_kept() {
        let recent: Recent<&str, str> = Recent::new(3);
        assert_eq!(recent.get("a", |_| Err("no")), Err("no"));
        assert_eq!(recent.get("a", |_| Ok::<_, ()>("b".into())), Ok("b".into()));
    }
}
