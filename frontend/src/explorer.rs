//! What every page shares: the address, the study, the models' state, tooltip, toasts.

use std::{cell::Cell, sync::Arc, time::Duration};

use crate::parts::live::{memo, when_changed};
use crate::parts::signal::{Memo, RwSignal};
use api::{DictionaryInfo, Readiness, ReadyState, StudyInfo};
use leptos::prelude::*;

use crate::{
    nav::Address,
    net::{
        answer::read,
        fetch,
        load::{Load, use_load},
        request::Request,
    },
    parts::{theme, toast::Toast, tooltip::Tip},
};

/// Whether prompts can be run now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Models {
    /// Not asked yet.
    Unknown,
    /// The server's answer.
    Known(Readiness),
    /// The server does not answer.
    Gone,
}

impl Models {
    /// Whether the server can run prompts.
    pub(crate) fn ready(&self) -> bool {
        self.state() == Some(ReadyState::Ready)
    }

    /// The state, if the server answers.
    pub(crate) fn state(&self) -> Option<ReadyState> {
        match self {
            Self::Known(readiness) => Some(readiness.state),
            Self::Unknown | Self::Gone => None,
        }
    }
}

/// Handles to what every page shares; copied freely.
#[derive(Clone, Copy)]
pub(crate) struct Explorer {
    /// Path and query.
    pub(crate) address: RwSignal<Address>,
    /// The study.
    pub(crate) study: Load<StudyInfo>,
    /// The models' state, polled.
    pub(crate) models: RwSignal<Models>,
    /// Prompts can be run.
    pub(crate) ready: Memo<bool>,
    /// The one tooltip.
    pub(crate) tip: RwSignal<Option<Tip>>,
    /// The pointer is over the tooltip, which keeps it open.
    pub(crate) tip_held: RwSignal<bool>,
    /// Light, dark, or as the system has it, by its word.
    pub(crate) theme: RwSignal<String>,
    /// Short messages.
    pub(crate) toasts: RwSignal<Vec<Toast>>,
    /// Said to screen readers.
    pub(crate) announcement: RwSignal<String>,
    /// The sheet of keyboard shortcuts is open.
    pub(crate) shortcuts: RwSignal<bool>,
}

thread_local! {
    /// A page has one explorer, and handlers of events have no reactive owner to ask for it.
    static EXPLORER: Cell<Option<Explorer>> = const { Cell::new(None) };
}

/// The handles of the page's explorer.
pub(crate) fn explorer() -> Explorer {
    EXPLORER.get().unwrap_or_else(Explorer::start)
}

impl Explorer {
    /// Asks for the study and starts to watch the models.
    pub(crate) fn start() -> Self {
        let models = RwSignal::new(Models::Unknown);
        let explorer = Self {
            address: RwSignal::new(Address::read()),
            study: use_load(|| Some(Request::study())),
            models,
            ready: memo(move || models.read().ready()),
            tip: RwSignal::new(None),
            tip_held: RwSignal::new(false),
            theme: RwSignal::new(theme::stored()),
            toasts: RwSignal::new(Vec::new()),
            announcement: RwSignal::new(String::new()),
            shortcuts: RwSignal::new(false),
        };
        EXPLORER.set(Some(explorer));
        explorer.watch_models();
        // The study says more once the models are there, and everything once the server is back; at first it is as new as their state.
        let state = memo(move || models.read().state());
        let known = StoredValue::new(false);
        when_changed(state, move |state| {
            let study = explorer.study.state;
            let ready = state == Some(ReadyState::Ready);
            let differs = |study: &Arc<StudyInfo>| study.models.available != ready;
            let old = known.get_value()
                || study.fault.read_untracked().is_some()
                || explorer
                    .study
                    .data
                    .read_untracked()
                    .as_ref()
                    .is_some_and(differs);
            known.set_value(true);
            if state.is_some() && old && !study.busy.get_untracked() {
                study.reload();
            }
        });
        explorer
    }

    /// The dictionary of that name, or the study's first.
    pub(crate) fn dictionary(self, slug: Option<&str>) -> Option<DictionaryInfo> {
        let study = self.study.get()?;
        let all = &study.dictionaries;
        let wanted = slug.map_or(all.first(), |slug| all.iter().find(|d| d.slug == slug));
        wanted.cloned()
    }

    /// The study together with one of its dictionaries.
    pub(crate) fn study_with(self, slug: &str) -> Option<(Arc<StudyInfo>, DictionaryInfo)> {
        Some((self.study.get()?, self.dictionary(Some(slug))?))
    }

    /// The study's cuts, or the paper's until the study is there.
    pub(crate) fn cuts(self) -> api::ClassCuts {
        self.study
            .get()
            .map_or_else(api::ClassCuts::default, |study| study.cuts)
    }

    /// Tells screen readers.
    pub(crate) fn announce(self, text: &str) {
        self.announcement.set(text.to_owned());
    }

    fn watch_models(self) {
        fetch::start(async move {
            let Some(controller) = fetch::controller() else {
                return;
            };
            let answer = fetch::body(&Request::readiness(), &controller.signal())
                .await
                .ok();
            // 503 while loading carries the same body as 200.
            let readiness = answer.and_then(|(_, body)| read(&body).ok());
            let next = readiness.map_or(Models::Gone, Models::Known);
            let pause = match next.state() {
                Some(ReadyState::Loading) => 700,
                None => 3_000,
                Some(_) => 20_000,
            };
            if *self.models.read_untracked() != next {
                self.models.set(next);
            }
            set_timeout(move || self.watch_models(), Duration::from_millis(pause));
        });
    }
}
