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
    browser.click("[data-testid=examples-dim]").await;
    browser
        .wait_for(
            "dimmed template tokens",
            "document.querySelector('.examples.dim .tok.ctl') && location.search.includes('template=dim')",
        )
        .await;

    browser.click("[data-testid=examples-breaks]").await;
    browser
        .wait_for(
            "lines that break",
            "document.querySelector('.examples .text.broken') && location.search.includes('lines=break')",
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

#[tokio::test]
async fn another_latent_lies_over_the_same_text() {
    let Some(server) = Server::start(&demo_study(), &[]) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    let dictionary = server.get("/api/v1/study").json()["dictionaries"][0].clone();
    let slug = dictionary["slug"].as_str().expect("a slug");
    let examples = |id: u64| {
        let path = format!("/api/v1/dictionaries/{slug}/latents/{id}/examples?limit=200");
        let page = server.get(&path).json();
        page["examples"].as_array().expect("examples").clone()
    };
    // A latent and one that fires with it, of which some sequence is stored for both and some for the first alone.
    let rows = server.get(&format!(
        "/api/v1/dictionaries/{slug}/latents?dead=false&sort=-active_tokens&limit=200"
    ));
    let rows = rows.json()["rows"].as_array().expect("rows").clone();
    let found = rows.iter().find_map(|row| {
        let id = row["id"].as_u64()?;
        let detail = server
            .get(&format!("/api/v1/dictionaries/{slug}/latents/{id}"))
            .json();
        let sequences = |of: &[serde_json::Value]| -> Vec<u64> {
            of.iter()
                .filter_map(|example| example["sequence"].as_u64())
                .collect()
        };
        let mine = sequences(
            &examples(id)[..]
                .iter()
                .take(20)
                .cloned()
                .collect::<Vec<_>>(),
        );
        detail["correlated"].as_array()?.iter().find_map(|with| {
            let other = with["id"].as_u64()?;
            let theirs = sequences(&examples(other));
            let shared: Vec<u64> = mine
                .iter()
                .copied()
                .filter(|s| theirs.contains(s))
                .collect();
            (!shared.is_empty() && shared.len() < mine.len()).then_some((id, other, shared))
        })
    });
    let (id, other, shared) = found.expect("latents that share a stored sequence");
    let list: Vec<String> = shared.iter().map(u64::to_string).collect();
    let on = format!(
        "/api/v1/dictionaries/{slug}/latents/{other}/examples?sequences={}",
        list.join(",")
    );
    let stored = server.get(&on).json();
    assert_eq!(stored["total"].as_u64(), Some(shared.len() as u64));
    server.get(&format!("{on}&limit=3")).problem(422);

    browser
        .open(&format!("{}/d/{slug}/l/{id}", server.address))
        .await;
    browser
        .wait_for(
            "the choice",
            &format!("document.querySelector('[data-testid=overlay] [value=\"{other}\"]')"),
        )
        .await;
    browser
        .set("[data-testid=overlay]", &other.to_string())
        .await;
    browser
        .wait_for(
            "the choice in the address, and where its values are from",
            &format!(
                "location.search === '?overlay={other}' && document.querySelector('[data-testid=overlay-legend]') && \
                 [...document.querySelectorAll('[data-testid=overlay-source]')].filter(s => s.innerText.endsWith('as stored')).length === {}",
                shared.len()
            ),
        )
        .await;
    browser
        .wait_for(
            "halves on the stored ones",
            "document.querySelector('.text.overlay .tok.two')",
        )
        .await;
    browser.screenshot("latent-overlay").await;
    // Where nothing is stored, the models say it.
    browser.click("[data-testid=run-overlay]").await;
    browser
        .wait_for(
            "one example by the models",
            "[...document.querySelectorAll('[data-testid=overlay-source]')].some(s => s.innerText.endsWith('by the models, run just now'))",
        )
        .await;
    assert_eq!(browser.refused().await, "");
}

#[tokio::test]
async fn the_selection_is_walked_beyond_the_rows_first_read() {
    let Some(server) = Server::start(&demo_study(), &["--browse-only"]) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    let slug = server.get("/api/v1/study").json()["dictionaries"][0]["slug"]
        .as_str()
        .expect("a slug")
        .to_owned();
    let rows = |offset: u32| {
        let path =
            format!("/api/v1/dictionaries/{slug}/latents?sort=-norm_chat&offset={offset}&limit=1");
        server.get(&path).json()["rows"][0]["id"].clone()
    };
    let shown = |place: u32| {
        format!(
            "document.querySelector('[data-testid=selection]')?.innerText.startsWith('{place} of ') \
             && location.pathname.endsWith('/l/{}')",
            rows(place - 1)
        )
    };
    // The last but one of a hundred rows; then back to what lies before the first row of others.
    browser
        .open(&format!(
            "{}/d/{slug}/l/{}?from=sort%3D-norm_chat",
            server.address,
            rows(98)
        ))
        .await;
    browser.wait_for("its place", &shown(99)).await;
    for place in [100, 101, 102] {
        browser.key("j").await;
        browser.wait_for("the next latent", &shown(place)).await;
    }
    browser
        .open(&format!(
            "{}/d/{slug}/l/{}?from=sort%3D-norm_chat%26row%3D60",
            server.address,
            rows(61)
        ))
        .await;
    browser.wait_for("its place", &shown(62)).await;
    for place in [61, 60, 59] {
        browser.key("k").await;
        browser.wait_for("the latent before", &shown(place)).await;
    }
}
