//! The study and the method in the browser.

fn main() {
    frontend::study();
}
