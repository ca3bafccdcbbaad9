//! Cards: a title, something beside it, and a body.

use leptos::prelude::*;

/// A section with a heading that names it.
pub(crate) struct Card {
    /// Id of the heading.
    pub(crate) id: &'static str,
    /// The heading.
    pub(crate) title: &'static str,
    /// A quiet remark at the end of the heading's line.
    pub(crate) remark: String,
    /// Further classes.
    pub(crate) class: &'static str,
    /// The hook for tests.
    pub(crate) test: &'static str,
}

impl Card {
    /// A plain card.
    pub(crate) fn new(id: &'static str, title: &'static str) -> Self {
        Self {
            id,
            title,
            remark: String::new(),
            class: "",
            test: id,
        }
    }

    /// With a remark.
    pub(crate) fn remark(self, remark: impl Into<String>) -> Self {
        Self {
            remark: remark.into(),
            ..self
        }
    }

    /// Whose body reaches to its edges.
    pub(crate) fn flush(self) -> Self {
        Self {
            class: " flush",
            ..self
        }
    }

    /// The card around a body.
    pub(crate) fn holding(self, body: AnyView) -> AnyView {
        self.with(().into_any(), body)
    }

    /// The card with something more in the heading's line.
    pub(crate) fn with(self, beside: AnyView, body: AnyView) -> AnyView {
        view! {
            <section class=format!("card{}", self.class) aria-labelledby=self.id data-testid=self.test>
                <header>
                    <h2 id=self.id>{self.title}</h2>
                    {beside}
                    <span class="aside small quiet">{self.remark}</span>
                </header>
                {body}
            </section>
        }
        .into_any()
    }
}
