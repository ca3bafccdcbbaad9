//! Joint histograms of two latents' relative activations, by hand and against a dense computation.
#![allow(clippy::unwrap_used)] // a failed test is a panic

use diffing::{JOINT_EDGES, JointHistogram, JointSums, Pairs};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Latent 0 reaches 10, latent 1 reaches 5.
fn small() -> (Pairs, JointSums) {
    let pairs = Pairs::new(vec![10.0, 5.0, 1.0], [(0, 1)]);
    let mut sums = pairs.sums();
    for token in [
        vec![(0, 8.0), (1, 0.5)], // by the pair's 10: 0.8 and 0.05; by their own: 0.8 and 0.1
        vec![(0, 1.0), (1, 5.0)], // 0.1 and 0.5; 0.1 and 1
        vec![(0, 4.0), (1, 4.0)], // 0.4 and 0.4; 0.4 and 0.8
        vec![(1, 2.0)],           // 0 and 0.2; 0 and 0.4
        vec![(0, 7.0), (2, 1.0)], // 0.7 and 0; 0.7 and 0
        vec![(0, 9.0), (1, 5.0)], // 0.9 and 0.5; 0.9 and 1
        vec![(2, 1.0)],
        vec![],
    ] {
        pairs.add(&mut sums, &token);
    }
    (pairs, sums)
}

fn cells(histogram: &JointHistogram) -> Vec<(usize, usize, u64)> {
    let rows = histogram.0.iter().enumerate();
    rows.flat_map(|(row, counts)| {
        let counts = counts.iter().enumerate();
        counts.map(move |(column, &count)| (row, column, count))
    })
    .filter(|cell| cell.2 > 0)
    .collect()
}

#[test]
fn buckets_and_divergence_by_hand() {
    let (_, sums) = small();
    let (pair, [by_pair, own]) = sums.histograms().next().unwrap();
    assert_eq!(pair, (0, 1));
    // Shares on an edge belong below it.
    assert_eq!(
        cells(&by_pair),
        [
            (0, 0, 2),
            (0, 2, 1),
            (1, 3, 1),
            (2, 2, 1),
            (3, 0, 1),
            (4, 1, 1),
            (4, 3, 1)
        ]
    );
    assert_eq!(
        cells(&own),
        [
            (0, 0, 2),
            (0, 2, 1),
            (1, 4, 1),
            (2, 4, 1),
            (3, 0, 1),
            (4, 1, 1),
            (4, 4, 1)
        ]
    );
    // One strong, the other weak on (3,0), (4,1) and (1,3); one strong at least on (4,3) besides.
    assert!((by_pair.divergence() - 3.0 / (4.0 + 1e-10)).abs() < 1e-15);
    // By their own maxima (2,4) is another token on which one is strong.
    assert!((own.divergence() - 3.0 / (5.0 + 1e-10)).abs() < 1e-15);
    let turned = own.transposed();
    assert_eq!(turned.0[4][1], 1);
    assert_eq!(turned.divergence(), own.divergence());
    assert_eq!(turned.transposed(), own);
}

#[test]
fn the_ends_of_divergence() {
    let mut together = JointHistogram::default();
    assert_eq!(together.divergence(), 0.0, "nothing is strong");
    together.0[4][4] = 3;
    together.0[0][2] = 9;
    assert_eq!(together.divergence(), 0.0);
    let mut apart = JointHistogram::default();
    apart.0[4][0] = 2;
    apart.0[1][3] = 2;
    assert!((apart.divergence() - 1.0).abs() < 1e-9);
}

/// Pairs in both orders, one that is named twice, one of a latent with itself and one outside the dictionary.
#[test]
fn parts_merged_are_a_dense_count() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut tokens: Vec<Vec<(u32, f32)>> = vec![Vec::new(); 2000];
    for codes in &mut tokens {
        for id in 0..6 {
            if rng.random_bool(0.3) {
                codes.push((id, rng.random_range(1e-8f32..3.0)));
            }
        }
    }
    let max = |id: u32| {
        let values = tokens.iter().flatten().filter(|a| a.0 == id);
        values.map(|a| a.1).fold(0f32, f32::max)
    };
    let maxima: Vec<f32> = (0..6).map(max).collect();
    let named = [
        (0, 1),
        (1, 0),
        (2, 5),
        (0, 1),
        (3, 3),
        (4, 9),
        (9, 4),
        (5, 2),
    ];
    let pairs = Pairs::new(maxima.clone(), named);
    assert_eq!(pairs.pairs(), [(0, 1), (1, 0), (2, 5), (5, 2)]);
    let mut parts = [pairs.sums(), pairs.sums(), pairs.sums()];
    for (t, token) in tokens.iter().enumerate() {
        pairs.add(&mut parts[t % 3], token);
    }
    let [mut sums, b, c] = parts;
    sums.merge(&c).unwrap();
    sums.merge(&b).unwrap();
    for ((first, second), found) in sums.histograms() {
        let of = |token: &[(u32, f32)], id: u32| {
            let active = token.iter().find(|a| a.0 == id);
            f64::from(active.map_or(0.0, |a| a.1))
        };
        let [first_max, second_max] = [first, second].map(|id| f64::from(maxima[id as usize]));
        let larger = first_max.max(second_max);
        for (found, scales) in found
            .iter()
            .zip([[larger, larger], [first_max, second_max]])
        {
            let mut dense = JointHistogram::default();
            for token in &tokens {
                let bucket = |id: u32, scale: f64| {
                    let share = of(token, id) / scale;
                    JOINT_EDGES.iter().filter(|edge| share > **edge).count()
                };
                dense.0[bucket(first, scales[0])][bucket(second, scales[1])] += 1;
            }
            assert_eq!(*found, dense, "{first} {second}");
        }
    }
    let other = Pairs::new(maxima, [(0, 2)]).sums();
    assert!(sums.merge(&other).is_err());
}
