//! A choice of one among a few, as buttons side by side.

use crate::parts::signal::Memo;
use leptos::prelude::*;

/// The buttons: values with their words, of which `chosen` is pressed.
pub(crate) fn segments(
    label: &'static str,
    test: &'static str,
    choices: &[(&'static str, &'static str)],
    chosen: Memo<&'static str>,
    choose: Callback<&'static str>,
) -> AnyView {
    let button = |&(value, words): &(&'static str, &'static str)| {
        let pressed = move || {
            if chosen.get() == value {
                "true"
            } else {
                "false"
            }
        };
        view! { <button type="button" data-value=value aria-pressed=pressed on:click=move |_| choose.run(value)>{words}</button> }
            .into_any()
    };
    let buttons = choices.iter().map(button).collect_view();
    view! { <div class="segments" role="group" aria-label=label data-testid=test>{buttons}</div> }
        .into_any()
}
