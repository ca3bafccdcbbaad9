//! A study on disk: its manifest `study.toml` and its database `study.duckdb`.
//!
//! [`manifest`] reads and writes the manifest. [`Writer`] writes a new database beside the old one and renames it into place;
//! [`Store`] answers the explorer's questions from a finished database, from weights alone, or from both. [`Runs`] keeps what a server
//! saves, in a file of its own.

mod carry;
mod causal;
mod columns;
mod controls;
mod cursor;
mod curves;
mod detail;
mod error;
mod examples;
mod export;
mod fits;
mod groups;
mod joints;
pub mod manifest;
mod matches;
mod pack;
mod parquet;
mod place;
mod pool;
mod query;
mod read;
mod recent;
mod records;
mod runs;
mod scaled;
mod scaling;
mod schema;
mod sequences;
mod shelf;
mod table;
mod template;
mod truth;
mod writer;

pub use error::{Error, ErrorKind, Result};
pub use examples::{DEFAULT_EXAMPLES, MAX_EXAMPLES};
pub use export::ExportFormat;
pub use groups::{PartRecord, ShareRecord, TwinRecord};
pub use matches::{MatchQuery, MatchRecord, Matched, OtherMatches};
pub use parquet::{ParquetDocument, ParquetFile, ParquetRow};
pub use query::{DEFAULT_PAGE, LatentQuery};
pub use read::{DictionaryFacts, Store};
pub use records::{
    ExampleRecord, GroupRecord, HistogramRecord, LensRecord, NeighbourRecord, SequenceRecord,
};
pub use runs::{RUNS, Runs};
pub use scaled::Scaled;
pub use scaling::{BaselineKind, BaselineRecord};
pub use schema::SCHEMA_VERSION;
pub use shelf::SHELVED;
pub use writer::Writer;

/// Name of the database inside a study's folder.
pub const DATABASE: &str = "study.duckdb";
