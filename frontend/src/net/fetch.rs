//! One request, one answer.

use std::pin::Pin;

use leptos::web_sys;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, AbortSignal, Headers, RequestInit, Response};

use super::{early, fault::Fault, request::Request};

/// Begins something that waits for answers.
pub(crate) fn start(work: impl Future<Output = ()> + 'static) {
    fn boxed(work: Pin<Box<dyn Future<Output = ()>>>) {
        leptos::task::spawn_local(work);
    }
    boxed(Box::pin(work));
}

/// Sends a request and gives the answer's status line and headers.
pub(crate) async fn open(request: &Request, signal: &AbortSignal) -> Result<Response, Fault> {
    let window = web_sys::window().ok_or(Fault::Unreachable)?;
    let init = RequestInit::new();
    init.set_signal(Some(signal));
    if let Some(body) = &request.body {
        init.set_method("POST");
        init.set_body(&JsValue::from_str(body));
        let headers = Headers::new().map_err(garbled)?;
        headers
            .set("content-type", "application/json")
            .map_err(garbled)?;
        init.set_headers(&headers);
    }
    let answer = JsFuture::from(window.fetch_with_str_and_init(&request.path, &init)).await;
    let answer = answer.map_err(|_| unsent(signal))?;
    answer.dyn_into::<Response>().map_err(garbled)
}

/// The answer's status and body, whatever the status: one that came early, or sends the request.
pub(crate) async fn body(request: &Request, signal: &AbortSignal) -> Result<(u16, Vec<u8>), Fault> {
    match early::take(request).await {
        Some(answer) => answer,
        None => answer(request, signal).await,
    }
}

/// Sends a request and gives the answer's status and body, whatever the status.
pub(super) async fn answer(
    request: &Request,
    signal: &AbortSignal,
) -> Result<(u16, Vec<u8>), Fault> {
    let answer = open(request, signal).await?;
    let buffer = answer.array_buffer().map_err(garbled)?;
    let buffer = JsFuture::from(buffer).await.map_err(|_| unsent(signal))?;
    Ok((answer.status(), js_sys::Uint8Array::new(&buffer).to_vec()))
}

/// Sends a request and gives the body of a successful answer.
pub(crate) async fn success(request: &Request, signal: &AbortSignal) -> Result<Vec<u8>, Fault> {
    let (status, body) = body(request, signal).await?;
    if (200..300).contains(&status) {
        Ok(body)
    } else {
        Err(Fault::from_answer(status, &body))
    }
}

/// A controller whose signal ends requests; `None` only outside a browser.
pub(crate) fn controller() -> Option<AbortController> {
    AbortController::new().ok()
}

/// The fault for a value that a browser threw.
pub(crate) fn garbled(error: impl Into<JsValue>) -> Fault {
    Fault::Garbled(format!("{:?}.", error.into()))
}

/// The fault for a request that ended without an answer.
pub(crate) fn unsent(signal: &AbortSignal) -> Fault {
    if signal.aborted() {
        Fault::Aborted
    } else {
        Fault::Unreachable
    }
}
