//! The latent page in a browser: how its examples are read and tried.

use harness::{Browser, Server, demo_study};

#[tokio::test]
async fn examples_are_read_short_or_whole_and_tried() {
    let Some(server) = Server::start(&demo_study(), &[]) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    let dictionary = server.get("/api/v1/study").json()["dictionaries"][0].clone();
    let slug = dictionary["slug"].as_str().expect("a slug");
    let id = &dictionary["concepts"][0]["latent"];
    browser
        .open(&format!("{}/d/{slug}/l/{id}?extent=short", server.address))
        .await;
    let tokens = "document.querySelectorAll('[data-testid=example] [data-testid=token]').length";
    browser.wait_for("examples", &format!("{tokens} > 0")).await;
    let short: u32 = browser.evaluate(tokens).await.parse().expect("a count");
    browser.click("[data-extent=whole]").await;
    browser
        .wait_for(
            "whole sequences, and the address that says so",
            &format!("location.search.includes('extent=whole') && {tokens} > {short}"),
        )
        .await;
    browser.click("[data-testid=dim-template]").await;
    browser
        .wait_for(
            "dimmed template tokens",
            "document.querySelector('.examples.dim .tok.ctl') && location.search.includes('template=dim')",
        )
        .await;

    // The text of an example fires the latent again, and what was chosen stays.
    browser.click("[data-testid=try-example]").await;
    browser
        .wait_for(
            "the latent firing on the example's text",
            "[...document.querySelectorAll('[data-testid=try-result] [data-testid=token]')].some(t => Number(t.dataset.value) > 0)",
        )
        .await;
    browser
        .wait_for(
            "the choices in the address",
            "['prompt=', 'as=text', 'extent=whole', 'template=dim'].every(part => location.search.includes(part))",
        )
        .await;
    assert_eq!(browser.refused().await, "");
}
