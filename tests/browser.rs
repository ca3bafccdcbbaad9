//! A person's way through the explorer, in a real browser, over the study that ships with the program.

use harness::{Browser, Server, demo_study};

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
