//! Answers that a page's head asked for while the program was on its way.

use std::{cell::RefCell, rc::Rc, time::Duration};

use js_sys::{Array, Promise};
use leptos::{prelude::*, web_sys};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::Element;

use super::{fault::Fault, fetch, request::Request};

/// How long the first picture may wait for them, in milliseconds: a picture without data costs as much as one with it.
const PATIENCE: i32 = 150;

/// What the server's part of the head names; the program itself is named with its type.
const NAMED: &str = "link[rel=preload][as=fetch]:not([type])";

/// How long an answer stays that nobody asks for. Later it would be an old one.
const FRESH: Duration = Duration::from_secs(3);

/// Status and body.
type Answer = Result<(u16, Vec<u8>), Fault>;

/// An answer that is there once `done` is.
struct Early {
    path: String,
    done: Promise,
    answer: Rc<RefCell<Option<Answer>>>,
}

thread_local! {
    static ANSWERS: RefCell<Vec<Early>> = const { RefCell::new(Vec::new()) };
}

/// Asks for what the head names, and waits a little for all of it.
pub(crate) async fn wait() {
    let Ok(links) = document().query_selector_all(NAMED) else {
        return;
    };
    let named = |i: u32| {
        links
            .item(i)?
            .dyn_into::<Element>()
            .ok()?
            .get_attribute("href")
    };
    let all: Vec<Early> = (0..links.length()).filter_map(named).map(ask).collect();
    let whole: Array = all.iter().map(|early| early.done.clone()).collect();
    ANSWERS.with_borrow_mut(|answers| *answers = all);
    let later = Promise::new(&mut |resolve, _| {
        // Fails only where there are no timers; then the answers alone are waited for.
        let _ = window().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, PATIENCE);
    });
    let first = Promise::race(&Array::of2(&Promise::all(&whole), &later));
    // None of them fails: faults are answers.
    let _ = JsFuture::from(first).await;
    set_timeout(|| ANSWERS.with_borrow_mut(Vec::clear), FRESH);
}

/// The answer to a request that the head named, the first time that it is asked for.
pub(super) async fn take(request: &Request) -> Option<Answer> {
    let early = ANSWERS.with_borrow_mut(|answers| {
        let mine = |early: &Early| request.body.is_none() && early.path == request.path;
        let at = answers.iter().position(mine)?;
        Some(answers.swap_remove(at))
    })?;
    let _ = JsFuture::from(early.done).await;
    early.answer.take()
}

fn ask(path: String) -> Early {
    let answer = Rc::new(RefCell::new(None));
    let (slot, request) = (
        Rc::clone(&answer),
        Request {
            path: path.clone(),
            body: None,
        },
    );
    let done = future_to_promise(async move {
        if let Some(controller) = fetch::controller() {
            let found = fetch::answer(&request, &controller.signal()).await;
            *slot.borrow_mut() = Some(found);
        }
        Ok(JsValue::UNDEFINED)
    });
    Early { path, done, answer }
}
