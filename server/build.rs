//! Makes the crate be built again when the explorer's files change, since they are embedded in it.

fn main() {
    println!("cargo::rerun-if-changed=../dist");
}
