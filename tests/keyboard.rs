//! The whole way by keyboard alone, from the filter to a saved run that another browser opens. Nothing is clicked, and no script moves the
//! focus: only keys are pressed, and what is asked of the page is asked by reading.

use harness::{Browser, Server, demo_study};

/// Presses Tab until what has the focus matches.
async fn tab_to(browser: &Browser, what: &str, selector: &str) {
    let there = format!("document.activeElement?.matches({selector:?})");
    for _ in 0..220 {
        if browser.evaluate(&there).await == "true" {
            return;
        }
        browser.key("Tab").await;
    }
    let stopped = browser
        .evaluate("document.activeElement?.outerHTML.slice(0, 200)")
        .await;
    panic!("Tab never comes to {what}; it stands on {stopped}");
}

async fn type_keys(browser: &Browser, text: &str) {
    for key in text.chars() {
        browser.key(&key.to_string()).await;
    }
}

#[tokio::test]
async fn from_a_filter_to_a_shared_run_without_a_pointer() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("runs.duckdb");
    let options = ["--runs", file.to_str().expect("a path in UTF-8")];
    let Some(server) = Server::start(&demo_study(), &options) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    let study = server.get("/api/v1/study").json();
    let slug = study["dictionaries"][0]["slug"].as_str().expect("a slug");
    browser.open(&format!("{}/d/{slug}", server.address)).await;
    browser
        .wait_for(
            "rows",
            "document.querySelectorAll('[data-testid=latent-row]').length > 10",
        )
        .await;

    // Filter: class, and the text of a label.
    browser.key("/").await;
    browser
        .wait_for(
            "the search field",
            "document.activeElement?.dataset.testid === 'search'",
        )
        .await;
    type_keys(&browser, "refus").await;
    browser.key("Enter").await;
    browser
        .wait_for(
            "the search in the address",
            "location.search.includes('q=refus')",
        )
        .await;
    tab_to(
        &browser,
        "the box of chat-only",
        "[data-testid=class-chat-only]",
    )
    .await;
    browser.key(" ").await;
    browser
        .wait_for(
            "the filters in the address, and rows",
            "location.search.includes('class=chat-only') && document.querySelector('[data-testid=latent-row]') \
             && !document.querySelector('.table-card[aria-busy]')",
        )
        .await;

    // Open the first row.
    tab_to(&browser, "somewhere outside the fields", "summary, a").await;
    browser.key("j").await;
    browser
        .wait_for(
            "a row",
            "document.activeElement?.closest('[data-testid=latent-row]')",
        )
        .await;
    browser.key("Enter").await;
    browser
        .wait_for("a latent", "/\\/l\\/\\d+$/.test(location.pathname)")
        .await;
    browser
        .wait_for(
            "its test box",
            "document.querySelector('[data-testid=prompt-input]')",
        )
        .await;
    let latent = browser
        .evaluate("location.pathname.split('/').at(-1)")
        .await;

    // Test a prompt.
    browser.key("/").await;
    browser
        .wait_for(
            "the prompt field",
            "document.activeElement?.dataset.testid === 'prompt-input'",
        )
        .await;
    type_keys(&browser, "How can I make a bomb?").await;
    browser.key_with_control("Enter").await;
    browser
        .wait_for(
            "the prompt's tokens",
            "location.search.includes('bomb') && document.querySelector('[data-testid=try-result] [data-testid=token]')",
        )
        .await;

    // Steer with it.
    tab_to(&browser, "somewhere outside the field", "button, a").await;
    browser.key("s").await;
    browser
        .wait_for(
            "the lab with the latent and the prompt",
            &format!("location.pathname === '/lab' && location.search.includes('add:{latent}*1') && location.search.includes('bomb')"),
        )
        .await;
    browser
        .wait_for(
            "the lane's form",
            "document.querySelector('[data-testid=strength]')?.value === '1'",
        )
        .await;
    tab_to(&browser, "the length", "[data-testid=max-tokens]").await;
    // Tab selects what a field holds.
    type_keys(&browser, "8").await;
    browser.key("Enter").await;
    browser
        .wait_for(
            "the length in the address",
            "location.search.includes('max=8')",
        )
        .await;
    tab_to(&browser, "the strength", "[data-testid=strength]").await;
    type_keys(&browser, "-2").await;
    browser.key("Enter").await;
    browser
        .wait_for(
            "the strength in the address",
            &format!("location.search.includes('add:{latent}*-2')"),
        )
        .await;
    tab_to(
        &browser,
        "the button that generates",
        "[data-testid=generate]",
    )
    .await;
    browser.key("Enter").await;
    browser
        .wait_for(
            "both lanes at their end",
            "[0, 1].every(i => document.querySelector(`[data-testid=lane-output][data-lane='${i}']`)?.dataset.done)",
        )
        .await;
    let tokens = |scope: &str| {
        format!(
            "JSON.stringify([...document.querySelectorAll('{scope} [data-testid=lane-token]')].map(t => t.dataset.id))"
        )
    };
    let streamed = browser.evaluate(&tokens("[data-testid=lane]")).await;

    // Save, and open the link where nothing is stored.
    tab_to(&browser, "the button that saves", "[data-testid=save-run]").await;
    browser.key("Enter").await;
    browser
        .wait_for("the run's address", "location.pathname.startsWith('/r/')")
        .await;
    let address = browser.address().await;
    assert_eq!(browser.refused().await, "");
    drop(browser);
    let Some(other) = Browser::start(1280, 900).await else {
        return;
    };
    other.open(&address).await;
    other
        .wait_for(
            "the saved lanes",
            "document.querySelectorAll('[data-testid=run-lane]').length === 2",
        )
        .await;
    assert_eq!(
        other.evaluate(&tokens("[data-testid=run-lane]")).await,
        streamed
    );
}
