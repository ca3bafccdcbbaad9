//! Study, latents and method in the browser.

fn main() {
    frontend::study();
}
