//! The plane, the histogram, the table, the address and the exported file: one selection.

use std::time::Duration;

use harness::{Browser, Server, demo_study};
use serde_json::Value;

/// Opens the latents of the demo study's first dictionary.
async fn opened(width: u32, height: u32) -> Option<(Server, Browser, String)> {
    let server = Server::start(&demo_study(), &["--browse-only"])?;
    let browser = Browser::start(width, height).await?;
    let study = server.get("/api/v1/study").json();
    let slug = study["dictionaries"][0]["slug"]
        .as_str()
        .expect("a slug")
        .to_owned();
    browser.open(&format!("{}/d/{slug}", server.address)).await;
    browser
        .wait_for(
            "points",
            "(c => c?.width && c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(x => x))(document.querySelector('.plane-window > canvas'))",
        )
        .await;
    Some((server, browser, slug))
}

/// The number before a word in an element's text.
async fn number(browser: &Browser, selector: &str) -> u64 {
    let digits = format!(
        "document.querySelector({selector:?}).innerText.replaceAll(',', '').match(/\\d+/)[0]"
    );
    browser.evaluate(&digits).await.parse().expect("a number")
}

/// Drags between two places in shares of the plane from its upper left corner.
async fn drag(browser: &Browser, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let script = format!(
        "(area => {{ const r = area.getBoundingClientRect(); \
           const send = (kind, x, y) => area.dispatchEvent(new PointerEvent(kind, {{bubbles: true, pointerId: 1, button: 0, clientX: r.left + x * r.width, clientY: r.top + y * r.height}})); \
           send('pointerdown', {x1}, {y1}); send('pointermove', ({x1} + {x2}) / 2, ({y1} + {y2}) / 2); send('pointermove', {x2}, {y2}); send('pointerup', {x2}, {y2}); }}) \
         (document.querySelector('[data-testid=plane-area]'))"
    );
    browser.evaluate(&script).await;
}

/// Moves the keyboard to an element and presses a key.
async fn press(browser: &Browser, selector: &str, key: &str) {
    let focus = format!("document.querySelector({selector:?}).focus()");
    browser.evaluate(&focus).await;
    browser.press(selector, key).await;
}

/// What plane, sentence and server say of the selection in the address, which must be the same.
async fn agreed(server: &Server, browser: &Browser, slug: &str) -> u64 {
    let query = browser.evaluate("location.search").await;
    let kept: Vec<&str> = query
        .trim_start_matches('?')
        .split('&')
        .filter(|pair| {
            [
                "min_", "max_", "class=", "verdict=", "dead=", "q=", "lasso=",
            ]
            .iter()
            .any(|known| pair.starts_with(known))
        })
        .collect();
    let filters = kept.join("&");
    let total = server
        .get(&format!("/api/v1/dictionaries/{slug}/latents?{filters}"))
        .json()["total"]
        .as_u64()
        .expect("a total");
    for place in ["plane-count", "count-line"] {
        let text = format!(
            "document.querySelector('[data-testid={place}]').innerText.replaceAll(',', '')"
        );
        let says = format!(
            "[{text}.match(/\\d+/)?.[0], {text}.match(/all (\\d+)/)?.[1]].includes('{total}')"
        );
        browser.wait_for(place, &says).await;
    }
    for (format, count) in [
        (
            "csv",
            (|body: &str| body.lines().count() as u64 - 1) as fn(&str) -> u64,
        ),
        ("json", |body| {
            serde_json::from_str::<Vec<Value>>(body)
                .expect("JSON")
                .len() as u64
        }),
    ] {
        let file = server.get(&format!(
            "/api/v1/dictionaries/{slug}/latents/export?format={format}&{filters}"
        ));
        assert_eq!(file.status, 200, "{}", file.text());
        assert_eq!(count(&file.text()), total, "{format}");
    }
    total
}

#[tokio::test]
async fn a_page_asks_once_for_what_it_needs_first() {
    let Some((_server, browser, _)) = opened(1280, 800).await else {
        return;
    };
    browser
        .wait_for("rows", "document.querySelector('[data-testid=latent-row]')")
        .await;
    // What the head named is not asked for again by the program, and the program itself is loaded once.
    let asked = "JSON.stringify(performance.getEntriesByType('resource').map(e => e.name.split('/').at(-1).split('?')[0]).filter(n => /^(study|columns|latents|readyz)$|wasm$/.test(n)).sort())";
    let asked: Vec<String> =
        serde_json::from_str(&browser.evaluate(asked).await).expect("a list of names");
    let mut once = asked.clone();
    once.dedup();
    assert_eq!(asked, once);
    assert_eq!(asked.len(), 5, "{asked:?}");
}

#[tokio::test]
async fn another_order_draws_no_points() {
    let Some((_server, browser, _)) = opened(1280, 800).await else {
        return;
    };
    browser
        .wait_for("rows", "document.querySelector('[data-testid=latent-row]')")
        .await;
    let watch = "window.drawn = 0, new MutationObserver(all => { window.drawn += all.length; }).observe(document.querySelector('.plane-window > canvas'), {attributeFilter: ['data-points']})";
    browser.evaluate(watch).await;
    // The first change of all is the one that a part which never looked might take for its own.
    for column in ["delta_norm", "nu_r"] {
        let header = format!("th[data-column={column}]");
        let click = format!("document.querySelector('{header} button').click()");
        browser.evaluate(&click).await;
        let sorted = format!("document.querySelector('{header}').ariaSort !== 'none'");
        browser.wait_for("an order", &sorted).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(browser.evaluate("window.drawn").await, "0", "{column}");
    }
    let filter = "(f => { f.value = '0.5'; f.dispatchEvent(new Event('change', {bubbles: true})); })(document.querySelector('.filters [data-column=nu_r] [data-testid=max]'))";
    browser.evaluate(filter).await;
    browser
        .wait_for("points drawn anew", "window.drawn > 0")
        .await;
}

#[tokio::test]
async fn a_brush_selects_the_same_everywhere() {
    let Some((server, browser, slug)) = opened(1280, 900).await else {
        return;
    };
    let all = agreed(&server, &browser, &slug).await;
    browser.screenshot("plane").await;
    drag(&browser, (0.02, 0.6), (0.3, 0.98)).await;
    browser
        .wait_for(
            "bounds on both axes",
            "['min_nu_epsilon', 'max_nu_epsilon', 'min_nu_r', 'max_nu_r'].every(name => location.search.includes(name))",
        )
        .await;
    let some = agreed(&server, &browser, &slug).await;
    assert!(0 < some && some < all, "{some} of {all}");
    browser.screenshot("plane-brushed").await;

    // A line moves by arrow keys, and the number field beside the plane with it.
    let line = "[data-line='1']";
    let before = browser
        .evaluate("new URLSearchParams(location.search).get('max_nu_epsilon')")
        .await;
    press(&browser, line, "ArrowLeft").await;
    browser
        .wait_for(
            "a smaller bound",
            &format!(
                "Number(new URLSearchParams(location.search).get('max_nu_epsilon')) < {before}"
            ),
        )
        .await;
    browser
        .wait_for(
            "the bound in the field",
            "document.querySelector('.plane-fields [data-column=nu_epsilon] [data-testid=max]').value === new URLSearchParams(location.search).get('max_nu_epsilon')",
        )
        .await;
    assert!(agreed(&server, &browser, &slug).await <= some);

    let address = browser.address().await;
    browser.open("about:blank").await;
    browser.open(&address).await;
    browser
        .wait_for(
            "the plane again",
            "document.querySelector('[data-testid=plane-count]')?.innerText",
        )
        .await;
    agreed(&server, &browser, &slug).await;
    press(&browser, "[data-testid=plane-area]", "Escape").await;
    browser
        .wait_for("no bounds", "!location.search.includes('nu_epsilon')")
        .await;
    assert_eq!(agreed(&server, &browser, &slug).await, all);
}

#[tokio::test]
async fn the_view_moves_while_the_selection_stays() {
    let Some((server, browser, slug)) = opened(1280, 900).await else {
        return;
    };
    browser.set("[data-testid=plane-x]", "frequency").await;
    browser
        .wait_for("another axis", "location.search.includes('x=frequency')")
        .await;
    browser.set("[data-testid=plane-scale]", "log").await;
    browser
        .wait_for(
            "a logarithmic axis",
            "location.search.includes('x=frequency:log')",
        )
        .await;
    browser
        .click("[data-testid=plane-mode] [data-value=move]")
        .await;
    drag(&browser, (0.5, 0.5), (0.6, 0.4)).await;
    browser
        .wait_for(
            "the view in the address",
            "location.search.includes('view=')",
        )
        .await;
    let all = number(&browser, "[data-testid=plane-count]").await;
    assert_eq!(agreed(&server, &browser, &slug).await, all);
    browser.screenshot("plane-moved").await;

    let file = server.get(&format!(
        "/api/v1/dictionaries/{slug}/latents/export?format=parquet&class=chat-only"
    ));
    assert_eq!(file.status, 200, "{}", file.text());
    assert!(file.body.starts_with(b"PAR1") && file.body.ends_with(b"PAR1"));
    let disposition = file.header("content-disposition").expect("a name");
    assert!(
        disposition.contains(&format!("{slug}-latents.parquet")),
        "{disposition}"
    );
    for bad in [
        "",
        "?format=xlsx",
        "?format=csv&limit=3",
        "?format=csv&min_label=1",
    ] {
        server
            .get(&format!("/api/v1/dictionaries/{slug}/latents/export{bad}"))
            .problem(422);
    }
}

#[tokio::test]
async fn a_lasso_selects_the_same_everywhere() {
    let Some((server, browser, slug)) = opened(1280, 900).await else {
        return;
    };
    let all = agreed(&server, &browser, &slug).await;
    browser
        .click("[data-testid=plane-mode] [data-value=lasso]")
        .await;
    // Down and along the lower left corner, where ratios are small.
    let corners = [
        (0.02, 0.98),
        (0.02, 0.5),
        (0.2, 0.45),
        (0.5, 0.7),
        (0.5, 0.98),
    ];
    let moves: Vec<String> = corners
        .iter()
        .map(|(x, y)| format!("send('pointermove', {x}, {y});"))
        .collect();
    let script = format!(
        "(area => {{ const r = area.getBoundingClientRect(); \
           const send = (kind, x, y) => area.dispatchEvent(new PointerEvent(kind, {{bubbles: true, pointerId: 1, button: 0, clientX: r.left + x * r.width, clientY: r.top + y * r.height}})); \
           send('pointerdown', 0.05, 0.99); {} send('pointerup', 0.05, 0.99); }}) \
         (document.querySelector('[data-testid=plane-area]'))",
        moves.join(" ")
    );
    browser.evaluate(&script).await;
    browser
        .wait_for(
            "the lasso in the address",
            "location.search.includes('lasso=nu_epsilon,nu_r,')",
        )
        .await;
    let some = agreed(&server, &browser, &slug).await;
    assert!(0 < some && some < all, "{some} of {all}");
    browser.screenshot("plane-lasso").await;

    // The same corners typed select the same; the link restores them.
    let typed = browser
        .evaluate("document.querySelector('[data-testid=lasso]').value")
        .await;
    assert_eq!(typed.split(',').count(), corners.len(), "{typed}");
    let address = browser.address().await;
    press(&browser, "[data-testid=plane-area]", "Escape").await;
    browser
        .wait_for("no lasso", "!location.search.includes('lasso')")
        .await;
    assert_eq!(agreed(&server, &browser, &slug).await, all);
    browser.set("[data-testid=lasso]", &typed).await;
    browser
        .wait_for("the lasso again", "location.search.includes('lasso=')")
        .await;
    assert_eq!(browser.address().await, address);
    browser.open("about:blank").await;
    browser.open(&address).await;
    browser
        .wait_for(
            "the plane again",
            "document.querySelector('[data-testid=plane-count]')?.innerText",
        )
        .await;
    assert_eq!(agreed(&server, &browser, &slug).await, some);
}

#[tokio::test]
async fn a_table_of_few_rows_fills_when_its_filter_goes() {
    let Some((server, browser, slug)) = opened(1280, 900).await else {
        return;
    };
    let third = format!("/api/v1/dictionaries/{slug}/latents?sort=-delta_norm&limit=3");
    let least = server.get(&third).json()["rows"][2]["delta_norm"].clone();
    let narrow = format!("{}/d/{slug}?min_delta_norm={least}", server.address);
    browser.open(&narrow).await;
    let rows = "[...document.querySelectorAll('.latents tbody [data-testid=latent-row]')]";
    browser
        .wait_for("three rows", &format!("{rows}.length == 3"))
        .await;
    // What is measured once the page stands still must not decide how many rows come later.
    browser
        .evaluate("new Promise(resolve => setTimeout(resolve, 500))")
        .await;
    browser.click("[data-testid=clear]").await;
    let end = "document.querySelector('.table-card > .scroll').getBoundingClientRect().bottom";
    browser
        .wait_for(
            "rows down to the table's end",
            &format!("{rows}.at(-1).getBoundingClientRect().bottom >= {end} && {rows}.length > 10"),
        )
        .await;
}

#[tokio::test]
async fn the_table_is_whole_but_only_seen_rows_are_in_the_page() {
    let Some((server, browser, slug)) = opened(1280, 900).await else {
        return;
    };
    let all = agreed(&server, &browser, &slug).await;
    let rows = "document.querySelectorAll('.latents tbody [data-testid=latent-row]')";
    let ends =
        |what: &str| format!("document.querySelector('.table-card > .scroll').scrollTop = {what}");
    browser
        .evaluate(&ends(
            "document.querySelector('.table-card > .scroll').scrollHeight",
        ))
        .await;
    browser
        .wait_for(
            "the last row",
            &format!("[...{rows}].at(-1)?.ariaRowIndex == {}", all + 1),
        )
        .await;
    let elements = browser
        .evaluate("document.querySelectorAll('*').length")
        .await;
    assert!(
        elements.parse::<u64>().expect("a count") < 1500,
        "{elements}"
    );
    // The address knows where the reader is.
    browser
        .wait_for("the row in the address", "location.search.includes('row=')")
        .await;
    let address = browser.address().await;
    browser.open("about:blank").await;
    browser.open(&address).await;
    browser
        .wait_for(
            "the last row again",
            &format!("[...{rows}].at(-1)?.ariaRowIndex == {}", all + 1),
        )
        .await;

    // Another order begins at the top, as the server has it.
    browser.click("th[data-column=delta_norm] button").await;
    let first = server
        .get(&format!(
            "/api/v1/dictionaries/{slug}/latents?sort=-delta_norm&limit=1"
        ))
        .json();
    let id = first["rows"][0]["id"].as_u64().expect("an id");
    browser
        .wait_for(
            "the first row of the new order",
            &format!("{rows}[0]?.dataset.latent == '{id}' && {rows}[0].ariaRowIndex == 2"),
        )
        .await;
    // The keyboard walks out of what is in the page.
    let focused = "document.activeElement.closest('[aria-rowindex]')?.ariaRowIndex";
    for step in 0..60 {
        browser.press("body", "j").await;
        browser
            .wait_for("the next row", &format!("{focused} == {}", step + 2))
            .await;
    }

    // A column comes into table and address.
    browser.click("[data-testid=columns] > summary").await;
    browser.click("[data-testid=column-norm_base]").await;
    browser
        .wait_for(
            "another column",
            "location.search.includes('norm_base') && document.querySelector('th[data-column=norm_base]')",
        )
        .await;
    browser
        .wait_for(
            "its values",
            &format!("{rows}[0]?.children.length === document.querySelectorAll('.latents th[data-column]').length"),
        )
        .await;
    browser.screenshot("columns").await;
}
