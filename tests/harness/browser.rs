//! Chromium, driven over its own protocol.

use std::time::{Duration, Instant};

use chromiumoxide::browser::{Browser as Chromium, BrowserConfig};
use chromiumoxide::cdp::browser_protocol::input::{DispatchKeyEventParams, DispatchKeyEventType};
use chromiumoxide::page::{Page, ScreenshotParams};
use futures::StreamExt;

/// Time for a page to show what it should.
const PATIENCE: Duration = Duration::from_secs(30);

/// One page in a headless Chromium of its own.
pub struct Browser {
    /// Dropping the handle ends the process.
    _chromium: Chromium,
    page: Page,
    /// Chromium's folder, removed when the browser goes.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts Chromium with an empty profile.
    pub async fn start(width: u32, height: u32) -> Option<Self> {
        let executable = crate::named("CHROME")?;
        let profile = tempfile::tempdir().expect("a temporary folder");
        let config = BrowserConfig::builder()
            .chrome_executable(executable)
            .no_sandbox()
            .user_data_dir(profile.path())
            .window_size(width, height)
            .viewport(chromiumoxide::handler::viewport::Viewport {
                width,
                height,
                ..Default::default()
            })
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-first-run",
                "--disable-gpu",
            ])
            .build()
            .expect("a browser configuration");
        let (chromium, mut handler) = Chromium::launch(config).await.expect("Chromium starts");
        tokio::spawn(async move { while handler.next().await.is_some() {} });
        let page = chromium.new_page("about:blank").await.expect("a page");
        page.evaluate_on_new_document(
            "window.refused = []; addEventListener('securitypolicyviolation', e => \
             refused.push(`${e.effectiveDirective} ${e.blockedURI} ${e.sourceFile}:${e.lineNumber}`));",
        )
        .await
        .expect("the script is taken");
        Some(Self {
            _chromium: chromium,
            page,
            _profile: profile,
        })
    }

    /// From the next page on, answers GETs of paths that end in `end` with `json` instead of asking the server.
    pub async fn answer(&self, end: &str, json: &serde_json::Value) {
        let script = format!(
            "(fetch => {{ window.fetch = (to, ...rest) => new URL(to, document.baseURI).pathname.endsWith({end:?}) \
             ? Promise.resolve(Response.json({json})) : fetch(to, ...rest); }})(window.fetch.bind(window))"
        );
        self.page
            .evaluate_on_new_document(script)
            .await
            .expect("the script is taken");
    }

    /// Opens an address.
    pub async fn open(&self, address: &str) {
        self.page.goto(address).await.expect("the page loads");
    }

    /// The address shown.
    pub async fn address(&self) -> String {
        self.evaluate("location.href").await
    }

    /// The value of an expression, as text.
    pub async fn evaluate(&self, expression: &str) -> String {
        let script = format!("String({expression})");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.page.evaluate(script.as_str()).await {
                Ok(value) => return value.into_value().expect("a text"),
                // The page is just giving way to another, which the script then runs in.
                Err(error)
                    if error.to_string().contains("context") && Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("the script does not run: {error}"),
            }
        }
    }

    /// What the content-security policy refused on this page, each once, one a line.
    pub async fn refused(&self) -> String {
        self.evaluate("[...new Set(window.refused)].join('\\n')")
            .await
    }

    /// Waits until an expression is true; says what the page showed when it never is.
    pub async fn wait_for(&self, what: &str, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.evaluate(&format!("Boolean({expression})")).await != "true" {
            if Instant::now() > deadline {
                self.screenshot("failed").await;
                let shown = self.evaluate("document.body.innerText").await;
                panic!(
                    "never came: {what}; the page at {} shows:\n{shown}",
                    self.address().await
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for an element that can be used and clicks it.
    pub async fn click(&self, selector: &str) {
        let usable = format!("document.querySelector({selector:?})?.matches(':not(:disabled)')");
        self.wait_for(selector, &usable).await;
        let element = self.page.find_element(selector).await.expect("the element");
        element
            .scroll_into_view()
            .await
            .expect("the element can be scrolled to");
        element.click().await.expect("the element can be clicked");
    }

    /// Waits for a text field, empties it and types.
    pub async fn type_into(&self, selector: &str, text: &str) {
        self.wait_for(selector, &format!("document.querySelector({selector:?})"))
            .await;
        self.evaluate(&format!("document.querySelector({selector:?}).select()"))
            .await;
        let element = self.page.find_element(selector).await.expect("the field");
        element
            .focus()
            .await
            .expect("the field takes focus")
            .type_str(text)
            .await
            .expect("the text is typed");
    }

    /// Sets a control's value as a person's change would.
    pub async fn set(&self, selector: &str, value: &str) {
        self.wait_for(selector, &format!("document.querySelector({selector:?})"))
            .await;
        let script = format!(
            "(e => {{ e.value = {value:?}; for (const n of ['input', 'change']) e.dispatchEvent(new Event(n, {{bubbles: true}})); }})\
             (document.querySelector({selector:?}))"
        );
        self.evaluate(&script).await;
    }

    /// Presses a key.
    pub async fn press(&self, selector: &str, key: &str) {
        let element = self.page.find_element(selector).await.expect("the element");
        element.press_key(key).await.expect("the key is pressed");
    }

    /// Presses a key wherever the keyboard is.
    pub async fn key(&self, key: &str) {
        self.press("body", key).await;
    }

    /// Presses a key wherever the keyboard is, with Ctrl held.
    pub async fn key_with_control(&self, key: &str) {
        for kind in [
            DispatchKeyEventType::RawKeyDown,
            DispatchKeyEventType::KeyUp,
        ] {
            let event = DispatchKeyEventParams::builder()
                .r#type(kind)
                .key(key)
                .code(key)
                .modifiers(2)
                .build()
                .expect("a key event");
            self.page.execute(event).await.expect("the key is pressed");
        }
    }

    /// Writes a picture of the whole page into the folder that `STEREOSCOPE_SCREENSHOTS` names, if it does.
    pub async fn screenshot(&self, name: &str) {
        let Some(folder) = std::env::var_os("STEREOSCOPE_SCREENSHOTS") else {
            return;
        };
        let folder = std::path::Path::new(&folder);
        std::fs::create_dir_all(folder).expect("a writable folder");
        let parameters = ScreenshotParams::builder().full_page(true).build();
        let file = folder.join(format!("{name}.png"));
        self.page
            .save_screenshot(parameters, file)
            .await
            .expect("a picture");
    }
}
