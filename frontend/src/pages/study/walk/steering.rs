//! What steering by the concepts' latents does: a chart for each test, and a link that does it.

use api::{GroundTruth, ModelName, SteeringAction, SteeringTest};
use leptos::prelude::*;

use super::Known;
use crate::{
    display::{
        doses::{self, Pair},
        markup::fill,
    },
    parts::{states::empty, twin::twin},
    state::{
        UrlState,
        edit::{Edit, EditKind, LaneForm},
        lab::{Colour, LabState, PromptForm},
    },
};

/// One chart for each test, its control beside it.
pub(super) fn charts((slug, truth): &Known) -> AnyView {
    if truth.steering.is_empty() {
        return empty(format!("Nothing was steered with {slug}."));
    }
    let pairs = doses::pairs(&truth.steering);
    let figures = pairs.into_iter().map(|pair| figure(slug, truth, pair));
    let figures: String = figures.collect();
    let truth = truth.clone();
    view! {
        <p>"The concepts’ latents are turned down or up in the chat model, and its greedy answers judged by the world’s own grammar."</p>
        <p class="legend small quiet">
            <span class="stroke steered"><i></i>"the concept’s latents"</span>
            <span class="stroke control"><i></i>"random latents of similar maximum"</span>
            <span class="stroke asked"><i></i>"asked for"</span>
            <span class="stroke at-dose"><i></i>"dose chosen on other prompts"</span>
        </p>
        <div class="doses" data-testid="doses" inner_html=figures></div>
        {twin(move || doses::table(&truth.steering))}
    }
    .into_any()
}

fn figure(slug: &str, truth: &GroundTruth, pair: Pair<'_>) -> String {
    let (of, _) = pair;
    let title = doses::title(of);
    let [result, beside] = doses::result(pair);
    let mut out = String::new();
    fill(
        &mut out,
        "<figure data-concept=\"{}\"><figcaption><h4>{}</h4><p class=\"small quiet\">{}</p></figcaption>\
         <div class=\"dose-chart\" role=\"img\" aria-label=\"{}; {}; {}\">",
        &[
            &of.concept,
            &title,
            &doses::done(of),
            &title,
            &result,
            &beside,
        ],
    );
    out.push_str(&doses::picture(pair));
    let missed = of.met() == Some(false);
    fill(
        &mut out,
        "</div><p class=\"small\"><b>{}</b><br>{}<br><span class=\"{}\">{}</span></p>",
        &[
            &result,
            &beside,
            if missed { "missed" } else { "quiet" },
            &doses::demand(of),
        ],
    );
    if let Some(state) = lane(slug, truth, of) {
        fill(
            &mut out,
            "<a class=\"button\" href=\"{}\" data-testid=\"walk-steer\">Steer with this</a>",
            &[&state.href("lab")],
        );
    }
    out.push_str("</figure>");
    out
}

/// The lab with one of the test's prompts, and the test's own intervention at its chosen dose in the second lane.
fn lane(slug: &str, truth: &GroundTruth, of: &SteeringTest) -> Option<LabState> {
    let latents = of.sets.first()?.clone();
    let first = latents.first().copied()?;
    let asked = truth.concepts.iter().find(|c| c.concept == of.concept);
    let prompt = of.prompt.clone().or_else(|| asked?.prompt.clone())?;
    let kind = match of.action {
        SteeringAction::Scale => EditKind::Scale,
        SteeringAction::Add => EditKind::Add,
    };
    let edit = Edit {
        kind,
        latents,
        // The decimal that was meant, not the nearest single-precision number's digits.
        amount: (f64::from(of.chosen) * 1e6).round() / 1e6,
        positions: of.positions.clone(),
        ..Edit::default()
    };
    Some(LabState {
        dictionary: Some(slug.to_owned()),
        prompt: PromptForm::user(&prompt),
        colour: Colour::latent(first),
        steered: LaneForm {
            model: ModelName::Chat,
            edits: vec![edit],
            sampling: None,
        },
        run: true,
        ..LabState::default()
    })
}
