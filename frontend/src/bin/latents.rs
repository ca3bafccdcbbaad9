//! The latents of a dictionary in the browser.

fn main() {
    frontend::latents();
}
