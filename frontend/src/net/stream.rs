//! Server-sent events over POST.

use leptos::web_sys;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, ReadableStreamDefaultReader, TextDecodeOptions, TextDecoder};

use super::{
    fault::Fault,
    fetch::{garbled, open, unsent},
    request::Request,
    sse::{Event, Reader},
};

/// Sends the request and hands over every event as it comes; ends with the stream.
pub(crate) async fn events(
    request: &Request,
    signal: &AbortSignal,
    mut on_event: impl FnMut(Event),
) -> Result<(), Fault> {
    let answer = open(request, signal).await?;
    if !answer.ok() {
        let buffer = JsFuture::from(answer.array_buffer().map_err(garbled)?)
            .await
            .map_err(garbled)?;
        let body = js_sys::Uint8Array::new(&buffer).to_vec();
        return Err(Fault::from_answer(answer.status(), &body));
    }
    let body = answer
        .body()
        .ok_or_else(|| Fault::Garbled("The stream is empty.".into()))?;
    let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
    let decoder = TextDecoder::new().map_err(garbled)?;
    let options = TextDecodeOptions::new();
    options.set_stream(true);
    let mut events = Reader::default();
    loop {
        let piece = JsFuture::from(reader.read())
            .await
            .map_err(|_| unsent(signal))?;
        let done = js_sys::Reflect::get(&piece, &"done".into()).map_err(garbled)?;
        if done.is_truthy() {
            return Ok(());
        }
        let bytes = js_sys::Reflect::get(&piece, &"value".into()).map_err(garbled)?;
        let text = decoder
            .decode_with_buffer_source_and_options(
                bytes.unchecked_ref::<js_sys::Object>(),
                &options,
            )
            .map_err(garbled)?;
        for event in events.push(&text) {
            on_event(event);
        }
    }
}
