//! Data that follows a request: the old data stays until the new is there, and late answers are dropped.

use std::{sync::Arc, time::Duration};

use super::{
    answer::{Answer, read},
    fault::Fault,
    fetch,
    request::Request,
};
use crate::parts::live::{effect, memo};
use crate::parts::signal::{Memo, RwSignal};
use leptos::{prelude::*, web_sys::AbortController};

/// How long an answer may take until the page shows that it waits. Most come sooner, and what fades and comes back is painted twice.
const PATIENCE: Duration = Duration::from_millis(150);

/// The latest answer to a changing request.
pub(crate) struct Load<T: Send + Sync + 'static> {
    /// The answer, until a newer one comes.
    pub(crate) data: RwSignal<Option<Arc<T>>>,
    /// How the latest request is doing.
    pub(crate) state: Waiting,
}

/// How a request is doing.
#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    /// Why it gave nothing.
    pub(crate) fault: RwSignal<Option<Fault>>,
    /// It is under way.
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
    /// The answer.
    pub(crate) fn get(self) -> Option<Arc<T>> {
        self.data.get()
    }

    /// Whether there is an answer.
    pub(crate) fn is_there(self) -> bool {
        self.data.with(Option::is_some)
    }
}

impl Waiting {
    /// Sends the request again.
    pub(crate) fn reload(self) {
        self.again.update(|n| *n += 1);
    }

    /// Whether requests have been under way for so long that the page should show it.
    pub(crate) fn slow(self) -> RwSignal<bool> {
        let slow = RwSignal::new(false);
        let busy = memo(move || self.busy.get());
        let changes = StoredValue::new(0_u32);
        effect(move || {
            changes.update_value(|n| *n += 1);
            let this = changes.get_value();
            if !busy.get() {
                slow.set(false);
                return;
            }
            let still = move || {
                if changes.try_get_value() == Some(this) {
                    slow.set(true);
                }
            };
            set_timeout(still, PATIENCE);
        });
        slow
    }
}

/// Asks for JSON whenever `request` changes; `None` asks nothing and shows nothing.
pub(crate) fn use_load<T: Answer + Send + Sync + 'static>(
    request: impl Fn() -> Option<Request> + Send + Sync + 'static,
) -> Load<T> {
    use_body(request, read)
}

/// The same for any body.
pub(crate) fn use_body<T: Send + Sync + 'static>(
    request: impl Fn() -> Option<Request> + Send + Sync + 'static,
    read: fn(&[u8]) -> Result<T, String>,
) -> Load<T> {
    let data = RwSignal::new(None);
    let take = move |body: Option<&[u8]>| match body.map(read).transpose() {
        Ok(read) => {
            data.set(read.map(Arc::new));
            None
        }
        Err(why) => Some(Fault::Garbled(why)),
    };
    let state = follow(memo(request), Arc::new(take));
    Load { data, state }
}

/// Takes the body of an answer, or `None` when there is nothing to ask; says why it cannot be read.
type Take = Arc<dyn Fn(Option<&[u8]>) -> Option<Fault>>;

fn follow(request: Memo<Option<Request>>, take: Take) -> Waiting {
    let state = Waiting {
        fault: RwSignal::new(None),
        busy: RwSignal::new(false),
        again: RwSignal::new(0),
    };
    let current: StoredValue<Option<AbortController>, LocalStorage> = StoredValue::new_local(None);
    let stop = move || {
        if let Some(controller) = current.try_update_value(Option::take).flatten() {
            controller.abort();
        }
    };
    effect(move || {
        state.again.track();
        let request = request.get();
        stop();
        state.fault.set(None);
        state.busy.set(request.is_some());
        let (Some(request), Some(controller)) = (request, fetch::controller()) else {
            take(None);
            return;
        };
        let signal = controller.signal();
        current.set_value(Some(controller));
        let take = take.clone();
        fetch::start(async move {
            let answer = fetch::success(&request, &signal).await;
            if signal.aborted() {
                return;
            }
            state.busy.set(false);
            let fault = match answer {
                Ok(body) => take(Some(&body)),
                Err(fault) => Some(fault),
            };
            if let Some(fault) = fault {
                state.fault.set(Some(fault));
            }
        });
    });
    on_cleanup(stop);
    state
}
