//! What a page asks for once its first picture is on the screen.

use std::sync::Arc;

use api::StudyInfo;
use leptos::prelude::*;

use crate::parts::signal::RwSignal;
use crate::{
    net::{
        answer::Answer,
        fault::Fault,
        load::{Load, use_load},
        request::Request,
    },
    parts::{
        live::after_paint,
        states::{fault_note, skeleton},
    },
};

/// Waits for the first paint.
#[derive(Clone, Copy)]
pub(in crate::pages) struct Later {
    painted: RwSignal<bool>,
}

/// One answer for each dictionary, by its slug.
pub(super) type Loads<T> = Vec<(String, Load<T>)>;

impl Later {
    /// Begins to wait.
    pub(in crate::pages) fn new() -> Self {
        let painted = RwSignal::new(false);
        after_paint(move || {
            painted.set(true);
        });
        Self { painted }
    }

    /// Asks for `part` of every dictionary of the study.
    pub(super) fn ask<T: Answer + Send + Sync + 'static>(
        self,
        study: &StudyInfo,
        part: &'static str,
    ) -> Loads<T> {
        let ask = |slug: &String| {
            let asked = slug.clone();
            let request = move || {
                let painted = self.painted.get();
                painted.then(|| Request::dictionary(&asked, part))
            };
            (slug.clone(), use_load(request))
        };
        study.dictionaries.iter().map(|d| ask(&d.slug)).collect()
    }
}

/// The answers with `show` once all are there; before that grey lines, or what went wrong.
pub(super) fn shown<T: Default + Send + Sync + 'static>(
    loads: &Loads<T>,
    lines: usize,
    show: impl FnOnce(Vec<(String, Arc<T>)>) -> AnyView,
) -> AnyView {
    let mut answers = Vec::with_capacity(loads.len());
    for (slug, load) in loads {
        match load.state.fault.get() {
            // What the server does not have is as good as empty.
            Some(Fault::Problem(problem)) if problem.status == 404 => {
                answers.push((slug.clone(), Arc::new(T::default())));
                continue;
            }
            Some(fault) => return fault_note(&fault, Some(load.state)),
            None => {}
        }
        if let Some(answer) = load.get() {
            answers.push((slug.clone(), answer));
        }
    }
    if answers.len() == loads.len() {
        show(answers)
    } else {
        skeleton(lines)
    }
}
