//! Notes on latents in a real browser: by keyboard, over a reload, and as a file into another profile.

use harness::{Browser, Server, demo_study};

/// The latent that the test notes something on.
const LATENT: u32 = 3;

async fn typed(browser: &Browser, text: &str) {
    for key in text.chars() {
        browser.press("body", &key.to_string()).await;
    }
}

async fn is_noted(browser: &Browser) {
    for (what, expression) in [
        (
            "the rating",
            "document.querySelector('[data-testid=rating] [aria-pressed=true]')?.dataset.value === '4'",
        ),
        (
            "the tags",
            "document.querySelector('[data-testid=tags]')?.value === 'refusal, template'",
        ),
        (
            "the remark",
            "document.querySelector('[data-testid=remark]')?.value === 'says no'",
        ),
    ] {
        browser.wait_for(what, expression).await;
    }
}

/// The file that the page would export.
async fn exported(browser: &Browser) -> String {
    let link = "document.querySelector('[data-testid=export-notes]')";
    browser
        .wait_for(
            "notes to export",
            &format!("{link}?.href.includes('latent')"),
        )
        .await;
    browser
        .evaluate(&format!(
            "decodeURIComponent({link}.href.slice({link}.href.indexOf(',') + 1))"
        ))
        .await
}

async fn import(browser: &Browser, file: &str, says: &str) {
    let field = "document.querySelector('[data-testid=import-notes]')";
    browser.wait_for("the field for a file", field).await;
    browser
        .evaluate(&format!(
            "(field => {{ const data = new DataTransfer(); data.items.add(new File([{}], 'notes.json')); field.files = data.files; \
             field.dispatchEvent(new Event('change', {{bubbles: true}})); }})({field})",
            serde_json::json!(file)
        ))
        .await;
    browser
        .wait_for(
            says,
            &format!(
                "document.querySelector('[data-testid=imported]')?.textContent.includes({says:?})"
            ),
        )
        .await;
}

#[tokio::test]
async fn notes_outlive_a_reload_and_go_to_another_browser() {
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
    let table = format!("{}/d/{slug}", server.address);
    let latent = format!("{table}/l/{LATENT}");
    browser.open(&latent).await;
    browser
        .wait_for("the card", "document.querySelector('[data-testid=notes]')")
        .await;
    browser.press("body", "4").await;
    for (key, field, text) in [
        ("t", "tags", "template,refusal"),
        ("m", "remark", "says no"),
    ] {
        browser.press("body", key).await;
        browser
            .wait_for(
                field,
                &format!("document.activeElement?.dataset.testid === '{field}'"),
            )
            .await;
        typed(&browser, text).await;
        browser.press("body", "Escape").await;
        browser
            .wait_for(
                "the keyboard to leave the field",
                "document.activeElement === document.body",
            )
            .await;
    }
    is_noted(&browser).await;
    browser.screenshot("notes").await;

    // The next latent has none of it, and the way back has all of it.
    browser.press("body", "j").await;
    browser
        .wait_for(
            "an empty note",
            &format!(
                "location.pathname.endsWith('/l/{}') && document.querySelector('[data-testid=tags]').value === ''",
                LATENT + 1
            ),
        )
        .await;
    browser.press("body", "k").await;
    is_noted(&browser).await;
    browser.open("about:blank").await;
    browser.open(&latent).await;
    is_noted(&browser).await;

    browser.open(&table).await;
    browser
        .wait_for(
            "progress",
            "document.querySelector('[data-testid=rated]')?.innerText.startsWith('1 of ')",
        )
        .await;
    let noted = "document.querySelectorAll('[data-testid=noted]').length";
    // A row's latent is rated where it stands.
    browser.press("body", "j").await;
    browser
        .wait_for("a row", "document.activeElement?.closest('[data-latent]')")
        .await;
    let rated = browser
        .evaluate("document.activeElement.closest('[data-latent]').dataset.latent")
        .await;
    assert_ne!(rated, LATENT.to_string());
    browser.press("body", "2").await;
    browser
        .wait_for(
            "more progress",
            &format!("document.querySelector('[data-testid=rated]').innerText.startsWith('2 of ') && {noted} > 0"),
        )
        .await;
    browser
        .wait_for(
            "the keyboard on its row",
            &format!(
                "document.activeElement?.closest('[data-latent]')?.dataset.latent === '{rated}'"
            ),
        )
        .await;
    browser.screenshot("notes-table").await;
    let file = exported(&browser).await;
    assert_eq!(browser.refused().await, "");

    let Some(other) = Browser::start(1280, 900).await else {
        return;
    };
    other.open(&table).await;
    import(&other, "{\"notes\":", "Nothing was imported.").await;
    assert_eq!(other.evaluate("localStorage.length").await, "0");
    import(&other, &file, "2 are new").await;
    assert_eq!(exported(&other).await, file);
    import(&other, &file, "0 are new").await;
    other.open(&latent).await;
    is_noted(&other).await;
    assert_eq!(other.refused().await, "");
}

/// Storage that takes nothing, as a full one does.
const FULL: &str =
    "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }";

#[tokio::test]
async fn what_the_browser_does_not_store_stays_on_the_page_and_in_the_file() {
    let Some(server) = Server::start(&demo_study(), &["--browse-only"]) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    let study = server.get("/api/v1/study").json();
    let slug = study["dictionaries"][0]["slug"].as_str().expect("a slug");
    let table = format!("{}/d/{slug}", server.address);
    browser.open(&format!("{table}/l/{LATENT}")).await;
    browser
        .wait_for("the card", "document.querySelector('[data-testid=notes]')")
        .await;
    browser.evaluate(FULL).await;
    browser.press("body", "4").await;
    browser.press("body", "m").await;
    typed(&browser, "says no").await;
    browser
        .wait_for(
            "that it is not stored",
            "document.querySelector('.notes [role=alert]')?.innerText.includes('Not stored')",
        )
        .await;
    let kept = "document.querySelector('[data-testid=remark]').value === 'says no' \
                && document.querySelector('[data-testid=rating] [aria-pressed=true]')?.dataset.value === '4'";
    browser.wait_for("both on the page", kept).await;
    assert_eq!(browser.evaluate("localStorage.length").await, "0");

    browser.open(&table).await;
    browser
        .wait_for("rows", "document.querySelector('[data-testid=latent-row]')")
        .await;
    browser.evaluate(FULL).await;
    browser.press("body", "j").await;
    browser
        .wait_for("a row", "document.activeElement?.closest('[data-latent]')")
        .await;
    browser.press("body", "3").await;
    browser
        .wait_for(
            "that it is not stored",
            "document.querySelector('[data-testid=toasts]')?.innerText.includes('did not store')",
        )
        .await;
    // The row keeps it, and so does the file.
    browser
        .wait_for(
            "the row's sign",
            "document.querySelector('[data-testid=noted]')",
        )
        .await;
    assert!(exported(&browser).await.contains("\"rating\":"));
    import(&browser, "{\"notes\":", "Nothing was imported.").await;
}
