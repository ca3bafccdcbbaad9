//! Two dictionaries compared in the browser.

fn main() {
    frontend::compare();
}
