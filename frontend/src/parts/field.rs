//! Fields of forms. Each takes plain words and closures, so that all of them share one implementation.

use leptos::{
    ev,
    prelude::*,
    web_sys::{HtmlInputElement, HtmlSelectElement},
};

type Input = ev::Targeted<ev::Event, HtmlInputElement>;

/// A choice of one among a few, as a menu.
pub(crate) struct Select {
    /// What is chosen, for screen readers.
    pub(crate) label: &'static str,
    /// The hook for tests.
    pub(crate) test: &'static str,
    /// Values and their words.
    pub(crate) choices: Vec<(String, String)>,
}

impl Select {
    /// From values and words known beforehand.
    pub(crate) fn new(label: &'static str, test: &'static str, choices: &[(&str, &str)]) -> Self {
        let choices = choices
            .iter()
            .map(|(value, words)| ((*value).to_owned(), (*words).to_owned()))
            .collect();
        Self {
            label,
            test,
            choices,
        }
    }

    /// The menu, showing `chosen`.
    pub(crate) fn showing(
        self,
        chosen: impl Fn() -> String + Send + Sync + 'static,
        choose: impl Fn(String) + 'static,
    ) -> AnyView {
        self.menu(Signal::derive(chosen), Box::new(choose))
    }

    fn menu(self, chosen: Signal<String>, choose: Box<dyn Fn(String)>) -> AnyView {
        let option = |(value, words): (String, String)| {
            let mine = value.clone();
            view! { <option value=value selected=move || chosen.get() == mine>{words}</option> }
                .into_any()
        };
        let options = self.choices.into_iter().map(option).collect_view();
        let changed =
            move |event: ev::Targeted<ev::Event, HtmlSelectElement>| choose(event.target().value());
        view! { <select aria-label=self.label data-testid=self.test on:change:target=changed>{options}</select> }.into_any()
    }
}

/// A field for a number or a short text.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    /// `number`, `text` or `search`.
    pub(crate) kind: &'static str,
    /// What is entered, for screen readers.
    pub(crate) label: &'static str,
    /// The hook for tests.
    pub(crate) test: &'static str,
    /// Grey text while it is empty.
    pub(crate) placeholder: &'static str,
    /// Id of a list of suggestions.
    pub(crate) list: Option<&'static str>,
}

impl Field {
    /// A number.
    pub(crate) fn number(label: &'static str, test: &'static str) -> Self {
        Self {
            kind: "number",
            label,
            test,
            placeholder: "",
            list: None,
        }
    }

    /// The field, showing `value`; `entered` hears of it when the reader is done.
    pub(crate) fn showing(
        self,
        value: impl Fn() -> String + Send + Sync + 'static,
        entered: impl Fn(String) + 'static,
    ) -> AnyView {
        self.input(Signal::derive(value), Box::new(|_| ()), Box::new(entered))
    }

    /// The same; `typed` hears of every change as well.
    pub(crate) fn following(
        self,
        value: impl Fn() -> String + Send + Sync + 'static,
        typed: impl Fn(String) + 'static,
        entered: impl Fn(String) + 'static,
    ) -> AnyView {
        self.input(Signal::derive(value), Box::new(typed), Box::new(entered))
    }

    fn input(
        self,
        value: Signal<String>,
        typed: Box<dyn Fn(String)>,
        entered: Box<dyn Fn(String)>,
    ) -> AnyView {
        view! {
            <input
                type=self.kind
                step=(self.kind == "number").then_some("any")
                aria-label=self.label
                data-testid=self.test
                data-slash=(self.kind == "search").then_some("")
                placeholder=self.placeholder
                list=self.list
                prop:value=value
                on:input:target=move |event: Input| typed(event.target().value())
                on:change:target=move |event: Input| entered(event.target().value())
            />
        }
        .into_any()
    }
}

/// A box to tick, or one of several to choose from, with its words.
pub(crate) struct Check {
    /// `checkbox` or `radio`.
    pub(crate) kind: &'static str,
    /// Name of the group.
    pub(crate) name: &'static str,
    /// What it stands for, in tests and styles.
    pub(crate) value: &'static str,
    /// Its words.
    pub(crate) words: AnyView,
    /// Further classes.
    pub(crate) class: &'static str,
    /// More about it.
    pub(crate) title: String,
}

impl Check {
    /// One of several.
    pub(crate) fn radio(name: &'static str, value: &'static str, words: &'static str) -> Self {
        Self {
            kind: "radio",
            name,
            value,
            words: words.into_any(),
            class: "",
            title: String::new(),
        }
    }

    /// The field, showing `on`.
    pub(crate) fn showing(
        self,
        on: impl Fn() -> bool + Send + Sync + 'static,
        change: impl Fn() + 'static,
    ) -> AnyView {
        self.input(Signal::derive(on), Box::new(change))
    }

    fn input(self, on: Signal<bool>, change: Box<dyn Fn()>) -> AnyView {
        view! {
            <label class=format!("check {}", self.class) title=self.title>
                <input type=self.kind name=self.name value=self.value data-testid=format!("{}-{}", self.name, self.value) prop:checked=on on:change=move |_| change() />
                {self.words}
            </label>
        }
        .into_any()
    }
}

/// A button.
#[derive(Clone, Copy, Default)]
pub(crate) struct Button {
    /// Its words.
    pub(crate) words: &'static str,
    /// Classes.
    pub(crate) class: &'static str,
    /// Words for screen readers where those on it are not enough.
    pub(crate) label: Option<&'static str>,
    /// The hook for tests.
    pub(crate) test: Option<&'static str>,
}

impl Button {
    /// A plain button.
    pub(crate) fn new(words: &'static str) -> Self {
        Self {
            words,
            ..Self::default()
        }
    }

    /// That looks like a link.
    pub(crate) fn link(words: &'static str) -> Self {
        Self {
            words,
            class: "link small",
            ..Self::default()
        }
    }

    /// The button that does something.
    pub(crate) fn doing(self, act: impl Fn() + 'static) -> AnyView {
        self.button(String::new(), Signal::stored(false), Box::new(act))
    }

    /// The same with words made up at run time.
    pub(crate) fn saying(self, words: String, act: impl Fn() + 'static) -> AnyView {
        self.button(words, Signal::stored(false), Box::new(act))
    }

    /// The button that does something; it rests while `off`.
    pub(crate) fn unless(
        self,
        off: impl Fn() -> bool + Send + Sync + 'static,
        act: impl Fn() + 'static,
    ) -> AnyView {
        self.button(String::new(), Signal::derive(off), Box::new(act))
    }

    fn button(self, words: String, off: Signal<bool>, act: Box<dyn Fn()>) -> AnyView {
        view! {
            <button type="button" class=self.class aria-label=self.label title=self.label data-testid=self.test disabled=off on:click=move |_| act()>
                {self.words}{words}
            </button>
        }
        .into_any()
    }
}
