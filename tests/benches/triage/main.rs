//! How fast the explorer's pages are with a dictionary of the paper's size, in a real browser that draws by software:
//! `cargo bench --workspace --exclude frontend --bench triage [-- FOLDER [LATENTS]]`. The made-up study is written to FOLDER and stays
//! there, else to a temporary folder. It needs the program and Chromium, as `cargo check-all` names them.

mod study;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use harness::{Browser, Server};

/// How long a started browser, and a started server that reads ahead, are left alone.
const SETTLED: Duration = Duration::from_secs(3);

/// Latents of the paper's dictionaries.
const LATENTS: u32 = 73_728;

/// Moves the view in a circle, one step a frame, for three seconds: frames a second, and the longest frame in ms.
const PAN: &str = "const area = document.querySelector('.plane-area'), r = area.getBoundingClientRect();
  const send = (kind, x, y) => area.dispatchEvent(new PointerEvent(kind, {bubbles: true, pointerId: 1, button: 0, shiftKey: true,
    clientX: r.left + x, clientY: r.top + y}));
  send('pointerdown', 300, 200);
  const start = performance.now(); let last = start, frames = 0, longest = 0;
  const step = now => {
    const t = (now - start) / 400;
    send('pointermove', 300 + 120 * Math.sin(t), 200 + 80 * (1 - Math.cos(t)));
    frames += 1; longest = Math.max(longest, now - last); last = now;
    if (now - start < 3000) requestAnimationFrame(step);
    else { send('pointerup', 300, 200); done(`${(frames * 1000 / (now - start)).toFixed(1)} frames/s, longest frame ${longest.toFixed(0)} ms`); }
  };
  requestAnimationFrame(step);";

/// Drags a threshold to twenty places: ms until the count is another.
const THRESHOLD: &str = "const line = document.querySelector('[data-line=\"1\"]'), area = document.querySelector('.plane-area'), r = area.getBoundingClientRect();
  const send = (target, kind, x) => target.dispatchEvent(new PointerEvent(kind, {bubbles: true, pointerId: 1, button: 0, clientX: x, clientY: r.top + 100}));
  const count = document.querySelector('[data-testid=plane-count]'), times = [];
  send(line, 'pointerdown', line.getBoundingClientRect().left);
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    const changed = new Promise(resolve => new MutationObserver((_, o) => { o.disconnect(); resolve(); }).observe(count, {childList: true, characterData: true, subtree: true}));
    send(line, 'pointermove', r.left + r.width * (0.2 + 0.03 * i));
    await changed;
    await new Promise(resolve => requestAnimationFrame(resolve));
    times.push(performance.now() - start);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  send(area, 'pointerup', r.left + r.width * 0.8);
  done(said(times));";

/// Sorts by each column, then bounds one: ms until other rows are on the screen.
const TABLE: &str = "const body = document.querySelector('.latents tbody'), times = [];
  const timed = async act => {
    const changed = new Promise(resolve => new MutationObserver((_, o) => { o.disconnect(); resolve(); }).observe(body, {childList: true}));
    const start = performance.now();
    act();
    await changed;
    await new Promise(resolve => requestAnimationFrame(resolve));
    times.push(performance.now() - start);
    await new Promise(resolve => setTimeout(resolve, 400));
  };
  for (const name of ['delta_norm', 'nu_r', 'frequency', 'max_activation', 'class', 'template_share'])
    await timed(() => document.querySelector(`th[data-column=${name}] button`).click());
  for (const value of ['0.001', '0.01', '0.0001', '0.002']) await timed(() => {
    const field = document.querySelector('.filters [data-column=frequency] [data-testid=min]');
    field.value = value; field.dispatchEvent(new Event('change', {bubbles: true}));
  });
  done(said(times));";

/// Scrolls to the end: elements in the page with the last row on the screen.
const END: &str = "const scroll = document.querySelector('.table-card > .scroll'); let most = 0;
  for (let i = 1; i <= 30; i++) {
    scroll.scrollTop = scroll.scrollHeight * i / 30;
    await new Promise(resolve => setTimeout(resolve, 60));
    most = Math.max(most, document.querySelectorAll('*').length);
  }
  await new Promise(resolve => setTimeout(resolve, 600));
  const table = document.querySelector('.latents'), last = [...table.querySelectorAll('tbody [aria-rowindex]')].at(-1);
  done(`${most} elements at most; last row ${last?.getAttribute('aria-rowindex')} of ${table.getAttribute('aria-rowcount')}`);";

/// Largest paint and layout shift of the page so far.
const VITALS: &str = "let paint = 0, shift = 0;
  const watch = (type, see) => new PerformanceObserver(list => list.getEntries().forEach(see)).observe({type, buffered: true});
  watch('largest-contentful-paint', entry => paint = entry.startTime);
  watch('layout-shift', entry => shift += entry.hadRecentInput ? 0 : entry.value);
  await new Promise(resolve => setTimeout(resolve, 2500));
  done(`largest paint after ${paint.toFixed(0)} ms, layout shift ${shift.toFixed(3)}`);";

/// Opens eight latents from the table: ms from the click until examples are on the screen.
const LATENT: &str = "const until = seen => new Promise(resolve => { const look = () => seen() ? resolve() : requestAnimationFrame(look); look(); });
  const rows = () => document.querySelectorAll('[data-testid=latent-row] a'), times = [];
  for (let i = 0; i < 8; i++) {
    await until(() => rows().length > 8);
    await new Promise(resolve => setTimeout(resolve, 500));
    const start = performance.now();
    rows()[i].click();
    await until(() => document.querySelector('[data-testid=example] [data-testid=token]'));
    await new Promise(resolve => requestAnimationFrame(resolve));
    times.push(performance.now() - start);
    history.back();
  }
  done(said(times));";

/// Runs a script in the page until it calls `done`.
async fn run(browser: &Browser, name: &str, script: &str) {
    let whole = format!(
        "(() => {{ window.measured = ''; const done = words => window.measured = words; \
         const said = times => {{ times.sort((a, b) => a - b); return `median ${{times[times.length >> 1].toFixed(0)}} ms, most ${{times.at(-1).toFixed(0)}} ms`; }}; \
         (async () => {{ {script} }})().catch(e => done('failed: ' + e)); }})()"
    );
    browser.evaluate(&whole).await;
    browser.wait_for(name, "window.measured").await;
    println!("{name}: {}", browser.evaluate("window.measured").await);
}

/// A new browser that has done what it does when it starts.
async fn started() -> Option<Browser> {
    let browser = Browser::start(1280, 800).await?;
    tokio::time::sleep(SETTLED).await;
    Some(browser)
}

async fn measure(folder: &std::path::Path) -> Option<()> {
    let server = Server::start(folder, &["--browse-only"])?;
    let browser = started().await?;
    let page = format!("{}/d/{}", server.address, study::SLUG);
    for visit in ["first visit", "second visit"] {
        browser.open("about:blank").await;
        let start = Instant::now();
        browser.open(&page).await;
        let drawn = "document.querySelector('canvas[data-points]')";
        browser.wait_for("points", drawn).await;
        let points = browser.evaluate(&format!("{drawn}.dataset.points")).await;
        let (wall, page) = (
            start.elapsed(),
            browser.evaluate("Math.round(performance.now())").await,
        );
        println!(
            "{visit}: {points} points within {} ms of asking, {page} ms of the page's own clock",
            wall.as_millis()
        );
    }
    browser
        .wait_for(
            "rows",
            "document.querySelector('.latents tbody [aria-rowindex]')",
        )
        .await;
    println!(
        "elements at rest: {}",
        browser
            .evaluate("document.querySelectorAll('*').length")
            .await
    );
    browser.screenshot("bench-triage").await;
    run(&browser, "panning", PAN).await;
    run(&browser, "dragging a threshold", THRESHOLD).await;
    run(&browser, "sorting and filtering", TABLE).await;
    run(&browser, "scrolling to the end", END).await;
    browser.open(&page).await;
    run(&browser, "opening latents", LATENT).await;
    for place in [
        "",
        &format!("d/{}", study::SLUG),
        &format!("d/{}/l/7", study::SLUG),
        "compare",
    ] {
        // A new browser, so that nothing is stored.
        let browser = started().await?;
        browser.open(&format!("{}/{place}", server.address)).await;
        run(&browser, &format!("/{place}, first visit"), VITALS).await;
    }
    Some(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Without this flag it is not `cargo bench` that calls, but a test run over all targets.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("triage: skipped; it runs with `cargo bench --bench triage`");
        return ExitCode::SUCCESS;
    }
    let mut named = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'));
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = named
        .next()
        .map_or(temporary.path().join("study"), PathBuf::from);
    let latents = named
        .next()
        .map_or(LATENTS, |n| n.parse().expect("a number of latents"));
    if !folder.join("study.duckdb").is_file()
        && let Err(why) = study::write(&folder, latents)
    {
        eprintln!("error: the study cannot be written: {why}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(measure(&folder)) {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}
