//! A saved run: what was asked and what came, readable without models, and run again on request.

use api::DoneReason;
use leptos::prelude::*;

use crate::{
    display::{
        decimal::shortest,
        markup::fill,
        numbers::percent,
        tokens::{generated, glyph, quoted},
    },
    explorer::explorer,
    nav::{use_place, use_title},
    net::{answer::read, json::Json, load::use_body, request::Request, saved::SavedRun as Saved},
    parts::{
        field::Button,
        live::{live, memo},
        share::share,
        signal::{Memo, RwSignal},
        states::{fault_note, loaded},
    },
    state::{UrlState, place::Place},
};

/// `/r/{id}`.
#[component]
pub(crate) fn SavedRun() -> impl IntoView {
    use_title(Signal::stored("Run".to_owned()));
    let place = use_place();
    let id = memo(move || match place.get() {
        Place::Run { id } => id,
        _ => String::new(),
    });
    let run = use_body(
        move || Some(Request::run(&id.get())),
        |body| read(body).map(|run| markup(&run)),
    );
    let body = loaded(run, 8, |markup| {
        view! { <div class="stack" inner_html=markup.as_str().to_owned()></div> }.into_any()
    });
    view! {
        <div class="stack lab">
            <div class="title">
                <div><h1>"Saved run"</h1><p class="quiet mono" data-testid="run-id">{move || id.get()}</p></div>
                <div class="actions">{share()}</div>
            </div>
            {again(id)}
            {body}
        </div>
    }
    .into_any()
}

/// The button that runs it again, and what came of that.
fn again(id: Memo<String>) -> AnyView {
    let wanted = RwSignal::new(None::<String>);
    let answer = use_body(
        move || {
            let id = id.get();
            (wanted.get().as_ref() == Some(&id)).then(|| Request::verify(&id))
        },
        verdict,
    );
    let busy = answer.state.busy;
    let button = Button {
        test: Some("run-again"),
        ..Button::new("Run again")
    };
    let act = move || {
        let id = Some(id.get_untracked());
        if wanted.get_untracked() == id {
            answer.state.reload();
        } else {
            wanted.set(id);
        }
    };
    let words = live(move || {
        if let Some(fault) = answer.state.fault.get() {
            return fault_note(&fault, None);
        }
        let words = match (busy.get(), answer.get()) {
            (true, _) => "Running …".into(),
            (_, Some(words)) => words.as_str().to_owned(),
            _ => String::new(),
        };
        view! { <p role="status" data-testid="verification">{words}</p> }.into_any()
    });
    let off = move || busy.get() || !explorer().ready.get();
    view! { <div class="line">{button.unless(off, act)}{words}</div> }.into_any()
}

/// The comparison in words.
fn verdict(body: &[u8]) -> Result<String, String> {
    let json = Json::parse(body).unwrap_or(Json::Null);
    let lists = [json.get("differences").list(), json.get("changed").list()];
    let [Some(differences), Some(changed)] = lists else {
        return Err("The comparison cannot be read.".into());
    };
    let mut words = String::from(if differences.is_empty() {
        "Identical: every lane gave the same tokens."
    } else {
        "Not identical."
    });
    for difference in differences {
        let number = |name: &str| difference.get(name).number().unwrap_or_default() as u32 + 1;
        let text = |name: &str| {
            let token = difference.get(name).get("text").text();
            token.map_or("nothing".into(), quoted)
        };
        let part = format!(
            " Lane {} parts at token {}: {} was saved, {} came now.",
            number("lane"),
            number("index"),
            text("stored"),
            text("found")
        );
        words += &part;
    }
    for (i, name) in changed.iter().filter_map(Json::text).enumerate() {
        words += if i == 0 { " Changed since: " } else { ", " };
        words += name;
    }
    Ok(words)
}

/// The run as it was.
fn markup(run: &Saved) -> String {
    let seconds = js_sys::Date::new(&(run.saved * 1000.0).into());
    let when = String::from(seconds.to_iso_string());
    let (base, chat) = &run.models;
    let sampling = run.sampling;
    let facts = [
        ("study", run.study.clone()),
        ("models", format!("{base} → {chat}")),
        ("dictionary", run.dictionary.clone()),
        (
            "saved",
            when.get(..16).unwrap_or_default().replace('T', " "),
        ),
        ("version", run.version.clone()),
        ("seed", sampling.seed.to_string()),
        ("temperature", shortest(sampling.temperature)),
    ];
    let mut out = String::from("<p class=\"provenance\">");
    for (name, value) in facts {
        fill(&mut out, "<span>{} <b>{}</b></span>", &[name, &value]);
    }
    out.push_str(
        "</p>\
         <section class=\"card\" aria-label=\"Prompt\"><header><h2>Prompt</h2><span class=\"aside\">",
    );
    if let Some(lab) = run.lab() {
        let template =
            "<a class=\"button\" href=\"{}\" data-testid=\"open-lab\">Open in the lab</a>";
        fill(&mut out, template, &[&lab.href("lab")]);
    }
    let prompt: String = run.tokens.iter().map(|token| glyph(&token.text)).collect();
    let template =
        "</span></header><div class=\"output text\">{}</div></section><div class=\"cols\">";
    fill(&mut out, template, &[&prompt]);
    for (lane, (form, output)) in run.lanes.iter().zip(&run.outputs).enumerate() {
        let number = (lane + 1).to_string();
        fill(
            &mut out,
            "<section class=\"card\" data-testid=\"run-lane\"><header><h3>{}</h3><code class=\"small\">{}</code></header>\
             <div class=\"output text\" tabindex=\"0\" role=\"region\" aria-label=\"Output of lane {}\">",
            &[&number, &form.to_string(), &number],
        );
        let plain = run.outputs.first().map_or(&[][..], |plain| &plain.tokens);
        let same = plain.iter().zip(&output.tokens);
        let same = same.take_while(|(a, b)| a.id == b.id).count();
        for (i, token) in output.tokens.iter().enumerate() {
            let (class, text) = generated(&token.text, i == same);
            let p = percent(f64::from(token.logprob).exp());
            let template = "<span class=\"{}\" data-testid=\"lane-token\" data-id=\"{}\" title=\"p {}\">{}</span>";
            fill(
                &mut out,
                template,
                &[&class, &token.id.to_string(), &p, &text],
            );
        }
        let ending = match output.reason {
            DoneReason::Stop => "ended by itself",
            _ => "reached the limit",
        };
        let count = output.tokens.len().to_string();
        let template = "</div><p class=\"small quiet\">{} · {} tokens</p></section>";
        fill(&mut out, template, &[ending, &count]);
    }
    out.push_str("</div>");
    out
}

#[cfg(test)]
mod tests {
    use api::{RunDifference, RunToken, Verification};

    use super::*;

    #[test]
    fn a_comparison_is_told_by_the_wire_s_names() {
        let told = |answer: &Verification| verdict(&serde_json::to_vec(answer).unwrap()).unwrap();
        let same = Verification {
            identical: true,
            changed: Vec::new(),
            differences: Vec::new(),
        };
        assert_eq!(told(&same), "Identical: every lane gave the same tokens.");
        let token = RunToken {
            id: 1,
            text: "a".into(),
            logprob: -0.5,
        };
        let other = Verification {
            identical: false,
            changed: vec!["the layer".into(), "the dictionary".into()],
            differences: vec![RunDifference {
                lane: 1,
                index: 4,
                stored: Some(token),
                found: None,
            }],
        };
        let words = told(&other);
        for part in [
            "Not identical.",
            "Lane 2 parts at token 5",
            "nothing came now",
            "Changed since: the layer, the dictionary",
        ] {
            assert!(words.contains(part), "{words}");
        }
        assert!(verdict(b"{}").is_err());
    }
}
