//! One request, one answer.

use leptos::web_sys;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, AbortSignal, Headers, RequestInit, Response};

use super::{fault::Fault, request::Request};

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
    let answer = answer.map_err(|error| unsent(&error, signal))?;
    answer.dyn_into::<Response>().map_err(garbled)
}

/// Sends a request and gives the answer's text, whatever its status.
pub(crate) async fn text(request: &Request, signal: &AbortSignal) -> Result<(u16, String), Fault> {
    let answer = open(request, signal).await?;
    let body = answer.text().map_err(garbled)?;
    let body = JsFuture::from(body)
        .await
        .map_err(|error| unsent(&error, signal))?;
    Ok((answer.status(), body.as_string().unwrap_or_default()))
}

/// Sends a request and gives the text of a successful answer.
pub(crate) async fn success(request: &Request, signal: &AbortSignal) -> Result<String, Fault> {
    let (status, body) = text(request, signal).await?;
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
pub(crate) fn unsent(_error: &JsValue, signal: &AbortSignal) -> Fault {
    if signal.aborted() {
        Fault::Aborted
    } else {
        Fault::Unreachable
    }
}
