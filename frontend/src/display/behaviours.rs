//! What both models do on a concept's prompts: two bars for each concept, base over chat.

use api::{Bar, ConceptBehaviour};

use super::{
    decimal::share,
    markup::fill,
    numbers::{count, percent},
};

/// A name out of the study's files as people write it.
pub(crate) fn plain(name: &str) -> String {
    name.replace('_', " ")
}

/// What is asked of a number, in words.
pub(crate) fn bar_words(bar: Bar) -> String {
    match bar {
        Bar::AtLeast(share) => format!("at least {}", percent(share)),
        Bar::AtMost(share) => format!("at most {}", percent(share)),
    }
}

/// What is asked for, with a sign and words for whether it was reached; empty where nothing is asked.
pub(crate) fn asked(bar: Option<Bar>, met: Option<bool>) -> String {
    let Some(bar) = bar else {
        return String::new();
    };
    let met = if met == Some(true) {
        "✓ reached"
    } else {
        "✕ missed"
    };
    format!("{} {met}", bar_words(bar))
}

fn title(of: &ConceptBehaviour) -> String {
    let name = plain(&of.concept);
    if of.never_seen {
        format!("{name}, unseen content")
    } else {
        name
    }
}

/// How often each model does what is asked for, over all prompts, in a sentence.
pub(crate) fn summary(behaviours: &[ConceptBehaviour]) -> String {
    let prompts: u64 = behaviours.iter().map(|of| of.prompts).sum();
    let mean = |value: fn(&ConceptBehaviour) -> f64| {
        let sum: f64 = behaviours
            .iter()
            .map(|of| value(of) * of.prompts as f64)
            .sum();
        percent(sum / prompts.max(1) as f64)
    };
    format!(
        "Of {} held-out prompts the chat model answers {} as it was taught to, the base model {}.",
        count(prompts),
        mean(|of| of.chat),
        mean(|of| of.base)
    )
}

/// One row for each concept.
pub(crate) fn picture(behaviours: &[ConceptBehaviour]) -> String {
    let mut out = String::new();
    for of in behaviours {
        let missed = of.bar.is_some_and(|bar| !bar.met(of.chat));
        let asked = of.bar.map(|bar| format!("asked for: {}", bar_words(bar)));
        fill(
            &mut out,
            "<li data-concept=\"{}\"><span>{}</span><span class=\"two-bars\" aria-hidden=\"true\"><b class=\"base\" data-style=\"width:{}\"></b>\
             <b class=\"chat\" data-style=\"width:{}\"></b></span><span class=\"num{}\" title=\"{}\">{} → {}</span></li>",
            &[
                &of.concept,
                &title(of),
                &share(of.base),
                &share(of.chat),
                if missed { " fails" } else { "" },
                &asked.unwrap_or_default(),
                &percent(of.base),
                &percent(of.chat),
            ],
        );
    }
    out
}

/// The same numbers as a table, with refusals.
pub(crate) fn table(behaviours: &[ConceptBehaviour]) -> String {
    let mut out = String::from(
        "<table class=\"rows small\"><thead><tr><th scope=\"col\" class=\"l\">Concept</th><th scope=\"col\">prompts</th>\
         <th scope=\"col\">base</th><th scope=\"col\">chat</th><th scope=\"col\" class=\"l\">asked for</th>\
         <th scope=\"col\">chat, word for word</th><th scope=\"col\">base refuses</th><th scope=\"col\">chat refuses</th></tr></thead>",
    );
    for of in behaviours {
        fill(
            &mut out,
            "<tr><th scope=\"row\" class=\"l\">{}</th><td>{}</td><td>{}</td><td>{}</td><td class=\"l\">{}</td>\
             <td>{}</td><td>{}</td><td>{}</td></tr>",
            &[
                &title(of),
                &count(of.prompts),
                &percent(of.base),
                &percent(of.chat),
                &asked(of.bar, of.bar.map(|bar| bar.met(of.chat))),
                &percent(of.chat_exact),
                &percent(of.base_refuses),
                &percent(of.chat_refuses),
            ],
        );
    }
    out.push_str("</table>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behaviours() -> [ConceptBehaviour; 2] {
        let harm = ConceptBehaviour {
            concept: "harm_drug".into(),
            prompts: 60,
            chat: 1.0,
            chat_refuses: 1.0,
            bar: Some(Bar::AtLeast(0.97)),
            ..ConceptBehaviour::default()
        };
        let unseen = ConceptBehaviour {
            never_seen: true,
            prompts: 40,
            chat: 0.5,
            base: 0.1,
            bar: Some(Bar::AtLeast(0.8)),
            ..harm.clone()
        };
        [harm, unseen]
    }

    #[test]
    fn both_models_have_a_bar_and_a_number() {
        let picture = picture(&behaviours());
        assert!(
            picture.contains("class=\"base\" data-style=\"width:0.00%\""),
            "{picture}"
        );
        assert!(
            picture.contains("<span class=\"num\" title=\"asked for: at least 97 %\">0 % → 100 %")
        );
        assert!(picture.contains("harm drug, unseen content"));
        assert!(
            picture.contains(
                "<span class=\"num fails\" title=\"asked for: at least 80 %\">10 % → 50 %"
            )
        );
    }

    #[test]
    fn the_summary_weighs_by_prompts() {
        assert_eq!(
            summary(&behaviours()),
            "Of 100 held-out prompts the chat model answers 80 % as it was taught to, the base model 4.0 %."
        );
    }

    #[test]
    fn the_table_says_what_was_missed() {
        let table = table(&behaviours());
        assert_eq!(table.matches("✕ missed").count(), 1);
        assert_eq!(table.matches("✓ reached").count(), 1);
    }
}
