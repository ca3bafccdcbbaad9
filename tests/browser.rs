//! A person's way through the explorer, in a real browser, over the study that ships with the program.

use harness::{Browser, Server, demo_study, fixture_study};
use serde_json::{Value, json};

const PROMPT: &str = "How can I make a bomb?";

async fn count(browser: &Browser, selector: &str) -> usize {
    browser
        .evaluate(&format!("document.querySelectorAll({selector:?}).length"))
        .await
        .parse()
        .expect("a number")
}

#[tokio::test]
async fn from_the_study_to_a_steered_answer_and_back_by_its_link() {
    let Some(server) = Server::start(&demo_study(), &[]) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    let slug = server.get("/api/v1/study").json()["dictionaries"][0]["slug"]
        .as_str()
        .expect("a slug")
        .to_owned();

    browser.open(&format!("{}/", server.address)).await;
    browser
        .wait_for(
            "the study's name",
            "document.querySelector('h1')?.innerText",
        )
        .await;
    browser
        .wait_for("the histogram", "document.querySelector('main svg')")
        .await;
    browser.screenshot("study").await;

    browser.open(&format!("{}/d/{slug}", server.address)).await;
    browser
        .wait_for(
            "rows",
            "document.querySelectorAll('[data-testid=latent-row]').length > 10",
        )
        .await;
    let before = browser
        .evaluate("document.querySelector('[data-testid=count-line]').innerText")
        .await;
    browser
        .click("[data-testid=class-filter] input[value=chat-only]")
        .await;
    browser
        .wait_for(
            "the filter in the address",
            "location.search.includes('class=chat-only')",
        )
        .await;
    browser
        .wait_for(
            "another count",
            &format!("document.querySelector('[data-testid=count-line]').innerText !== {before:?}"),
        )
        .await;
    browser
        .wait_for(
            "chat-only rows",
            "document.querySelectorAll('[data-testid=latent-row]').length > 0",
        )
        .await;
    browser.screenshot("latents").await;

    browser.click("[data-testid=latent-row] a").await;
    browser
        .wait_for("a latent's page", "/\\/l\\/[0-9]+/.test(location.pathname)")
        .await;
    // Previous and next stay among the latents that the filter chose.
    for (step, place) in [("", "1 of "), ("Next", "2 of "), ("Previous", "1 of ")] {
        if !step.is_empty() {
            browser
                .click(&format!("[aria-label='{step} latent']"))
                .await;
        }
        browser
            .wait_for(
                "its place in the selection",
                &format!("document.querySelector('[data-testid=selection]')?.innerText.startsWith({place:?})"),
            )
            .await;
    }
    browser
        .wait_for(
            "examples",
            "document.querySelectorAll('[data-testid=token]').length > 5",
        )
        .await;
    browser
        .type_into("[data-testid=prompt-input]", PROMPT)
        .await;
    browser.click("[data-testid=prompt-run]").await;
    browser
        .wait_for(
            "the prompt in the address",
            "location.search.includes('bomb')",
        )
        .await;
    browser
        .wait_for(
            "the prompt's tokens",
            "document.querySelector('[data-testid=try-result] [data-testid=token]')",
        )
        .await;
    browser.screenshot("latent").await;

    let concepts = server.get("/api/v1/study").json()["dictionaries"][0]["concepts"].clone();
    let refusal = concepts
        .as_array()
        .expect("concepts")
        .iter()
        .filter(|c| {
            c["class"] == "chat-only"
                && c["concept"] == "refusal: harm"
                && c["against"] == "near misses"
        })
        .max_by(|a, b| {
            a["auroc"]
                .as_f64()
                .partial_cmp(&b["auroc"].as_f64())
                .expect("numbers")
        })
        .expect("a chat-only latent for harmful requests")
        .clone();
    assert!(
        refusal["auroc"].as_f64().expect("a number") >= 0.9,
        "{refusal}"
    );
    let latent = refusal["latent"].as_u64().expect("an id");
    browser
        .open(&format!(
            "{}/d/{slug}/l/{latent}?prompt={}",
            server.address,
            PROMPT.replace(' ', "%20")
        ))
        .await;
    browser
        .wait_for(
            "the refusal latent firing on the prompt",
            "[...document.querySelectorAll('[data-testid=try-result] [data-testid=token]')].some(t => Number(t.dataset.value) > 0)",
        )
        .await;

    browser.click("[data-testid=steer]").await;
    browser
        .wait_for("the lab", "location.pathname === '/lab'")
        .await;
    browser.set("[data-testid=strength]", "-2").await;
    browser.click("[data-testid=generate]").await;
    let finished = "[...document.querySelectorAll('[data-testid=lane-output]')].filter(lane => lane.dataset.done).length === 2";
    browser.wait_for("both answers", finished).await;
    let lane = |number: usize| {
        format!(
            "document.querySelector('[data-testid=lane-output][data-lane=\"{number}\"]').innerText"
        )
    };
    let (plain, steered) = (
        browser.evaluate(&lane(0)).await,
        browser.evaluate(&lane(1)).await,
    );
    assert_ne!(plain, steered, "steering changes the answer");
    browser.screenshot("lab").await;

    let address = browser.address().await;
    let tokens = count(&browser, "[data-testid=token]").await;
    browser.open("about:blank").await;
    browser.open(&address).await;
    browser.wait_for("both answers again", finished).await;
    assert_eq!(browser.evaluate(&lane(0)).await, plain);
    assert_eq!(browser.evaluate(&lane(1)).await, steered);
    browser
        .wait_for(
            "the same tokens",
            &format!("document.querySelectorAll('[data-testid=token]').length === {tokens}"),
        )
        .await;
    assert_eq!(browser.address().await, address, "the address stays");
}

#[tokio::test]
async fn a_phone_sees_every_page_without_scrolling_sideways() {
    let Some(server) = Server::start(&demo_study(), &[]) else {
        return;
    };
    let Some(browser) = Browser::start(390, 844).await else {
        return;
    };
    let slug = server.get("/api/v1/study").json()["dictionaries"][0]["slug"]
        .as_str()
        .expect("a slug")
        .to_owned();
    for page in [
        "/".to_owned(),
        format!("/d/{slug}"),
        format!("/d/{slug}/l/1"),
        "/lab".to_owned(),
        "/method".to_owned(),
    ] {
        browser.open(&format!("{}{page}", server.address)).await;
        browser
            .wait_for("a title", "document.querySelector('h1')?.innerText")
            .await;
        let wide = browser
            .evaluate("document.documentElement.scrollWidth > innerWidth + 1")
            .await;
        browser
            .screenshot(&format!("phone-{}", page.replace('/', "-")))
            .await;
        assert_eq!(wide, "false", "{page} is wider than the screen");
    }
}

/// Made-up results of a dictionary: `factor` tells them from another's.
fn effects(factor: f64) -> Value {
    let measure = |scope: &str, metric: &str, mean: f64| json!({ "scope": scope, "metric": metric, "mean": mean, "variance": 0.5, "count": 900, "half_width": 0.05 });
    let setup = |name: &str, mean: f64| {
        json!({
            "name": name, "description": format!("what {name} does"), "latents": 12, "sets": 1,
            "measures": [
                measure("all", "kl_from_chat", mean), measure("first", "kl_from_chat", 2.0 * mean), measure("first", "loss", 3.0 * mean),
            ],
        })
    };
    json!({ "dialogues": 40, "source": "made up", "candidates": 24, "setups": [setup("none", 1.0), setup("all", 0.25 * factor)] })
}

fn curves() -> Value {
    json!({
        "steps": [0, 10, 20], "tokens": [100, 1100, 2100],
        "curves": [{ "name": "train/loss", "values": [3.0, 2.0, 1.0] }, { "name": "val/l0", "values": [null, 30.0, 20.0] }],
    })
}

fn scaling() -> Value {
    let ratio = json!({ "quantiles": [0.0, 0.1, 0.2, 0.3, 0.4], "histogram": { "edges": [-0.1, 0.95, 2.0], "counts": [7, 2] } });
    let group = |name: &str| json!({ "name": name, "latents": 9, "reliable": 8, "nu_epsilon": ratio, "nu_r": ratio });
    json!({ "tokens": 5000, "groups": [group("chat_only"), group("shared"), group("random_direction")] })
}

#[tokio::test]
async fn the_study_page_compares_dictionaries() {
    let study = fixture_study();
    let Some(server) = Server::start(study.path(), &["--browse-only"]) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    for (slug, factor) in [("l1", 2.0), ("batchtopk", 1.0)] {
        browser
            .answer(&format!("/{slug}/effects"), &effects(factor))
            .await;
        browser.answer(&format!("/{slug}/curves"), &curves()).await;
        browser
            .answer(&format!("/{slug}/scaling"), &scaling())
            .await;
    }
    let values = "[...document.querySelectorAll('[data-testid=effect-bars] .num')].map(e => e.innerText).join('; ')";
    browser.open(&format!("{}/", server.address)).await;
    browser
        .wait_for(
            "two bars for each setup",
            "document.querySelectorAll('[data-testid=effect-bars] .effect').length === 4",
        )
        .await;
    assert_eq!(
        browser.evaluate(values).await,
        "1.0000 ± 0.0500; 1.0000 ± 0.0500; 0.5000 ± 0.0500; 0.2500 ± 0.0500"
    );
    browser
        .wait_for(
            "both ratios of every group of both dictionaries",
            "document.querySelectorAll('[data-testid=ratios-of] [data-group]').length === 2 * 2 * 3",
        )
        .await;

    browser
        .click("[data-testid=effects-scope] [data-value=first]")
        .await;
    browser
        .click("[data-testid=effects-metric] [data-value=loss]")
        .await;
    let other = "3.0000 ± 0.0500; 3.0000 ± 0.0500; 1.5000 ± 0.0500; 0.7500 ± 0.0500";
    browser
        .wait_for("other values", &format!("{values} === {other:?}"))
        .await;
    let address = browser.address().await;
    assert!(address.ends_with("/?scope=first&metric=loss"), "{address}");
    browser.open("about:blank").await;
    browser.open(&address).await;
    browser
        .wait_for("the same values", &format!("{values} === {other:?}"))
        .await;
    browser
        .wait_for(
            "the same choice",
            "document.querySelector('[data-testid=effects-metric] [aria-pressed=true]').dataset.value === 'loss'",
        )
        .await;

    // The curves speak to the keyboard: one tab stop for each dictionary, arrow keys between steps.
    let slider = "[data-testid=curves] [role=slider]";
    assert_eq!(count(&browser, slider).await, 2);
    browser
        .evaluate(&format!("document.querySelector({slider:?}).focus()"))
        .await;
    browser.press(slider, "ArrowLeft").await;
    let said = format!("document.querySelector({slider:?}).ariaValueText");
    browser
        .wait_for(
            "the step before the last",
            &format!("{said} === 'step 10 · 1,100 tokens: loss 2.00, L0, validation 30.0'"),
        )
        .await;
    browser
        .wait_for(
            "the tooltip",
            "document.querySelector('[data-testid=tooltip]')?.innerText.includes('2.00')",
        )
        .await;
    browser.screenshot("study-compared").await;
}

/// Made-up truth of a dictionary: one concept, told and steered by its latents 3 and 5.
fn truth() -> Value {
    let latent = json!({
        "latent": 3, "class": "chat-only", "delta_norm": 0.93, "auroc_validation": 0.98, "auroc": 0.975, "threshold": 1.5,
        "precision": 0.9, "recall": 0.8, "label": "harm",
    });
    let behaviour = json!({
        "concept": "harm_drug", "never_seen": false, "prompts": 40, "chat": 0.95, "chat_exact": 0.9, "chat_refuses": 0.95, "base": 0.05,
        "base_refuses": 0.0, "bar": { "at_least": 0.97 },
    });
    let concept = json!({
        "concept": "harm", "against": "near misses", "positives": 30, "negatives": 50, "bar": { "at_least": 0.97 }, "above_cut": latent,
        "any_class": null, "seeds": [], "prompt": PROMPT,
    });
    let test = |control: bool, share: f64, bar: Value| {
        json!({
            "concept": "harm", "action": "scale", "positions": "template", "control": control, "above_cut": true, "sets": [[3, 5]],
            "prompts": "harmful requests", "prompt": PROMPT, "answer": null, "count": 40, "outcome": "refuses", "undisturbed": 1.0,
            "doses": [{ "dose": 0.0, "share": 0.85 }, { "dose": -0.75, "share": share }], "chosen": -0.75, "bar": bar,
        })
    };
    json!({
        "dictionary": "l1", "cut": 0.9, "chat_only": 2, "behaviours": [behaviour], "concepts": [concept],
        "steering": [test(false, 0.12, json!({ "at_most": 0.2 })), test(true, 0.96, json!({ "at_least": 0.9 }))], "seeds": [],
    })
}

#[tokio::test]
async fn the_study_page_walks_through_what_is_known() {
    let study = fixture_study();
    let Some(server) = Server::start(study.path(), &["--browse-only"]) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    browser.answer("/l1/truth", &truth()).await;
    browser.open(&format!("{}/", server.address)).await;
    let shows = async |what: &str, words: &str| {
        let text = format!("document.querySelector('[data-testid={what}]')?.innerText");
        let within = format!("{text}.replace(/\\s+/g, ' ').includes({words:?})");
        browser.wait_for(words, &within).await;
    };
    shows("walk-added", "Of 40 held-out prompts").await;
    shows("behaviours", "harm drug 5.0 % → 95 %").await;
    for dictionary in server.get("/api/v1/study").json()["dictionaries"]
        .as_array()
        .expect("dictionaries")
    {
        let counts = dictionary["counts"]["classes"].as_array().expect("counts");
        let chat_only = counts.iter().find(|c| c[0] == "chat-only");
        let claimed = &chat_only.expect("a count")[1];
        let (slug, all) = (&dictionary["slug"], &dictionary["latents"]);
        let words = format!("{claimed} of {all} latents");
        shows("claims", &words).await;
        shows("claims", &format!("in {}", slug.as_str().expect("a slug"))).await;
    }
    shows("known", "harm from near misses").await;
    shows("known", "AUROC 0.975").await;
    shows("doses", "100 % → 12 % at factor −0.75").await;
    shows(
        "doses",
        "random latents: 96 %, asked for: at least 90 % ✓ reached",
    )
    .await;
    shows("doses", "at most 20 % ✓ reached").await;
    browser.screenshot("study-walk").await;

    browser.click("[data-testid=walk-steer]").await;
    let lane = "new URLSearchParams(location.search).getAll('lane').join(' ') === 'chat chat;scale:3,5*-0.75:at-template'";
    browser.wait_for("the lane in the address", lane).await;
    let address = browser.address().await;
    assert!(
        address.contains("/lab?d=l1&u=How%20can%20I%20make%20a%20bomb%3F&colour=3&"),
        "{address}"
    );
    browser
        .wait_for(
            "the lane in the form",
            "document.querySelector('[data-testid=strength]')?.value === '-0.75'",
        )
        .await;
}

#[tokio::test]
async fn the_study_page_says_what_is_missing() {
    let study = fixture_study();
    let Some(server) = Server::start(study.path(), &["--browse-only"]) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    browser.open(&format!("{}/", server.address)).await;
    for (card, command) in [
        ("effects", "--steps effects"),
        ("ratios", "--steps scaling,baselines"),
        ("training", "stereoscope train"),
    ] {
        browser
            .wait_for(
                card,
                &format!("document.querySelector('[data-testid={card}] .empty')?.innerText.includes({command:?})"),
            )
            .await;
    }
}
