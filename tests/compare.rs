//! Two dictionaries compared: over HTTP, and in a browser, where planes, list and address hold one selection of both.

use harness::{Browser, Server, demo_study, fixture_study};
use serde_json::Value;

/// Slugs of the study's first two dictionaries.
fn sides(server: &Server) -> [String; 2] {
    let study = server.get("/api/v1/study").json();
    [0, 1].map(|i| {
        let slug = &study["dictionaries"][i]["slug"];
        slug.as_str().expect("a slug").to_owned()
    })
}

fn matches(server: &Server, [left, right]: &[String; 2], query: &str) -> Value {
    let path = format!("/api/v1/dictionaries/{left}/matches?with={right}&{query}");
    let answer = server.get(&path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_match_s_cosine_is_the_largest_of_its_list_and_filters_are_those_of_the_latents() {
    let Some(server) = Server::start(&demo_study(), &["--browse-only"]) else {
        return;
    };
    let sides = sides(&server);
    for by in ["both", "chat"] {
        let query = format!("by={by}&class=chat-only&dead=false");
        let page = matches(&server, &sides, &format!("{query}&sort=-match_cosine"));
        assert_eq!(page["computed"]["available"], true);
        let latents = format!(
            "/api/v1/dictionaries/{}/latents?class=chat-only&dead=false",
            sides[0]
        );
        assert_eq!(page["selected"], server.get(&latents).json()["total"]);
        let rows = page["rows"].as_array().expect("rows");
        let cosines: Vec<f64> = rows
            .iter()
            .filter_map(|row| row["match_cosine"].as_f64())
            .collect();
        assert_eq!(cosines.len(), rows.len());
        assert!(cosines.windows(2).all(|pair| pair[0] >= pair[1]));
        assert!(
            cosines[0] <= 1.0 && cosines[0] > 0.5,
            "{by}: two dictionaries of one pair share latents"
        );
        let middle = cosines[cosines.len() / 2];
        let above = matches(
            &server,
            &sides,
            &format!("{query}&min_match_cosine={middle}"),
        );
        assert!(
            above["total"].as_u64() < page["total"].as_u64() && above["total"].as_u64() > Some(0)
        );
    }
    for (query, status) in [
        ("with=nobody", 404),
        ("", 422),
        (&*format!("with={}", sides[0]), 422),
        (&*format!("with={}&by=base", sides[1]), 422),
        (&*format!("with={}&cursor=x", sides[1]), 422),
        (&*format!("with={}&limit=0", sides[1]), 422),
    ] {
        let path = format!("/api/v1/dictionaries/{}/matches?{query}", sides[0]);
        server.get(&path).problem(status);
    }
}

/// The number before "of" or "selected" of each plane.
const COUNTS: &str = "[...document.querySelectorAll('[data-testid=plane-count]')].map(e => e.innerText.replaceAll(',', '').match(/\\d+/)?.[0]).join()";

/// Waits until each plane says what the server says of its dictionary, and the list as well.
async fn agreed(server: &Server, browser: &Browser, sides: &[String; 2], filters: &str) {
    let total = |slug: &String| {
        let path = format!("/api/v1/dictionaries/{slug}/latents?{filters}");
        server.get(&path).json()["total"].to_string()
    };
    let expected = sides.each_ref().map(total).join(",");
    browser
        .wait_for("both planes' counts", &format!("{COUNTS} === '{expected}'"))
        .await;
}

#[tokio::test]
async fn one_selection_of_two_dictionaries() {
    let Some(server) = Server::start(&demo_study(), &["--browse-only"]) else {
        return;
    };
    let Some(browser) = Browser::start(1440, 900).await else {
        return;
    };
    let mut sides = sides(&server);
    browser.open(&format!("{}/", server.address)).await;
    browser.click("[data-testid=compare]").await;
    browser
        .wait_for(
            "the two planes",
            "document.querySelectorAll('canvas[data-points]').length === 2",
        )
        .await;
    agreed(&server, &browser, &sides, "").await;
    for (what, expression) in [
        (
            "both dictionaries' counts",
            "document.querySelectorAll('[data-testid=dictionary]').length === 2",
        ),
        (
            "bars of each",
            "document.querySelectorAll('[data-testid=effect-bars] .bars .series-1').length > 3",
        ),
        (
            "matches",
            "document.querySelectorAll('[data-testid=match]').length === 50",
        ),
    ] {
        browser.wait_for(what, expression).await;
    }
    browser.screenshot("compare").await;

    // A bound set on one plane bounds both, and the list below.
    browser
        .set(
            ".plane-fields [data-column=nu_epsilon] [data-testid=max]",
            "0.2",
        )
        .await;
    agreed(&server, &browser, &sides, "max_nu_epsilon=0.2").await;
    browser
        .click("[data-testid=match-listed] [data-value=unmatched]")
        .await;
    browser.set("[data-testid=match-cut]", "0.6").await;
    let expected = matches(&server, &sides, "max_nu_epsilon=0.2&max_match_cosine=0.6");
    let words = format!("{} of {} of", expected["total"], expected["selected"]);
    browser
        .wait_for(
            "how many have no match",
            &format!("document.querySelector('[data-testid=match-count]').innerText.replaceAll(',', '').startsWith({words:?})"),
        )
        .await;
    browser
        .wait_for(
            "none above the cut",
            "(c => c.length > 0 && c.every(c => Number(c.innerText) <= 0.6))([...document.querySelectorAll('[data-cosine]')])",
        )
        .await;

    // Zooming one zooms the other, to the same places of the same axes.
    browser
        .evaluate("document.querySelector('.plane-left .plane-area').focus()")
        .await;
    browser.press(".plane-left .plane-area", "+").await;
    let grids = "[...document.querySelectorAll('.plane-grid')].map(g => g.innerHTML)";
    browser
        .wait_for(
            "one view of both",
            &format!("location.search.includes('view=') && (g => g.length === 2 && g[0] === g[1] && g[0].length > 50)({grids})"),
        )
        .await;
    let listed =
        "[...document.querySelectorAll('[data-testid=match]')].map(r => r.dataset.latent).join()";
    let before = browser.evaluate(listed).await;
    let address = browser.address().await;

    browser.click("[data-testid=exchange]").await;
    sides.reverse();
    agreed(&server, &browser, &sides, "max_nu_epsilon=0.2").await;
    browser
        .wait_for(
            "the sides in the address",
            &format!(
                "location.search.includes('left={}&right={}')",
                sides[0], sides[1]
            ),
        )
        .await;

    // The address is the whole state, and both latents of a row are at hand.
    browser.open("about:blank").await;
    browser.open(&address).await;
    browser
        .wait_for("the same list", &format!("{listed} === {before:?}"))
        .await;
    assert_eq!(browser.refused().await, "");
    browser.click("[data-testid=match] td a").await;
    browser
        .wait_for(
            "the other dictionary's latent",
            &format!("location.pathname.startsWith('/d/{}/l/')", sides[0]),
        )
        .await;
}

#[tokio::test]
async fn pages_and_ways_of_matching_are_in_the_address() {
    let Some(server) = Server::start(&demo_study(), &["--browse-only"]) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    browser.open(&format!("{}/compare", server.address)).await;
    browser.click("[data-testid=next-page]").await;
    browser
        .click("[data-testid=match-by] [data-value=chat]")
        .await;
    browser
        .wait_for(
            "another way from the first page on",
            "location.search === '?by=chat' && document.querySelector('[data-testid=page]')?.innerText.startsWith('1–50 of')",
        )
        .await;
    browser.set("[data-testid=match-order]", "id").await;
    browser.click("[data-testid=next-page]").await;
    browser
        .wait_for(
            "the second page by id",
            "location.search.endsWith('order=id&first=50') && document.querySelector('[data-testid=match]')?.dataset.latent === '50'",
        )
        .await;
    browser
        .open(&format!("{}/compare?left=nobody", server.address))
        .await;
    browser
        .wait_for(
            "that there is no such dictionary",
            "document.querySelector('[data-testid=problem]')?.innerText.includes('nobody')",
        )
        .await;
}

#[tokio::test]
async fn what_was_not_computed_names_its_command() {
    let study = fixture_study();
    let Some(server) = Server::start(study.path(), &["--browse-only"]) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    browser
        .open(&format!(
            "{}/compare?left=batchtopk&right=l1",
            server.address
        ))
        .await;
    for words in ["--dictionary batchtopk --steps matches", "--steps effects"] {
        browser
            .wait_for(
                words,
                &format!("document.querySelector('main').innerText.includes({words:?})"),
            )
            .await;
    }
}
