//! What a link says of itself where it is pasted: title, description and picture.

use api::{Class, DictionaryInfo, LatentDetail, LatentRow};
use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use diffing::class;

use super::picture::{BASE, CHAT, Colour, OTHER, Picture, SHARED};
use crate::{
    App,
    extract::{Segments, latent_id},
    problem::{Answer, Problem},
};

/// What a page is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Preview {
    pub(super) title: String,
    pub(super) description: String,
    /// Path of its picture, without the prefix.
    pub(super) picture: String,
}

/// What the page at a path is about; of an unknown one, what the study is about.
pub(super) async fn of(app: &App, path: &str) -> Preview {
    let segments: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let study = app.info();
    let general = |title: String| Preview {
        title,
        description: study.description.clone().unwrap_or_default(),
        picture: "/previews/study.png".into(),
    };
    match segments.as_slice() {
        ["d", dict, "l", id] => {
            let known = match latent_id(dict, id) {
                Ok(id) => row(app, dict, id).await,
                Err(problem) => Err(problem),
            };
            known.map_or_else(
                |_| general(study.name.clone()),
                |of| Preview {
                    title: match &of.label {
                        Some(label) => format!("Latent {id}: {label} · {}", study.name),
                        None => format!("Latent {id} of {dict} · {}", study.name),
                    },
                    description: sentence(&of),
                    picture: format!("/previews/{dict}/{id}"),
                },
            )
        }
        ["d", dict] => match study.dictionaries.iter().find(|d| d.slug == *dict) {
            Some(dictionary) => Preview {
                description: counts(dictionary),
                ..general(format!("Latents of {dict} · {}", study.name))
            },
            None => general(study.name.clone()),
        },
        ["lab"] => general(format!("Lab · {}", study.name)),
        ["compare"] => general(format!("Dictionaries compared · {}", study.name)),
        ["method"] => general(format!("Method · {}", study.name)),
        ["r", _] => general(format!("A saved run · {}", study.name)),
        _ => general(study.name.clone()),
    }
}

/// The numbers of a latent; of its page nothing else is read.
async fn row(app: &App, dict: &str, id: u32) -> Answer<LatentRow> {
    app.check_dictionary(dict)?;
    let dict = dict.to_owned();
    app.ask(move |store| store.row(&dict, id).cloned()).await
}

async fn latent(app: &App, dict: &str, id: u32) -> Answer<LatentDetail> {
    app.check_dictionary(dict)?;
    let dict = dict.to_owned();
    app.ask_of_latent(dict, id, move |store, dict| store.latent(dict, id))
        .await
}

/// A latent in one sentence.
fn sentence(row: &LatentRow) -> String {
    let class = row.class.as_str();
    let named = row
        .delta_norm
        .map(|delta| format!("{class} (Δ_norm {delta:.2})"));
    let verdict = row.verdict.map(|verdict| verdict.as_str().to_owned());
    let ratio = |name, ratio: Option<f64>| ratio.map(|ratio| format!("{name} {ratio:.2}"));
    let frequency = row
        .frequency
        .map(|frequency| format!("fires on {:.2} % of tokens", 100.0 * frequency));
    let template = row
        .template_share
        .filter(|_| row.active_tokens > Some(0))
        .map(|share| format!("{:.0} % of them template tokens", 100.0 * share));
    let parts = [
        named.or_else(|| Some(class.to_owned())),
        verdict,
        ratio("ν^ε", row.nu_epsilon),
        ratio("ν^r", row.nu_r),
        frequency,
        template,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn counts(of: &DictionaryInfo) -> String {
    let classes = of.counts.classes.iter();
    let parts: Vec<String> = classes
        .map(|(class, count)| format!("{count} {}", class.as_str()))
        .collect();
    format!("{} latents ({}): {}", of.latents, of.kind, parts.join(", "))
}

/// The study's picture: Δ_norm of its first dictionary's latents.
pub(crate) async fn study_picture(State(app): State<App>) -> Answer<Response> {
    let info = app.info();
    let mut picture = Picture::new();
    if let Some(dictionary) = info.dictionaries.first() {
        let histogram = &dictionary.delta_norm;
        let most = histogram.counts.iter().copied().max().unwrap_or(0);
        let centres = histogram
            .edges
            .windows(2)
            .map(|edges| edges.iter().sum::<f64>() / 2.0);
        let columns: Vec<(f64, Colour)> = histogram
            .counts
            .iter()
            .zip(centres)
            .map(|(&count, centre)| {
                (
                    logarithmic(count, most),
                    colour(class(Some(centre), &info.cuts)),
                )
            })
            .collect();
        picture.columns([0.06, 0.1, 0.94, 0.9], &columns);
    }
    answer(&picture)
}

/// A latent's picture: both norms above, the histogram of its activations below.
pub(crate) async fn latent_picture(
    State(app): State<App>,
    Segments((dict, id)): Segments<(String, String)>,
) -> Answer<Response> {
    let of = latent(&app, &dict, latent_id(&dict, &id)?).await?;
    let mut picture = Picture::new();
    let (base, chat) = (of.row.norm_base, of.row.norm_chat);
    let longest = base.max(chat).max(f64::MIN_POSITIVE);
    for (norm, top, colour) in [(base, 0.08, BASE), (chat, 0.2, CHAT)] {
        picture.fill(
            [0.06, top, 0.06 + 0.88 * norm / longest, top + 0.09],
            colour,
        );
    }
    if let Some(histogram) = &of.histogram {
        let most = histogram.counts.iter().copied().max().unwrap_or(0);
        let colour = colour(of.row.class);
        let columns: Vec<(f64, Colour)> = histogram
            .counts
            .iter()
            .map(|&count| (logarithmic(count, most), colour))
            .collect();
        picture.columns([0.06, 0.4, 0.94, 0.92], &columns);
    }
    answer(&picture)
}

/// Height of a count beside the largest, so that single ones still show.
fn logarithmic(count: u64, most: u64) -> f64 {
    let height = |n: u64| (n as f64).ln_1p();
    height(count) / height(most).max(f64::MIN_POSITIVE)
}

fn colour(class: Class) -> Colour {
    match class {
        Class::ChatOnly => CHAT,
        Class::BaseOnly => BASE,
        Class::Shared => SHARED,
        Class::Other => OTHER,
    }
}

fn answer(picture: &Picture) -> Answer<Response> {
    let png = picture.png().map_err(|error| {
        tracing::error!(%error, "a picture could not be written");
        Problem::internal("the picture could not be made")
    })?;
    let headers = [
        (header::CONTENT_TYPE, "image/png"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        // Other sites show it beside a link.
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "cross-origin",
        ),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    Ok((headers, png).into_response())
}
