//! A server that others reach: under a path, behind a proxy, with limits per client, and links that say what they are.

use harness::{Browser, Server, demo_study, fixture_study};
use serde_json::{Value, json};

/// The content of a tag of the page's head.
fn tag<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("{name} content=\""))?;
    rest.split_once('"').map(|(content, _)| content)
}

#[tokio::test]
async fn under_a_path_every_page_works_and_the_policy_refuses_nothing() {
    let options = ["--public-url", "https://example.org/lab-1/stereo"];
    let Some(server) = Server::start(&demo_study(), &options) else {
        return;
    };
    let Some(browser) = Browser::start(1280, 900).await else {
        return;
    };
    let root = format!("{}/lab-1/stereo", server.address);
    let info = server.get("/lab-1/stereo/api/v1/study").json();
    let slug = info["dictionaries"][0]["slug"].as_str().expect("a slug");

    // Without the slash at its end, too.
    browser.open(&root).await;
    browser
        .wait_for("a chart", "document.querySelector('main svg')")
        .await;
    browser
        .wait_for(
            "styles that came as data",
            "[...document.querySelectorAll('[data-style]')].some(e => e.style.length > 0)",
        )
        .await;
    assert_eq!(browser.refused().await, "");
    // Links stay under the path, clicked or opened anew.
    let outside = "[...document.querySelectorAll('a[href]')].filter(a => a.origin === location.origin \
                   && !a.pathname.startsWith('/lab-1/stereo/')).map(a => a.href).join(' ')";
    assert_eq!(browser.evaluate(outside).await, "");
    let lab = "a[href='lab']";
    browser.click(lab).await;
    browser
        .wait_for("the lab", "location.pathname === '/lab-1/stereo/lab'")
        .await;
    for (path, shown) in [
        ("", "main svg"),
        (&format!("d/{slug}"), "[data-testid=latent-row]"),
        (&format!("d/{slug}/l/0"), "h1"),
        ("lab", "textarea"),
        ("method", "h2"),
    ] {
        browser.open(&format!("{root}/{path}")).await;
        browser
            .wait_for(path, &format!("document.querySelector({shown:?})"))
            .await;
        assert_eq!(browser.refused().await, "", "{path}");
        assert_eq!(browser.evaluate(outside).await, "", "{path}");
    }
    // A proxy that takes the path away itself is served as well.
    assert_eq!(server.get("/api/v1/study").status, 200);
}

#[test]
fn a_link_says_what_it_is() {
    let Some(server) = Server::start(
        &demo_study(),
        &["--browse-only", "--public-url", "https://example.org/s/"],
    ) else {
        return;
    };
    let info = server.get("/api/v1/study").json();
    let dictionary = &info["dictionaries"][0];
    let slug = dictionary["slug"].as_str().expect("a slug");
    let concept = &dictionary["concepts"][0];
    let id = concept["latent"].as_u64().expect("a latent");

    let page = server.get(&format!("/s/d/{slug}/l/{id}")).text();
    let latent = server
        .get(&format!("/api/v1/dictionaries/{slug}/latents/{id}"))
        .json();
    let title = tag(&page, "property=\"og:title\"").expect("a title");
    assert!(title.contains(&format!("Latent {id}")), "{title}");
    assert!(page.contains(&format!("<title>{title}</title>")));
    let description = tag(&page, "name=\"description\"").expect("a description");
    let class = latent["class"].as_str().expect("a class");
    assert!(description.starts_with(class), "{description}");
    let address = tag(&page, "property=\"og:url\"").expect("an address");
    assert_eq!(address, format!("https://example.org/s/d/{slug}/l/{id}"));

    let picture = tag(&page, "property=\"og:image\"").expect("a picture");
    let path = picture
        .strip_prefix("https://example.org")
        .expect("an absolute address");
    let answer = server.get(path);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("image/png"));
    assert!(answer.body.starts_with(b"\x89PNG"));
    assert_ne!(answer.body, server.get("/previews/study.png").body);

    // Pages of what does not exist still are pages; their pictures are problems.
    let lost = server.get(&format!("/s/d/{slug}/l/999999")).text();
    let name = info["name"].as_str().expect("a name");
    assert_eq!(tag(&lost, "property=\"og:title\""), Some(name));
    let problem = server.get(&format!("/previews/{slug}/999999")).problem(404);
    assert!(problem.contains("999999"), "{problem}");
}

#[test]
fn only_embedded_pages_of_latents_may_be_framed() {
    let study = fixture_study();
    let Some(server) = Server::start(study.path(), &["--browse-only"]) else {
        return;
    };
    let plain = server.get("/");
    assert_eq!(plain.header("x-frame-options"), Some("DENY"));
    let policy = plain.header("content-security-policy").expect("a policy");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe-inline"));
    let lab = server.get("/lab?embed=true");
    assert_eq!(lab.header("x-frame-options"), Some("DENY"));
    let embedded = server.get("/d/x/l/1?embed=true");
    assert_eq!(embedded.header("x-frame-options"), None);
    let policy = embedded.header("content-security-policy");
    assert!(policy.expect("a policy").contains("frame-ancestors *"));
}

#[tokio::test]
async fn an_embedded_page_is_bare_and_its_links_leave_the_frame() {
    let study = fixture_study();
    let Some(server) = Server::start(study.path(), &["--browse-only"]) else {
        return;
    };
    let Some(browser) = Browser::start(600, 400).await else {
        return;
    };
    let info = server.get("/api/v1/study").json();
    let slug = info["dictionaries"][0]["slug"].as_str().expect("a slug");
    let page = format!("{}/d/{slug}/l/0?embed=true", server.address);
    browser.open(&page).await;
    browser
        .wait_for("the latent", "document.querySelector('main h1')")
        .await;
    for around in ["header.bar", "footer"] {
        let height = format!("document.querySelector({around:?})?.offsetHeight ?? 0");
        assert_eq!(browser.evaluate(&height).await, "0", "{around}");
    }
    let opened = "(() => { const link = document.querySelector('main a[href]'); \
                  link.addEventListener('click', e => e.preventDefault()); link.click(); return link.target; })()";
    assert_eq!(browser.evaluate(opened).await, "_blank");
    assert_eq!(browser.evaluate("location.search").await, "?embed=true");
    assert_eq!(browser.refused().await, "");
}

fn prompt(slug: &str) -> Value {
    json!({ "dictionary": slug, "prompt": { "text": "a" } })
}

#[test]
fn a_client_that_asks_too_often_waits_and_others_do_not() {
    let study = fixture_study();
    let options = ["--client-per-minute", "3", "--behind-proxy"];
    let Some(server) = Server::start(study.path(), &options) else {
        return;
    };
    let info = server.get("/api/v1/study").json();
    let slug = info["dictionaries"][0]["slug"].as_str().expect("a slug");
    let from = |client: &str| {
        server.post_with(
            "/api/v1/activations",
            &prompt(slug),
            "x-forwarded-for",
            &format!("198.51.100.{}, {client}", std::process::id() % 200),
        )
    };
    for _ in 0..3 {
        assert_eq!(from("203.0.113.1").status, 200);
    }
    let refused = from("203.0.113.1");
    let wait: u64 = refused
        .header("retry-after")
        .and_then(|seconds| seconds.parse().ok())
        .expect("a time to wait");
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(refused.problem(429).contains("a minute"));
    assert_eq!(from("203.0.113.2").status, 200);
    // What runs no model is not counted.
    assert_eq!(server.get("/api/v1/study").status, 200);
}

#[test]
fn a_public_address_that_cannot_be_one_is_refused() {
    let Some(output) = harness::stereoscope(&["serve", ".", "--public-url", "example.org"]) else {
        return;
    };
    assert!(!output.status.success());
    assert!(harness::said(&output).contains("https://example.org/stereoscope"));
}
