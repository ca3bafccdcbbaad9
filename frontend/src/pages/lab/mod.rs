//! The lab: a prompt through both models, and lanes that change one of them.

mod chosen;
mod editor;
mod lanes;
mod names;
mod output;
mod prompt;
mod run;
mod sampling;
mod tokens;

use api::{ActivationsRequest, ActivationsResponse, DictionaryInfo, LatentSet};
use leptos::prelude::*;

use self::{names::Names, run::Run};
use crate::{
    explorer::explorer,
    nav::{History, use_title, use_url_state},
    net::{
        load::{Load, use_load},
        request::Request,
    },
    parts::{provenance::provenance, share::Share},
    state::{
        UrlState,
        lab::{Colour, LabState},
    },
};

/// Latents named at each token.
const TOP: usize = 12;

/// What the parts of this page share.
#[derive(Clone, Copy)]
struct Page {
    /// What the address says.
    url: Memo<LabState>,
    /// What the forms hold; the prompt and the sliders run ahead of the address.
    draft: RwSignal<LabState>,
    set: Callback<(LabState, History)>,
    /// The dictionary in use, once the study is there.
    dictionary: Memo<Option<DictionaryInfo>>,
    reading: Load<ActivationsResponse>,
    names: Names,
    run: Run,
}

impl Page {
    /// Changes forms and address alike; what is being typed elsewhere stays.
    fn keep(self, history: History, change: impl Fn(&mut LabState)) {
        let mut next = self.url.get_untracked();
        change(&mut next);
        self.draft.update(|draft| change(draft));
        self.set.run((next, history));
    }

    /// Changes what the lanes do, so that their outputs are no longer the address's.
    fn keep_lanes(self, change: impl Fn(&mut LabState)) {
        self.keep(History::Replace, |state| {
            change(state);
            state.run = false;
        });
    }

    /// Writes everything that the forms hold into the address.
    fn commit(self, history: History) {
        self.set.run((self.draft.get_untracked(), history));
    }

    /// Reads the prompt as it is in the form.
    fn read(self) {
        let changed = self
            .draft
            .with_untracked(|draft| self.url.with_untracked(|url| draft.prompt != url.prompt));
        if changed {
            self.draft
                .update(|draft| (draft.token, draft.run) = (None, false));
            self.commit(History::Push);
        } else {
            self.reading.reload();
        }
    }

    /// Runs both lanes as they are in the forms.
    fn generate(self) {
        let fresh = self
            .draft
            .with_untracked(|draft| self.url.with_untracked(|url| draft.prompt != url.prompt));
        self.draft.update(|draft| {
            draft.run = true;
            if fresh {
                draft.token = None;
            }
        });
        self.commit(if fresh {
            History::Push
        } else {
            History::Replace
        });
        self.run.again();
    }

    /// The slug of the dictionary in use.
    fn slug(self) -> Option<String> {
        self.dictionary.with(|d| d.as_ref().map(|d| d.slug.clone()))
    }
}

/// `/lab`.
#[component]
pub(crate) fn Lab() -> impl IntoView {
    let explorer = explorer();
    use_title(|| "Lab".into());
    let (url, set_url) = use_url_state::<LabState>();
    let draft = RwSignal::new(url.get_untracked());
    let written = StoredValue::new(url.with_untracked(UrlState::write));
    let set = Callback::new(move |(next, history): (LabState, History)| {
        written.set_value(next.write());
        set_url(next, history);
    });
    // "Back", "forward" and links change the address from outside: the forms follow.
    Effect::new(move |_| {
        let now = url.get();
        if written.with_value(|written| *written != now.write()) {
            written.set_value(now.write());
            draft.set(now);
        }
    });
    let slug = Memo::new(move |_| url.with(|s| s.dictionary.clone()));
    let dictionary = Memo::new(move |_| explorer.dictionary(slug.get().as_deref()));
    let ready = Memo::new(move |_| explorer.models.read().ready());
    let prompt = Memo::new(move |_| url.with(|s| s.prompt.clone()));
    let colour = Memo::new(move |_| url.with(|s| s.colour));
    let reading = use_load::<ActivationsResponse>(move || {
        let prompt = prompt.get().to_api().filter(|_| ready.get())?;
        let dictionary = dictionary.with(|d| d.as_ref().map(|d| d.slug.clone()))?;
        let latents = LatentSet::Ids(match colour.get() {
            Colour::Latent(id) => vec![id],
            Colour::Kl => Vec::new(),
        });
        Some(Request::activations(&ActivationsRequest {
            dictionary,
            prompt,
            latents,
            top_k: TOP,
        }))
    });
    let names = Names::load(dictionary);
    let run = Run::new(url, dictionary, ready);
    let page = Page {
        url,
        draft,
        set,
        dictionary,
        reading,
        names,
        run,
    };

    let top = move || {
        let study = explorer.study.get()?;
        Some(provenance(&study, &dictionary.get()?))
    };
    let unknown = move || {
        let slug = slug.get()?;
        let study = explorer.study.get()?;
        study.dictionaries.iter().all(|d| d.slug != slug).then(|| {
            view! { <p class="note bad" data-testid="problem">{format!("This study has no dictionary “{slug}”.")}</p> }
        })
    };
    view! {
        <div class="stack lab">
            <div class="title">
                <div>
                    <h1>"Lab"</h1>
                    <p class="quiet">"One prompt through both models, then lanes that change one of them."</p>
                </div>
                <div class="actions"><DictionarySelect page /><Share /></div>
            </div>
            {unknown}
            <prompt::PromptCard page />
            <tokens::Tokens page />
            <lanes::Lanes page />
            {top}
        </div>
    }
}

#[component]
fn DictionarySelect(page: Page) -> impl IntoView {
    let explorer = explorer();
    move || {
        let study = explorer.study.get().filter(|s| s.dictionaries.len() > 1)?;
        let options = study
            .dictionaries
            .iter()
            .map(|d| {
                let slug = d.slug.clone();
                let selected = {
                    let slug = slug.clone();
                    move || page.slug().as_deref() == Some(&slug)
                };
                view! { <option value=slug.clone() selected=selected>{slug.clone()}</option> }
            })
            .collect_view();
        let choose = move |event: leptos::ev::Targeted<
            leptos::ev::Event,
            leptos::web_sys::HtmlSelectElement,
        >| {
            let slug = event.target().value();
            page.keep(History::Push, |state| {
                // Latent ids mean something else in another dictionary.
                state.dictionary = Some(slug.clone());
                state.colour = Colour::Kl;
                state.steered = LabState::default().steered;
                state.run = false;
            });
        };
        Some(view! { <select aria-label="Dictionary" on:change:target=choose>{options}</select> })
    }
}
