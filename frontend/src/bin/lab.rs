//! The lab and saved runs in the browser.

fn main() {
    frontend::lab();
}
