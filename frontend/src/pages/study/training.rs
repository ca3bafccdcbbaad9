//! How the dictionaries were trained: curves over steps, read by pointer or arrow keys.

use std::sync::Arc;

use api::{StudyInfo, TrainingCurves};
use leptos::{
    ev::{KeyboardEvent, PointerEvent},
    html,
    prelude::*,
};

use super::later::{Later, shown};
use crate::parts::signal::RwSignal;
use crate::{
    display::{curves::Training, decimal::share},
    explorer::explorer,
    parts::{card::Card, live::live, states::empty, styles::set_style, tooltip::Tip, twin::twin},
};

/// The card with one column for each dictionary.
pub(super) fn card(study: &StudyInfo, later: Later) -> AnyView {
    let loads = later.ask::<TrainingCurves>(study, "curves");
    let body = live(move || {
        shown(&loads, 8, |answers| {
            let known = answers
                .into_iter()
                .filter_map(|(slug, curves)| Some((slug, Training::of(&curves)?)));
            let columns: Vec<AnyView> = known.map(|(slug, t)| column(slug, t)).collect();
            if columns.is_empty() {
                return empty(
                    "No curves are stored: `stereoscope train` keeps them with the dictionary that it trains.",
                );
            }
            view! { <div class="cols by-dictionary">{columns}</div> }.into_any()
        })
    });
    Card::new("training", "Training")
        .remark("point at the curves, or use the arrow keys, to read them")
        .holding(body)
}

fn column(slug: String, training: Training) -> AnyView {
    let explorer = explorer();
    let training = Arc::new(training);
    let last = training.points().saturating_sub(1);
    let at = RwSignal::new(None::<usize>);
    let cursor = NodeRef::<html::I>::new();
    let ground = NodeRef::<html::Div>::new();
    let read = training.clone();
    let show = Callback::new(move |i: usize| {
        at.set(Some(i));
        if let Some(cursor) = cursor.get_untracked() {
            // The cursor is placed by its style, which follows the signal only later.
            set_style(&cursor, &format!("left:{}", share(read.place(i))));
            explorer.show_tip(Tip::new(read.step(i), "", read.values(i)), &cursor);
        }
    });
    let nearest = training.clone();
    let on_move = move |event: PointerEvent| {
        let Some(ground) = ground.get_untracked() else {
            return;
        };
        let rect = ground.get_bounding_client_rect();
        let place = (f64::from(event.client_x()) - rect.left()) / rect.width().max(1.0);
        let i = nearest.nearest(place);
        if at.get_untracked() != Some(i) || explorer.tip.read_untracked().is_none() {
            show.run(i);
        }
    };
    let on_key = move |event: KeyboardEvent| {
        let now = at.get_untracked().unwrap_or(last);
        let to = match event.key().as_str() {
            "ArrowRight" | "ArrowUp" => (now + 1).min(last),
            "ArrowLeft" | "ArrowDown" => now.saturating_sub(1),
            "Home" => 0,
            "End" => last,
            _ => return,
        };
        event.prevent_default();
        show.run(to);
    };
    let leave = move || {
        at.set(None);
        explorer.hide_tip();
    };
    let words = training.clone();
    let said = move || {
        let i = at.get().unwrap_or(last);
        let values = words.values(i).into_iter();
        let values: Vec<String> = values
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        format!("{}: {}", words.step(i), values.join(", "))
    };
    let label = format!("Training of {slug}");
    let (summary, picture) = (training.summary(), training.picture());
    view! {
        <section data-testid="curves">
            <h3>{slug}</h3>
            <div class="curves">
                <div aria-hidden="true" inner_html=picture></div>
                <div
                    node_ref=ground
                    class="ground"
                    class:on=move || at.read().is_some()
                    tabindex="0"
                    role="slider"
                    aria-label=label
                    aria-valuemin="0"
                    aria-valuemax=last.to_string()
                    aria-valuenow=move || at.get().unwrap_or(last).to_string()
                    aria-valuetext=said
                    on:pointermove=on_move
                    on:pointerleave=move |_| leave()
                    on:focus=move |_| show.run(at.get_untracked().unwrap_or(last))
                    on:blur=move |_| leave()
                    on:keydown=on_key
                ><i node_ref=cursor></i></div>
            </div>
            <p class="small quiet">{summary}</p>
            {twin(move || training.table())}
        </section>
    }
    .into_any()
}
