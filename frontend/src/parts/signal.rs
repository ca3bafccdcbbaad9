//! Signals and memos whose values have one type for the reactive machinery, which is then compiled once instead of once for each type of
//! value: an eighth of the program.

use std::{any::Any, marker::PhantomData, ops::Deref, sync::Arc};

use leptos::prelude::{self as reactive, Signal};
use reactive::{Get as _, GetUntracked as _, Set as _, UpdateUntracked as _};

/// Any value.
type Value = Arc<dyn Any + Send + Sync>;

/// A value that can be told from another one.
#[derive(Clone)]
struct Comparable {
    value: Value,
    same: fn(&Value, &Value) -> bool,
}

impl PartialEq for Comparable {
    fn eq(&self, other: &Self) -> bool {
        (self.same)(&self.value, &other.value)
    }
}

fn same<T: PartialEq + 'static>(a: &Value, b: &Value) -> bool {
    a.downcast_ref::<T>() == b.downcast_ref::<T>()
}

/// A value that is being read.
pub(crate) struct Reading<T>(Value, PhantomData<fn() -> T>);

impl<T: 'static> Deref for Reading<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.downcast_ref().unwrap_or_else(|| other_type())
    }
}

#[cold]
fn other_type() -> ! {
    unreachable!("a signal holds the type that it was made for")
}

/// A value that tells others when it is set.
pub(crate) struct RwSignal<T>(reactive::RwSignal<Value>, PhantomData<fn() -> T>);

/// A value that is computed from others, and tells others when it differs.
pub(crate) struct Memo<T>(reactive::Memo<Comparable>, PhantomData<fn() -> T>);

macro_rules! reading {
    ($name:ident, $seen:path, $glimpsed:path) => {
        impl<T> Clone for $name<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $name<T> {}

        impl<T: Clone + Send + Sync + 'static> $name<T> {
            /// The value; whoever asks is told of changes.
            pub(crate) fn read(&self) -> Reading<T> {
                Reading($seen(&self.0), PhantomData)
            }

            /// The value; whoever asks is not told of changes.
            pub(crate) fn read_untracked(&self) -> Reading<T> {
                Reading($glimpsed(&self.0), PhantomData)
            }

            /// A copy of what [`Self::read`] reads.
            pub(crate) fn get(&self) -> T {
                T::clone(&self.read())
            }

            /// A copy of what [`Self::read_untracked`] reads.
            pub(crate) fn get_untracked(&self) -> T {
                T::clone(&self.read_untracked())
            }

            /// What `look` makes of the value; whoever asks is told of changes.
            pub(crate) fn with<U>(&self, look: impl FnOnce(&T) -> U) -> U {
                look(&self.read())
            }

            /// What `look` makes of the value; whoever asks is not told of changes.
            pub(crate) fn with_untracked<U>(&self, look: impl FnOnce(&T) -> U) -> U {
                look(&self.read_untracked())
            }

            /// Whoever asks is told of changes from now on. The value is made for that: a memo that nobody has read yet would differ from
            /// nothing at the first change, whatever it is.
            pub(crate) fn track(&self) {
                $seen(&self.0);
            }
        }

        impl<T: Clone + Send + Sync + 'static> From<$name<T>> for Signal<T> {
            fn from(from: $name<T>) -> Self {
                Self::derive(move || from.get())
            }
        }
    };
}

reading!(RwSignal, set_value, glimpsed_set_value);
reading!(Memo, made_value, glimpsed_made_value);

// Kept apart, so that each is in the program once.

#[inline(never)]
fn set_value(signal: &reactive::RwSignal<Value>) -> Value {
    signal.get()
}

#[inline(never)]
fn glimpsed_set_value(signal: &reactive::RwSignal<Value>) -> Value {
    signal.get_untracked()
}

#[inline(never)]
fn made_value(memo: &reactive::Memo<Comparable>) -> Value {
    memo.get().value
}

#[inline(never)]
fn glimpsed_made_value(memo: &reactive::Memo<Comparable>) -> Value {
    memo.get_untracked().value
}

#[inline(never)]
fn new_signal(value: Value) -> reactive::RwSignal<Value> {
    reactive::RwSignal::new(value)
}

/// Sets the value; nothing happens once the page that it belonged to is gone.
#[inline(never)]
fn set(signal: &reactive::RwSignal<Value>, value: Value) {
    signal.try_set(value);
}

impl<T: Clone + Send + Sync + 'static> RwSignal<T> {
    /// A signal with its first value.
    pub(crate) fn new(value: T) -> Self {
        Self(new_signal(Arc::new(value)), PhantomData)
    }

    /// Sets the value; nothing happens once the page that it belonged to is gone.
    pub(crate) fn set(&self, value: T) {
        set(&self.0, Arc::new(value));
    }

    /// The value unless the page that it belonged to is gone; whoever asks is not told of changes.
    pub(crate) fn try_get_untracked(&self) -> Option<T> {
        let value = Reading(self.0.try_get_untracked()?, PhantomData);
        Some(T::clone(&value))
    }

    /// Changes the value.
    pub(crate) fn update(&self, change: impl FnOnce(&mut T)) {
        self.set(changed(self.get_untracked(), change));
    }

    /// Changes the value unless the page that it belonged to is gone.
    pub(crate) fn try_update(&self, change: impl FnOnce(&mut T)) {
        if let Some(value) = self.try_get_untracked() {
            self.set(changed(value, change));
        }
    }

    /// Changes the value and tells nobody.
    pub(crate) fn update_untracked(&self, change: impl FnOnce(&mut T)) {
        let next: Value = Arc::new(changed(self.get_untracked(), change));
        self.0.update_untracked(|value| *value = next);
    }
}

fn changed<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}

impl<T: PartialEq + Clone + Send + Sync + 'static> Memo<T> {
    /// A value that is computed from the one before and from what it reads.
    pub(crate) fn new(value: impl Fn(Option<&T>) -> T + Send + Sync + 'static) -> Self {
        let next = move |before: Option<&Value>| -> Value {
            Arc::new(value(before.and_then(|before| before.downcast_ref())))
        };
        Self(memo(Box::new(next), same::<T>), PhantomData)
    }
}

/// Computes a value from the one before.
type Next = dyn Fn(Option<&Value>) -> Value + Send + Sync;

fn memo(next: Box<Next>, same: fn(&Value, &Value) -> bool) -> reactive::Memo<Comparable> {
    reactive::Memo::new(move |before: Option<&Comparable>| Comparable {
        value: next(before.map(|before| &before.value)),
        same,
    })
}
