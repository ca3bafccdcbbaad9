//! What a page shows, as text in its address. Nothing here knows the browser.

pub(crate) mod compare;
pub(crate) mod edit;
pub(crate) mod lab;
pub(crate) mod latent;
pub(crate) mod notes;
pub(crate) mod place;
pub(crate) mod plane;
pub(crate) mod positions;
pub(crate) mod query;
pub(crate) mod sampling;
pub(crate) mod study;
pub(crate) mod triage;

/// A page's state, written to and read from the query of its address.
///
/// Reading never fails: what cannot be understood falls back to the default, so that an old link still opens.
pub(crate) trait UrlState: Clone + PartialEq + Send + Sync + 'static {
    /// Reads the query, without its `?`.
    fn read(query: &str) -> Self;

    /// Writes what differs from the default, without `?`.
    fn write(&self) -> String;

    /// The address of `path` with this state.
    fn href(&self, path: &str) -> String {
        let query = self.write();
        if query.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{query}")
        }
    }
}
