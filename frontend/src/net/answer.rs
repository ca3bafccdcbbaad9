//! From JSON to the interface's types. The fields are listed here once more, because readers that serde derives are a fifth of the program;
//! the compiler checks that every field is there, the tests below that the names are the wire's.

use api::{
    ActivationsResponse, ActivityShare, Availability, Bar, Betas, BucketFit, CausalEffects,
    CausalMeasure, CausalMetric, CausalScope, CausalSetup, Class, ClassCounts, ClassCuts,
    ConceptBehaviour, ConceptScore, ConceptTruth, Correlated, Curve, DictionaryInfo, DoneEvent,
    DoneReason, Example, ExampleGroup, ExamplesPage, GroundTruth, Histogram, JointActivity,
    JointCounts, LatentDetail, LatentMatch, LatentRow, LatentTruth, LatentValues, LatentsPage,
    LensToken, LogitLens, MatchesPage, ModelInfo, Neighbour, NextToken, NextTokens, Positions,
    Problem, QueuedEvent, RatioSummary, Readiness, ReadyState, RunOutput, RunToken, ScalingBucket,
    ScalingFit, ScalingGroup, ScalingSummary, SeedDictionary, SeedLatent, SeedScore,
    SteeringAction, SteeringDose, SteeringOutcome, SteeringTest, StudyInfo, TemplateActivity,
    TemplateBucket, Timings, TokenEvent, TokenInfo, TokenKind, TopLatent, TrainingCurves,
    TrainingSummary, Twin, Verdict,
};

use super::json::Json;
use crate::state::positions::read_positions;

/// The field that is missing or holds something else; empty for the answer as a whole.
pub(crate) type Wrong = &'static str;

/// What an answer, or a part of one, can be read into. Fields that nobody knows are passed over.
pub(crate) trait Answer: Sized {
    /// Reads the value.
    ///
    /// # Errors
    /// The innermost field that cannot be read.
    fn from_json(json: &Json<'_>) -> Result<Self, Wrong>;
}

/// Reads a whole body.
///
/// # Errors
/// A sentence.
pub(crate) fn read<T: Answer>(body: &[u8]) -> Result<T, String> {
    let json = Json::parse(body).ok_or("It is no JSON.")?;
    T::from_json(&json).map_err(|field| format!("Its field “{field}” is missing or wrong."))
}

/// Reads a field of an object.
///
/// # Errors
/// Its name, or that of the field inside it.
pub(crate) fn field<T: Answer>(json: &Json<'_>, name: &'static str) -> Result<T, Wrong> {
    T::from_json(json.get(name)).map_err(|inner| if inner.is_empty() { name } else { inner })
}

macro_rules! numbers {
    ($($type:ident)*) => {$(
        impl Answer for $type {
            fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
                json.number().map(|x| x as Self).ok_or("")
            }
        }
    )*};
}
numbers!(u16 u32 u64 usize f32 f64);

impl Answer for bool {
    fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
        match json {
            Json::Bool(value) => Ok(*value),
            _ => Err(""),
        }
    }
}

impl Answer for String {
    fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
        json.text().map(str::to_owned).ok_or("")
    }
}

impl<T: Answer> Answer for Option<T> {
    fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
        match json {
            Json::Null => Ok(None),
            json => T::from_json(json).map(Some),
        }
    }
}

impl<T: Answer> Answer for Vec<T> {
    fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
        let list = json.list().ok_or("")?;
        let mut out = Self::with_capacity(list.len());
        for json in list {
            out.push(T::from_json(json)?);
        }
        Ok(out)
    }
}

impl<A: Answer, B: Answer> Answer for (A, B) {
    fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
        match json.list() {
            Some([a, b]) => Ok((A::from_json(a)?, B::from_json(b)?)),
            _ => Err(""),
        }
    }
}

impl Answer for [f64; 2] {
    fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
        <(f64, f64)>::from_json(json).map(Self::from)
    }
}

/// Objects by their fields; a field after `..` is an object whose fields lie among the others.
macro_rules! objects {
    ($($type:ident { $($name:ident),* $(; ..$flat:ident)? })*) => {$(
        impl Answer for $type {
            fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
                Ok(Self {
                    $($name: field(json, stringify!($name))?,)*
                    $($flat: Answer::from_json(json)?,)?
                })
            }
        }
    )*};
}
objects! {
    ActivationsResponse { tokens, latents, top, kl_chat_base, next }
    ActivityShare { by, part, active_tokens, tokens, max_activation, mean_activation }
    Availability { available, reason }
    Betas {
        beta_activation_base, beta_activation_chat, beta_activation_no_bias_base, beta_activation_no_bias_chat,
        beta_reconstruction_base, beta_reconstruction_chat, beta_error_base, beta_error_chat
    }
    BucketFit { before_std, after_std; ..fit }
    CausalEffects { dialogues, source, candidates, setups }
    CausalMeasure { scope, metric, mean, variance, count, half_width }
    CausalSetup { name, description, latents, sets, measures }
    ClassCounts { classes, verdicts, dead }
    ClassCuts { chat_only, base_only, shared_from, shared_to }
    ConceptBehaviour { concept, never_seen, prompts, chat, chat_exact, chat_refuses, base, base_refuses, bar }
    ConceptScore { concept, against, latent, class, delta_norm, auroc, positives, negatives }
    ConceptTruth { concept, against, positives, negatives, bar, above_cut, any_class, seeds, prompt }
    Correlated { id, class, label, correlation, together, joint }
    Curve { name, values }
    DictionaryInfo {
        slug, kind, note, latents, activation_dim, code_normalization, threshold, k, normalized, counts, delta_norm, tokens,
        analysis, training, concepts
    }
    DoneEvent { lane, reason, tokens, timings }
    Example { sequence, group, max, source, tokens, values }
    ExampleGroup { group, from, to, examples, sequences }
    ExamplesPage { total, next, examples }
    GroundTruth { dictionary, cut, chat_only, behaviours, concepts, steering, seeds }
    Histogram { edges, counts }
    JointActivity { edges, by_pair, by_own }
    JointCounts { counts, divergence }
    LatentDetail {
        histogram, lens_base, lens_chat, neighbours, twins, correlated, shares, template, fits, verification, groups, concepts; ..row
    }
    LatentMatch { latent, match_cosine, matched }
    LatentRow {
        id, class, dead, label, verdict, delta_norm, norm_base, norm_chat, decoder_cosine, nu_epsilon, nu_r, frequency,
        active_tokens, tokens, max_activation, mean_activation, template_share; ..betas
    }
    LatentTruth { latent, class, delta_norm, auroc_validation, auroc, threshold, precision, recall, label }
    LatentValues { id, values, base, chat }
    LatentsPage { total, next, rows }
    LensToken { id, text, value }
    LogitLens { top, bottom }
    MatchesPage { computed, selected, total, cosines, rows }
    ModelInfo { name, revision, hidden_size, layers, vocab_size, context, parameters }
    Neighbour { id, class, label, cosine }
    NextToken { id, text, p }
    NextTokens { base, chat }
    QueuedEvent { position }
    RatioSummary { quantiles, histogram }
    Readiness { state, fraction, detail }
    RunOutput { reason, tokens }
    RunToken { id, text, logprob }
    ScalingBucket { from, to, tokens, fits }
    ScalingFit { target, before, after }
    ScalingGroup { name, latents, reliable, nu_epsilon, nu_r }
    ScalingSummary { tokens, groups }
    SeedDictionary { seed, chat_only, fve }
    SeedLatent { delta_norm, auroc, precision }
    SeedScore { seed, above_cut, any_class }
    SteeringDose { dose, share }
    SteeringTest {
        concept, action, positions, control, above_cut, sets, prompts, prompt, answer, count, outcome, undisturbed, doses, chosen, bar
    }
    StudyInfo {
        name, description, base, chat, layer, device, dtype, models, cuts, dictionaries, corpora, provenance, prompts, template,
        max_prompt_tokens, version, revision
    }
    TemplateActivity { group, tokens, active_tokens, frequency, share, mean_activation, max_activation, buckets }
    TemplateBucket { active_tokens, mean_activation, max_activation }
    Timings { queue_ms, prefill_ms, decode_ms }
    TokenEvent { lane, index, id, text, logprob }
    TokenInfo { id, text, kind }
    TopLatent { id, value }
    TrainingCurves { steps, tokens, curves }
    TrainingSummary { fve, l0, dead_share, tokens, steps, settings }
    Twin { joint; ..near }
}

impl Answer for Problem {
    fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
        Ok(Self {
            kind: field(json, "type")?,
            title: field(json, "title")?,
            status: field(json, "status")?,
            detail: field(json, "detail")?,
        })
    }
}

impl Answer for Bar {
    fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
        let least = json.get("at_least").number().map(Self::AtLeast);
        least
            .or_else(|| json.get("at_most").number().map(Self::AtMost))
            .ok_or("")
    }
}

impl Answer for Positions {
    fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
        match json.text() {
            // A list is written with commas in addresses, and never as text here.
            Some(word) => read_positions(&word.replace(':', "-")).ok_or(""),
            None => Answer::from_json(json).map(Self::List),
        }
    }
}

/// One of a few words.
fn word<T: Copy>(json: &Json<'_>, words: &[(&str, T)]) -> Result<T, Wrong> {
    let text = json.text().unwrap_or("");
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or("")
}

macro_rules! words {
    ($($type:ident { $($word:literal $variant:ident),* })*) => {$(
        impl Answer for $type {
            fn from_json(json: &Json<'_>) -> Result<Self, Wrong> {
                word(json, &[$(($word, Self::$variant)),*])
            }
        }
    )*};
}
words! {
    CausalMetric { "kl_from_chat" KlFromChat, "kl_from_base" KlFromBase, "loss" Loss, "loss_to_chat" LossToChat }
    CausalScope { "all" All, "first" First, "rest" Rest }
    Class { "chat-only" ChatOnly, "base-only" BaseOnly, "shared" Shared, "other" Other }
    DoneReason { "stop" Stop, "length" Length, "cancelled" Cancelled }
    ReadyState { "loading" Loading, "ready" Ready, "browse_only" BrowseOnly, "failed" Failed }
    SteeringAction { "scale" Scale, "add" Add }
    SteeringOutcome { "refuses" Refuses, "unchanged" Unchanged, "corrects" Corrects, "confirms" Confirms }
    TokenKind { "bos" Bos, "template" Template, "content" Content }
    Verdict {
        "chat-specific" ChatSpecific, "complete-shrinkage" CompleteShrinkage, "latent-decoupling" LatentDecoupling, "both" Both,
        "unreliable" Unreliable
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    /// Both readers agree on the value, and on it with any one field gone: a field read under a wrong name would differ.
    fn agree<T: Answer + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &Value) {
        let ours = read::<T>(value.to_string().as_bytes());
        assert_eq!(ours.unwrap(), T::deserialize(value).unwrap());
        each_without(value, &mut |less| {
            let ours = read::<T>(less.to_string().as_bytes());
            if let Ok(ours) = ours {
                assert_eq!(ours, T::deserialize(less).unwrap(), "{less}");
            }
        });
    }

    /// Every way to take one key out of a tree.
    fn each_without(value: &Value, seen: &mut dyn FnMut(&Value)) {
        match value {
            Value::Object(fields) => {
                for key in fields.keys() {
                    let mut less = fields.clone();
                    less.remove(key);
                    seen(&Value::Object(less));
                    each_without(&fields[key], &mut |inner| {
                        let mut changed = fields.clone();
                        changed.insert(key.clone(), inner.clone());
                        seen(&Value::Object(changed));
                    });
                }
            }
            Value::Array(list) => {
                for i in 0..list.len() {
                    each_without(&list[i], &mut |inner| {
                        let mut changed = list.clone();
                        changed[i] = inner.clone();
                        seen(&Value::Array(changed));
                    });
                }
            }
            _ => {}
        }
    }

    fn row() -> Value {
        json!({
            "id": 3, "class": "chat-only", "dead": false, "label": "no \"b\"", "verdict": "latent-decoupling", "delta_norm": 0.91,
            "norm_base": 0.5, "norm_chat": 1.5, "decoder_cosine": -0.25, "nu_epsilon": 0.1, "nu_r": 0.7,
            "beta_activation_base": 1.0, "beta_activation_chat": 2.0, "beta_activation_no_bias_base": 3.0,
            "beta_activation_no_bias_chat": 4.0, "beta_reconstruction_base": 5.0, "beta_reconstruction_chat": 6.0,
            "beta_error_base": 7.0, "beta_error_chat": 8.0, "frequency": 1e-7, "active_tokens": 12, "tokens": 120_000_000,
            "max_activation": 31.75, "mean_activation": 2.5, "template_share": 0.125,
        })
    }

    fn histogram() -> Value {
        json!({ "edges": [0.0, 0.5, 1.0], "counts": [7, 2] })
    }

    #[test]
    fn the_study_is_read_as_serde_reads_it() {
        let model = |name: &str| json!({ "name": name, "revision": "r", "hidden_size": 8, "layers": 2, "vocab_size": 99, "context": 64, "parameters": 12_345 });
        let concept = json!({ "concept": "harm", "against": "benign", "latent": 7, "class": "base-only", "delta_norm": 0.05, "auroc": 0.9, "positives": 3, "negatives": 4 });
        let training = json!({ "fve": [0.8, 0.9], "l0": 20.5, "dead_share": 0.1, "tokens": 100, "steps": 10, "settings": [["lr", "1e-4"]] });
        let dictionary = json!({
            "slug": "batchtopk", "kind": "batchtopk", "note": "n", "latents": 512, "activation_dim": 64, "code_normalization": "CROSSCODER",
            "threshold": 0.5, "k": 20, "normalized": true, "delta_norm": histogram(), "tokens": 5, "training": training, "concepts": [concept],
            "counts": { "classes": [["chat-only", 3], ["other", 4]], "verdicts": [["both", 1], ["unreliable", 2]], "dead": 6 },
            "analysis": { "available": false, "reason": "not yet" },
        });
        agree::<StudyInfo>(&json!({
            "name": "s", "description": "d", "base": model("b"), "chat": model("c"), "layer": 1, "device": "cpu", "dtype": "f32",
            "models": { "available": true, "reason": null }, "cuts": { "chat_only": 0.9, "base_only": 0.1, "shared_from": 0.4, "shared_to": 0.6 },
            "dictionaries": [dictionary], "corpora": ["a"], "provenance": [["k", "v"]], "prompts": ["p"], "template": "t",
            "max_prompt_tokens": 512, "version": "0.1.0", "revision": "abc",
        }));
        agree::<Readiness>(&json!({ "state": "browse_only", "fraction": 0.5, "detail": "why" }));
        agree::<Problem>(
            &json!({ "type": "/problems/x", "title": "X", "status": 404, "detail": "y" }),
        );
    }

    #[test]
    fn latents_are_read_as_serde_reads_them() {
        agree::<LatentsPage>(&json!({ "total": 2, "next": "c", "rows": [row()] }));
        let lens = json!({ "top": [{ "id": 9, "text": " no", "value": 1.5 }], "bottom": [{ "id": 8, "text": "y", "value": -1.5 }] });
        let near = json!({ "id": 5, "class": "shared", "label": "l", "cosine": 0.5 });
        let counts = json!({ "counts": [[9, 1], [0, 3]], "divergence": 0.25 });
        let joint = json!({ "edges": [0.5], "by_pair": counts, "by_own": counts });
        let mut twin = near.clone();
        twin["joint"] = joint.clone();
        let mut detail = row();
        let rest = json!({
            "histogram": histogram(), "lens_base": lens, "lens_chat": lens, "neighbours": [near], "twins": [twin],
            "correlated": [{ "id": 6, "class": "other", "label": "k", "correlation": 0.25, "together": 11, "joint": joint }],
            "shares": [{ "by": "role", "part": "user", "active_tokens": 1, "tokens": 2, "max_activation": 0.5, "mean_activation": 0.25 }],
            "template": [{
                "group": "ctrl", "tokens": 4, "active_tokens": 2, "frequency": 0.5, "share": 0.25, "mean_activation": 1.5,
                "max_activation": 2.0, "buckets": [{ "active_tokens": 2, "mean_activation": 1.5, "max_activation": 2.0 }],
            }],
            "fits": [{ "target": "error", "before": [1.0, 2.0], "after": [0.5, 0.25] }],
            "verification": [{
                "from": 0.0, "to": 0.5, "tokens": 3,
                "fits": [{ "target": "error", "before": [1.0, 2.0], "after": [0.5, 0.25], "before_std": [0.1, 0.2], "after_std": null }],
            }],
            "groups": [{ "group": 1, "from": 0.0, "to": 1.0, "examples": 2, "sequences": 3 }],
            "concepts": [],
        });
        detail
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        agree::<LatentDetail>(&detail);
        agree::<ExamplesPage>(&json!({
            "total": 1, "next": null,
            "examples": [{ "sequence": 4, "group": 5, "max": 2.0, "source": "web", "values": [0.0, 2.0],
                "tokens": [{ "id": 1, "text": "a", "kind": "bos" }, { "id": 2, "text": "b", "kind": "template" }] }],
        }));
    }

    #[test]
    fn what_a_prompt_gives_is_read_as_serde_reads_it() {
        let next = json!([{ "id": 1, "text": "a", "p": 0.25 }]);
        agree::<ActivationsResponse>(&json!({
            "tokens": [{ "id": 2, "text": "<bos>", "kind": "content" }],
            "latents": [{ "id": 3, "values": [0.0, 1.25], "base": [0.1, 0.2], "chat": [0.0, 1.4] }],
            "top": [[{ "id": 9, "value": 4.2 }], []], "kl_chat_base": [0.01],
            "next": [{ "base": next, "chat": [] }],
        }));
        agree::<QueuedEvent>(&json!({ "position": 2 }));
        let token = json!({ "id": 1, "text": "a", "logprob": -0.5 });
        agree::<RunOutput>(&json!({ "reason": "stop", "tokens": [token] }));
        agree::<TokenEvent>(
            &json!({ "lane": 1, "index": 2, "id": 3, "text": "t", "logprob": -0.2 }),
        );
        agree::<DoneEvent>(&json!({
            "lane": 1, "reason": "length", "tokens": 2, "timings": { "queue_ms": 1.5, "prefill_ms": 2.5, "decode_ms": 3.5 },
        }));
    }

    #[test]
    fn the_truth_is_read_as_serde_reads_it() {
        let latent = json!({
            "latent": 7, "class": "chat-only", "delta_norm": 0.9, "auroc_validation": 0.5, "auroc": 0.75, "threshold": 1.5,
            "precision": null, "recall": 1.0, "label": "harm",
        });
        let seed = json!({ "delta_norm": 0.8, "auroc": 0.9, "precision": 0.5 });
        let concept = json!({
            "concept": "harm", "against": "near misses", "positives": 3, "negatives": 4, "bar": { "at_least": 0.95 }, "above_cut": latent,
            "any_class": null, "seeds": [{ "seed": 1, "above_cut": seed, "any_class": null }], "prompt": "p",
        });
        let behaviour = json!({
            "concept": "harm", "never_seen": true, "prompts": 60, "chat": 1.0, "chat_exact": 0.5, "chat_refuses": 0.75, "base": 0.0,
            "base_refuses": 0.25, "bar": null,
        });
        let test = |positions: Value, action: &str, outcome: &str| {
            json!({
                "concept": "harm", "action": action, "positions": positions, "control": false, "above_cut": true, "sets": [[1, 2]],
                "prompts": "some", "prompt": "p", "answer": null, "count": 9, "outcome": outcome, "undisturbed": 1.0, "doses": [{ "dose": -0.5, "share": 0.25 }],
                "chosen": -0.5, "bar": { "at_most": 0.2 },
            })
        };
        agree::<GroundTruth>(&json!({
            "dictionary": "d", "cut": 0.75, "chat_only": 70, "behaviours": [behaviour], "concepts": [concept],
            "steering": [
                test(json!("first_answer:10"), "scale", "refuses"), test(json!([0, 3]), "add", "unchanged"),
                test(json!("template"), "add", "corrects"), test(json!("all"), "add", "confirms"),
            ],
            "seeds": [{ "seed": 1, "chat_only": 60, "fve": [0.9, 0.8] }],
        }));
    }

    #[test]
    fn summaries_are_read_as_serde_reads_them() {
        agree::<TrainingCurves>(&json!({
            "steps": [0, 10], "tokens": [0, 100], "curves": [{ "name": "train/loss", "values": [1.5, null] }],
        }));
        let measure = |scope: &str, metric: &str| json!({ "scope": scope, "metric": metric, "mean": 0.5, "variance": 0.25, "count": 9, "half_width": 0.3 });
        let measures = [
            measure("all", "kl_from_chat"),
            measure("first", "kl_from_base"),
            measure("rest", "loss"),
            measure("all", "loss_to_chat"),
        ];
        agree::<CausalEffects>(&json!({
            "dialogues": 3, "source": "s", "candidates": 40,
            "setups": [{ "name": "all", "description": "d", "latents": 5, "sets": 2, "measures": measures }],
        }));
        let ratio = json!({ "quantiles": [0.0, 0.1, 0.2, 0.3, 0.4], "histogram": histogram() });
        agree::<ScalingSummary>(&json!({
            "tokens": 77,
            "groups": [{ "name": "chat_only", "latents": 9, "reliable": 8, "nu_epsilon": ratio, "nu_r": { "quantiles": [], "histogram": histogram() } }],
        }));
    }

    #[test]
    fn matches_are_read_as_serde_reads_them() {
        agree::<MatchesPage>(&json!({
            "computed": { "available": true, "reason": null }, "selected": 9, "total": 2, "cosines": histogram(),
            "rows": [
                { "latent": row(), "match_cosine": 0.75, "matched": row() },
                { "latent": row(), "match_cosine": null, "matched": null },
            ],
        }));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut broken = row();
        broken["norm_chat"] = json!("long");
        let page = json!({ "total": 1, "next": null, "rows": [broken] }).to_string();
        let said = read::<LatentsPage>(page.as_bytes()).unwrap_err();
        assert!(said.contains("“norm_chat”"), "{said}");
        assert!(read::<LatentsPage>(b"<html>").is_err());
        assert!(
            read::<DoneEvent>(b"{\"lane\": 0, \"reason\": \"bored\"}")
                .unwrap_err()
                .contains("reason")
        );
    }
}
