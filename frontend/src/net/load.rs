//! Data that follows a request: the old data stays until the new is there, and late answers are dropped.

use std::sync::Arc;

use leptos::{prelude::*, web_sys::AbortController};
use serde::de::DeserializeOwned;

use super::{fault::Fault, fetch, request::Request};

/// The latest answer to a changing request.
pub(crate) struct Load<T: Send + Sync + 'static> {
    /// The answer, until a newer one comes.
    pub(crate) data: RwSignal<Option<Arc<T>>>,
    /// Why the latest request gave nothing.
    pub(crate) fault: RwSignal<Option<Fault>>,
    /// A request is under way.
    pub(crate) busy: RwSignal<bool>,
    again: RwSignal<u32>,
}

impl<T: Send + Sync + 'static> Clone for Load<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: Send + Sync + 'static> Copy for Load<T> {}

impl<T: Send + Sync + 'static> Load<T> {
    /// Sends the request again.
    pub(crate) fn reload(self) {
        self.again.update(|n| *n += 1);
    }

    /// The answer.
    pub(crate) fn get(self) -> Option<Arc<T>> {
        self.data.get()
    }
}

/// Asks whenever `request` changes; `None` asks nothing and shows nothing.
pub(crate) fn use_load<T: DeserializeOwned + Send + Sync + 'static>(
    request: impl Fn() -> Option<Request> + Send + Sync + 'static,
) -> Load<T> {
    let load = Load {
        data: RwSignal::new(None),
        fault: RwSignal::new(None),
        busy: RwSignal::new(false),
        again: RwSignal::new(0),
    };
    let request = Memo::new(move |_| request());
    let current: StoredValue<Option<AbortController>, LocalStorage> = StoredValue::new_local(None);
    let stop = move || {
        if let Some(controller) = current.try_update_value(Option::take).flatten() {
            controller.abort();
        }
    };
    Effect::new(move |_| {
        load.again.track();
        let request = request.get();
        stop();
        load.fault.set(None);
        load.busy.set(request.is_some());
        let (Some(request), Some(controller)) = (request, fetch::controller()) else {
            load.data.set(None);
            return;
        };
        let signal = controller.signal();
        current.set_value(Some(controller));
        leptos::task::spawn_local(async move {
            let answer = fetch::success(&request, &signal).await.and_then(|text| {
                serde_json::from_str::<T>(&text)
                    .map_err(|error| Fault::Garbled(format!("{error}.")))
            });
            if signal.aborted() {
                return;
            }
            load.busy.try_set(false);
            match answer {
                Ok(data) => {
                    load.data.try_set(Some(Arc::new(data)));
                }
                Err(Fault::Aborted) => {}
                Err(fault) => {
                    load.fault.try_set(Some(fault));
                }
            }
        });
    });
    on_cleanup(stop);
    load
}
