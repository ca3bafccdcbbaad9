//! Every definition, and the commands that make a study.

use api::StudyInfo;
use leptos::prelude::*;

use crate::{
    explorer::explorer,
    nav::use_title,
    net::{load::use_body, request::Request},
    parts::{live::live, share::share, states::loaded},
};

/// `/method`. The text is a document of its own, so that it weighs on no other page.
#[component]
pub(crate) fn Method() -> impl IntoView {
    use_title(Signal::stored("Method".to_owned()));
    let text = use_body(
        || Some(Request::method()),
        |body| String::from_utf8(body.to_vec()).map_err(|_| "It is no text.".into()),
    );
    let body = loaded(text, 12, |text| {
        view! { <div class="stack" inner_html=text.as_str().to_owned()></div> }.into_any()
    });
    let commands = live(|| explorer().study.get().map(|study| card(commands(&study))));
    view! {
        <div class="stack method">
            <div class="title">
                <div><h1>"Method"</h1><p class="quiet">"What every number here means, and the commands that make a study."</p></div>
                <div class="actions">{share()}</div>
            </div>
            {body}
            {commands}
        </div>
    }
    .into_any()
}

fn card(commands: String) -> AnyView {
    view! {
        <section id="commands">
            <h2>"Commands"</h2>
            <p>"They make a study with this one’s hook point and dictionaries; each says what it can take with "<code>"--help"</code>"."</p>
            <pre class="code" tabindex="0">{commands}</pre>
        </section>
    }
    .into_any()
}

/// The way from two checkpoints and text to a study with these dictionaries.
fn commands(study: &StudyInfo) -> String {
    let model = |model: &Option<api::ModelInfo>, name: &str| {
        model.as_ref().map_or(name.to_owned(), |m| m.name.clone())
    };
    let (base, chat) = (model(&study.base, "BASE"), model(&study.chat, "CHAT"));
    let mut lines = vec![
        format!(
            "stereoscope init STUDY --base {base} --chat {chat} --layer {}",
            study.layer
        ),
        "stereoscope collect STUDY --corpus web.jsonl --corpus chats.jsonl --tokens 100000000"
            .into(),
    ];
    for dictionary in &study.dictionaries {
        let (slug, kind) = (&dictionary.slug, &dictionary.kind);
        let latents = dictionary.latents;
        let k = dictionary.k.map_or(String::new(), |k| format!(" --k {k}"));
        lines.push(format!(
            "stereoscope train STUDY --slug {slug} --kind {kind} --latents {latents}{k}"
        ));
        lines.push(format!("stereoscope analyse STUDY --dictionary {slug}"));
    }
    lines.push("stereoscope serve STUDY".into());
    lines.join("\n")
}
