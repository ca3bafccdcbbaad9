//! The control lane: the steered lane's interventions with random latents that fire as strongly.

use leptos::prelude::*;

use super::{Page, output::output};
use crate::{
    explorer::explorer,
    net::{fetch, json::Json, load::Load, request::Request},
    parts::{
        badge::tag,
        field::Button,
        live::{live, memo},
    },
};

/// Adds the lane, or draws it anew.
pub(super) fn button(page: Page) -> AnyView {
    let button = Button {
        test: Some("control-lane"),
        label: Some("control: random latents of similar maximum in a third lane"),
        ..Button::link("control")
    };
    let none = move || page.draft.read().steered.latents().is_empty();
    button.unless(none, move || draw(page))
}

fn draw(page: Page) {
    let asked = untrack(|| {
        let state = page.draft.get();
        let request =
            Request::controls(&page.slug()?, &state.steered.latents(), state.sampling.seed);
        Some((request, fetch::controller()?))
    });
    let Some((request, controller)) = asked else {
        return;
    };
    leptos::task::spawn_local(async move {
        let answer = fetch::success(&request, &controller.signal()).await;
        let drawn = answer.ok().and_then(|body| read(&body));
        match drawn {
            Some(drawn) => page.keep_lanes(|state| state.control.clone_from(&drawn)),
            None => explorer().toast("No control: a latent never fired, or nothing is analysed."),
        }
    });
}

/// Chosen latents and their controls.
fn read(body: &[u8]) -> Option<Vec<(u32, u32)>> {
    let json = Json::parse(body)?;
    let id = |of: &Json<'_>, name: &str| of.get(name).number().map(|id| id as u32);
    let pair = |of| Some((id(of, "like")?, id(of, "id")?));
    json.list()?.iter().map(pair).collect()
}

/// The lane, where there is a control for every latent of the steered one.
pub(super) fn card(page: Page, effects: Load<Vec<Vec<f32>>>) -> AnyView {
    let model = memo(move || page.draft.read().steered.model);
    let shown = memo(move || page.draft.read().control_lane().is_some());
    live(move || {
        let pairs = move || {
            let pairs = page.draft.read().control.clone();
            let pairs: Vec<String> = pairs.iter().map(|(a, b)| format!("{a} → {b}")).collect();
            pairs.join(", ")
        };
        let model = tag(model.get().as_str(), "");
        let remove = Button {
            label: Some("Remove the control lane"),
            class: "icon aside",
            ..Button::new("×")
        };
        shown.get().then(|| {
            view! {
                <section class="card lane" aria-label="Control lane" data-testid="lane" data-lane="2">
                    <header><h3>"3"</h3>{model}<span class="small quiet">"control"</span>{remove.doing(move || page.keep_lanes(|state| state.control.clear()))}
                        <p class="small quiet">"The same with random latents of similar maximum: "<span data-testid="controls">{pairs}</span></p>
                    </header>
                    {output(page.run, effects, 2)}
                </section>
            }
            .into_any()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_read_by_the_wire_s_names() {
        let control = api::ControlLatent {
            like: 17,
            id: 90,
            max_activation_like: 2.0,
            max_activation: 2.5,
        };
        let body = serde_json::to_vec(&[control]).unwrap();
        assert_eq!(read(&body), Some(vec![(17, 90)]));
        assert_eq!(read(b"[{}]"), None);
    }
}
