//! Sorted orders of a dictionary's latents that were asked for last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Orders kept, four bytes a latent each.
const KEPT: usize = 16;

/// Ids in the orders of the last requests, newest first.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    kept: Mutex<VecDeque<(String, Arc<[u32]>)>>,
}

impl Orders {
    /// The order of this specification: as kept, or sorted now.
    pub(crate) fn get(&self, spec: &str, sort: impl FnOnce() -> Vec<u32>) -> Arc<[u32]> {
        if let Some(order) = self.kept(spec) {
            return order;
        }
        // Others need not wait for this; two may sort the same.
        let order: Arc<[u32]> = sort().into();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((spec.to_owned(), Arc::clone(&order)));
        kept.truncate(KEPT);
        order
    }

    fn kept(&self, spec: &str) -> Option<Arc<[u32]>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(of, _)| of == spec)?;
        let entry = kept.remove(at)?;
        let order = Arc::clone(&entry.1);
        kept.push_front(entry);
        Some(order)
    }

    /// Forgets all, because rows changed.
    pub(crate) fn clear(&mut self) {
        self.kept
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_sorted_once_while_it_is_among_the_last() {
        let mut orders = Orders::default();
        let mut sorted = 0;
        let mut ask = |orders: &Orders, spec: usize| {
            let order = orders.get(&spec.to_string(), || {
                sorted += 1;
                vec![spec as u32]
            });
            assert_eq!(*order, [spec as u32]);
            sorted
        };
        for spec in 0..KEPT {
            ask(&orders, spec);
        }
        assert_eq!(ask(&orders, 0), KEPT);
        // One more pushes out the one not asked for longest.
        ask(&orders, KEPT);
        assert_eq!(ask(&orders, 0), KEPT + 1);
        assert_eq!(ask(&orders, 1), KEPT + 2);
        orders.clear();
        assert_eq!(ask(&orders, 0), KEPT + 3);
    }
}
