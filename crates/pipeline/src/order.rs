//! The order in which training reads rows: which stand in a block together, and how a block is shuffled.

use std::ops::Range;

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How the corpora of a collection are put together for training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataOrder {
    /// One row of each corpus in turn, as in the paper; all corpora are cut to the length of the shortest.
    #[default]
    Alternate,
    /// Every row of every corpus; each block takes from a corpus in proportion to its size.
    Mix,
}

impl DataOrder {
    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alternate => "alternate",
            Self::Mix => "mix",
        }
    }
}

/// The order of rows in every epoch. A block holds consecutive rows of each corpus, shuffled anew in every epoch; blocks follow each
/// other as the corpora do, so that only one is in memory.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    kind: DataOrder,
    /// Rows of each corpus.
    lengths: Vec<usize>,
    /// Rows that a block takes from each corpus.
    shares: Vec<usize>,
    seed: u64,
}

impl Order {
    /// An order of corpora of these `lengths`, with at most about `most` rows in a block.
    ///
    /// # Errors
    /// No corpus, an empty corpus, no room for a block.
    pub(crate) fn new(
        kind: DataOrder,
        lengths: Vec<usize>,
        most: usize,
        seed: u64,
    ) -> Result<Self, String> {
        if lengths.is_empty() {
            return Err("there is no corpus to read".into());
        }
        if let Some(empty) = lengths.iter().position(|&length| length == 0) {
            return Err(format!("corpus {empty} has no rows"));
        }
        if most == 0 {
            return Err("a block has 0 rows, expected at least 1".into());
        }
        let shares = match kind {
            DataOrder::Alternate => vec![(most / lengths.len()).max(1); lengths.len()],
            DataOrder::Mix => {
                let all: u128 = lengths.iter().map(|&length| length as u128).sum();
                let share = |length: usize| (most as u128 * length as u128 / all) as usize;
                lengths.iter().map(|&n| share(n).max(1)).collect()
            }
        };
        Ok(Self {
            kind,
            lengths,
            shares,
            seed,
        })
    }

    /// Rows of a corpus that are read.
    pub(crate) fn read(&self, corpus: usize) -> usize {
        let own = self.lengths.get(corpus).copied().unwrap_or(0);
        match self.kind {
            DataOrder::Alternate => self.lengths.iter().copied().min().unwrap_or(0),
            DataOrder::Mix => own,
        }
    }

    /// Rows of an epoch.
    pub(crate) fn rows(&self) -> usize {
        (0..self.lengths.len())
            .map(|corpus| self.read(corpus))
            .sum()
    }

    /// Blocks of an epoch.
    pub(crate) fn blocks(&self) -> usize {
        let blocks = self.shares.iter().enumerate();
        blocks
            .map(|(corpus, &share)| self.read(corpus).div_ceil(share))
            .max()
            .unwrap_or(0)
    }

    /// The rows of each corpus that a block holds.
    pub(crate) fn ranges(&self, block: usize) -> Vec<Range<usize>> {
        let shares = self.shares.iter().enumerate();
        shares
            .map(|(corpus, &share)| {
                let end = self.read(corpus);
                (block * share).min(end)..((block + 1) * share).min(end)
            })
            .collect()
    }

    /// Rows of a block.
    pub(crate) fn block_rows(&self, block: usize) -> usize {
        self.ranges(block).iter().map(Range::len).sum()
    }

    /// The rows of a block in the order of an epoch, as positions in its ranges, one after the other.
    pub(crate) fn positions(&self, epoch: u64, block: usize) -> Vec<u32> {
        let mut first = 0;
        let shuffled = |rows: Range<u32>, corpus: usize| {
            let mut rows: Vec<u32> = rows.collect();
            rows.shuffle(&mut random(self.seed, epoch, block as u64, corpus as u64));
            rows
        };
        match self.kind {
            DataOrder::Mix => shuffled(0..self.block_rows(block) as u32, 0),
            DataOrder::Alternate => {
                let corpora: Vec<Vec<u32>> = self
                    .ranges(block)
                    .iter()
                    .enumerate()
                    .map(|(corpus, range)| {
                        let from = first;
                        first += range.len() as u32;
                        shuffled(from..first, corpus)
                    })
                    .collect();
                let rows = corpora.first().map_or(0, Vec::len);
                (0..rows)
                    .flat_map(|i| corpora.iter().filter_map(move |rows| rows.get(i).copied()))
                    .collect()
            }
        }
    }
}

/// A generator for one purpose of one epoch.
pub(crate) fn random(seed: u64, epoch: u64, block: u64, purpose: u64) -> ChaCha8Rng {
    let mut bytes = [0u8; 32];
    for (slot, number) in bytes.chunks_exact_mut(8).zip([seed, epoch, block, purpose]) {
        slot.copy_from_slice(&number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// An epoch as pairs of corpus and row.
    fn epoch(order: &Order, epoch: u64) -> Vec<(usize, usize)> {
        (0..order.blocks())
            .flat_map(|block| {
                let rows: Vec<(usize, usize)> = order
                    .ranges(block)
                    .into_iter()
                    .enumerate()
                    .flat_map(|(corpus, range)| range.map(move |row| (corpus, row)))
                    .collect();
                let positions = order.positions(epoch, block);
                assert_eq!(positions.len(), order.block_rows(block));
                positions.into_iter().map(move |p| rows[p as usize])
            })
            .collect()
    }

    fn order(kind: DataOrder, lengths: &[usize], most: usize, seed: u64) -> Order {
        Order::new(kind, lengths.to_vec(), most, seed).unwrap()
    }

    #[test]
    fn a_mixed_epoch_is_a_permutation_of_every_row() {
        for (lengths, most) in [
            (vec![100, 37, 5], 30),
            (vec![40], 7),
            (vec![9, 9], 1000),
            (vec![50, 1], 3),
        ] {
            let order = order(DataOrder::Mix, &lengths, most, 3);
            let mut expected = BTreeSet::new();
            for (corpus, &length) in lengths.iter().enumerate() {
                expected.extend((0..length).map(|row| (corpus, row)));
            }
            let epochs: Vec<_> = (0..3).map(|e| epoch(&order, e)).collect();
            for epoch in &epochs {
                assert_eq!(epoch.len(), order.rows());
                assert_eq!(epoch.iter().copied().collect::<BTreeSet<_>>(), expected);
            }
            assert_ne!(epochs[0], epochs[1]);
        }
    }

    #[test]
    fn a_mixed_block_takes_in_proportion_and_stays_local() {
        let order = order(DataOrder::Mix, &[100, 50, 1], 30, 0);
        // ⌊30·100/151⌋ = 19, ⌊30·50/151⌋ = 9, and at least one.
        assert_eq!(order.ranges(0), [0..19, 0..9, 0..1]);
        assert_eq!(order.ranges(1), [19..38, 9..18, 1..1]);
        assert_eq!(order.ranges(5), [95..100, 45..50, 1..1]);
        assert_eq!(order.blocks(), 6);
        let rows = epoch(&order, 0);
        for (position, (corpus, row)) in rows.iter().take(29).enumerate() {
            let limit = [19, 9, 1][*corpus];
            assert!(*row < limit, "row {row} of corpus {corpus} at {position}");
        }
    }

    #[test]
    fn corpora_alternate_strictly_and_are_cut_to_the_shortest() {
        let order = order(DataOrder::Alternate, &[50, 23, 40], 21, 1);
        assert_eq!((order.rows(), order.read(0)), (69, 23));
        let (first, second) = (epoch(&order, 0), epoch(&order, 1));
        for (position, (corpus, row)) in first.iter().enumerate() {
            assert_eq!(*corpus, position % 3);
            let block = position / 21;
            assert!(
                (block * 7..(block + 1) * 7).contains(row),
                "{position}: {row}"
            );
        }
        for corpus in 0..3 {
            let rows = |epoch: &[(usize, usize)]| -> Vec<usize> {
                epoch
                    .iter()
                    .filter(|r| r.0 == corpus)
                    .map(|r| r.1)
                    .collect()
            };
            assert_ne!(rows(&first), rows(&second), "a new order in every epoch");
            assert_eq!(
                rows(&first).into_iter().collect::<BTreeSet<_>>(),
                (0..23).collect()
            );
        }
    }

    #[test]
    fn the_seed_alone_decides() {
        for kind in [DataOrder::Mix, DataOrder::Alternate] {
            let of = |seed| epoch(&order(kind, &[60, 44], 20, seed), 2);
            assert_eq!(of(5), of(5));
            assert_ne!(of(5), of(6));
        }
    }

    #[test]
    fn nothing_to_read_is_refused() {
        for (lengths, most) in [(vec![], 4), (vec![3, 0], 4), (vec![3], 0)] {
            assert!(Order::new(DataOrder::Mix, lengths, most, 0).is_err());
        }
    }
}
