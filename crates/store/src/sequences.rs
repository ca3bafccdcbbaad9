//! Examples and the sequences that they refer to, which the dictionaries of one collection share.

use std::collections::{HashMap, HashSet};

use duckdb::params;

use crate::carry::COLLECTION_KEY;
use crate::pack;
use crate::records::{ExampleRecord, GroupRecord, SequenceRecord, bytes, kind_code};
use crate::{Error, Result, Writer};

impl Writer {
    /// Examples, the sequences they refer to, and their groups. `collection` names the activations in which the sequences are numbered. A latent's examples must follow each other, strongest first.
    ///
    /// # Errors
    /// [`Error::Damaged`] for an example whose sequence is missing or too short; [`Error::Database`].
    pub fn set_examples(
        &self,
        collection: &str,
        sequences: &[SequenceRecord],
        examples: impl IntoIterator<Item = ExampleRecord>,
        groups: impl IntoIterator<Item = GroupRecord>,
    ) -> Result<()> {
        self.set_meta(COLLECTION_KEY, collection)?;
        self.add_sequences(collection, sequences)?;
        let tokens: HashMap<u64, &[u32]> = sequences
            .iter()
            .map(|record| (record.sequence, record.tokens.as_slice()))
            .collect();
        let mut firing: Vec<(u32, u32)> = Vec::new();
        let mut of_latent = HashSet::new();
        let (mut latent, mut rank) = (None, 0u32);
        let mut broken = None;
        self.set("examples", examples, |appender, record| {
            if latent != Some(record.latent) {
                (latent, rank) = (Some(record.latent), 0);
                of_latent.clear();
            }
            for &position in &record.positions {
                match tokens
                    .get(&record.sequence)
                    .and_then(|tokens| tokens.get(position as usize))
                {
                    Some(&token) if of_latent.insert(token) => firing.push((token, record.latent)),
                    Some(_) => {}
                    None => broken = Some((record.latent, record.sequence)),
                }
            }
            appender.append_row(params![
                self.dictionary,
                record.latent,
                rank,
                record.group,
                record.sequence,
                pack::rising(&record.positions),
                bytes(&record.values, f32::to_le_bytes)
            ])?;
            rank += 1;
            Ok(())
        })?;
        if let Some((latent, sequence)) = broken {
            return Err(Error::Damaged(format!(
                "an example of latent {latent} points outside sequence {sequence}"
            )));
        }
        // Sorted by token, so that a search reads only the blocks of its tokens.
        firing.sort_unstable();
        self.set("firing_tokens", firing, |appender, (token, latent)| {
            appender.append_row(params![self.dictionary, latent, token])
        })?;
        self.set("example_groups", groups, |appender, record| {
            let group = &record.group;
            appender.append_row(params![
                self.dictionary,
                record.latent,
                group.group,
                group.from,
                group.to,
                group.examples,
                group.sequences
            ])
        })
    }

    /// Sequences of other dictionaries' examples join them when the database is finished.
    fn add_sequences(&self, collection: &str, sequences: &[SequenceRecord]) -> Result<()> {
        self.run(|connection| {
            connection.execute("DELETE FROM sequences", [])?;
            let mut appender = connection.appender("sequences")?;
            for record in sequences {
                let kinds: Vec<u8> = record.kinds.iter().map(|&kind| kind_code(kind)).collect();
                appender.append_row(params![
                    "",
                    collection,
                    record.sequence,
                    record.source,
                    pack::numbers(&record.tokens),
                    pack::codes(&kinds)
                ])?;
            }
            appender.flush()
        })
    }
}
