//! The lab: a prompt through both models, and lanes that change one of them.

mod chosen;
mod control;
mod editor;
mod explain;
mod lanes;
mod names;
mod output;
mod places;
mod prompt;
mod run;
mod sampling;
mod save;
mod sweep;
mod tokens;

use api::{ActivationsRequest, ActivationsResponse, DictionaryInfo, LatentSet};
use leptos::prelude::*;

use self::{names::Names, run::Run};
use crate::parts::signal::{Memo, RwSignal};
use crate::{
    explorer::explorer,
    nav::{History, use_title, use_url_state},
    net::{
        load::{Load, use_load},
        request::Request,
    },
    parts::{
        dictionary::dictionary_select,
        live::{effect, live, memo},
        provenance::provenance,
        share::share,
        states::wrong,
    },
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

    /// The form's prompt is not the address's.
    fn prompt_changed(self) -> bool {
        self.draft.read().prompt != self.url.read().prompt
    }

    /// Reads the prompt as it is in the form.
    fn read(self) {
        if self.draft.read_untracked().prompt.to_api().is_none() {
            return;
        }
        if untrack(|| self.prompt_changed()) {
            self.draft
                .update(|draft| (draft.token, draft.run) = (None, false));
            self.set.run((self.draft.get_untracked(), History::Push));
        } else {
            self.reading.state.reload();
        }
    }

    /// Runs the lanes as they are in the forms.
    fn generate(self) {
        let fresh = untrack(|| self.prompt_changed());
        self.draft.update(|draft| {
            draft.run = true;
            draft.token = draft.token.filter(|_| !fresh);
        });
        let history = if fresh {
            History::Push
        } else {
            History::Replace
        };
        self.set.run((self.draft.get_untracked(), history));
        self.run.again();
    }

    /// The slug of the dictionary in use.
    fn slug(self) -> Option<String> {
        self.dictionary.read().as_ref().map(|d| d.slug.clone())
    }
}

/// `/lab`.
#[component]
pub(crate) fn Lab() -> impl IntoView {
    let explorer = explorer();
    use_title(Signal::stored("Lab".to_owned()));
    let (url, set_url) = use_url_state::<LabState>();
    let draft = RwSignal::new(url.get_untracked());
    let written = StoredValue::new(url.with_untracked(UrlState::write));
    let set = Callback::new(move |(next, history): (LabState, History)| {
        written.set_value(next.write());
        set_url(next, history);
    });
    // "Back", "forward" and links change the address from outside: the forms follow.
    effect(move || {
        let now = url.get();
        if written.with_value(|written| *written != now.write()) {
            written.set_value(now.write());
            draft.set(now);
        }
    });
    let dictionary = memo(move || explorer.dictionary(url.read().dictionary.as_deref()));
    let prompt = memo(move || url.read().prompt.to_api());
    let reading = use_load::<ActivationsResponse>(move || {
        let prompt = prompt.get().filter(|_| explorer.ready.get())?;
        let dictionary = dictionary.read().as_ref().map(|d| d.slug.clone())?;
        let latents = LatentSet::Ids(url.read().colour.ids().to_vec());
        Some(Request::activations(&ActivationsRequest {
            dictionary,
            prompt,
            latents,
            top_k: TOP,
            kl: true,
        }))
    });
    let names = Names::load(dictionary);
    let run = Run::new(url, dictionary);
    let page = Page {
        url,
        draft,
        set,
        dictionary,
        reading,
        names,
        run,
    };

    let top = live(move || Some(provenance(&*explorer.study.get()?, &dictionary.get()?)));
    view! {
        <div class="stack lab">
            <div class="title">
                <div><h1>"Lab"</h1><p class="quiet">"One prompt through both models, then lanes that change one of them."</p></div>
                <div class="actions">{other_dictionary(page)}{share()}</div>
            </div>
            {unknown(page)}
            {prompt::card(page)}
            {tokens::card(page)}
            {lanes::section(page)}
            {top}
        </div>
    }.into_any()
}

fn unknown(page: Page) -> AnyView {
    live(move || {
        let slug = page.url.read().dictionary.clone()?;
        let study = explorer().study.get()?;
        let known = study.dictionaries.iter().any(|d| d.slug == slug);
        (!known).then(|| wrong(format!("This study has no dictionary “{slug}”.")))
    })
}

fn other_dictionary(page: Page) -> AnyView {
    let choose = move |slug: String| {
        page.keep(History::Push, |state| {
            // Latent ids mean something else in another dictionary.
            state.dictionary = Some(slug.clone());
            state.colour = Colour::Kl;
            state.steered = LabState::default().steered;
            state.control.clear();
            state.sweep = None;
            state.run = false;
        });
    };
    dictionary_select(move || page.slug().unwrap_or_default(), choose)
}
