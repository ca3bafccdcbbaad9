//! From values to lengths and strengths of colour.

use api::{Class, ClassCuts, Histogram};

/// Strength of a token's colour, 0 to 1: nothing for nothing, then linear in hue and roughly logarithmic in opacity,
/// relative to the latent's own maximum.
pub(crate) fn heat(value: f64, max: f64) -> f64 {
    if value > 0.0 && max > 0.0 && value.is_finite() {
        0.06 + 0.94 * (1.0 + 9.0 * (value / max).min(1.0)).log10()
    } else {
        0.0
    }
}

/// The non-linear slider of a strength: position −1…1 to −`reach`…`reach`, cubic so that small doses are easy to set.
pub(crate) fn slider_to_amount(position: f64, reach: f64) -> f64 {
    let amount = position.clamp(-1.0, 1.0).powi(3) * reach;
    let step = if amount.abs() < 1.0 { 0.05 } else { 0.1 };
    let rounded = (amount / step).round() * step;
    // The same digits as a person would type.
    (rounded * 100.0).round() / 100.0
}

/// Inverse of [`slider_to_amount`] up to its rounding.
pub(crate) fn amount_to_slider(amount: f64, reach: f64) -> f64 {
    (amount / reach).clamp(-1.0, 1.0).cbrt()
}

/// The class of a value of Δ_norm by the study's cuts (closed intervals).
pub(crate) fn class_of(delta: f64, cuts: &ClassCuts) -> Class {
    if delta >= cuts.chat_only {
        Class::ChatOnly
    } else if delta <= cuts.base_only {
        Class::BaseOnly
    } else if (cuts.shared_from..=cuts.shared_to).contains(&delta) {
        Class::Shared
    } else {
        Class::Other
    }
}

/// The class in which the middle of a bin lies.
pub(crate) fn bin_class(from: f64, to: f64, cuts: &ClassCuts) -> Class {
    class_of(f64::midpoint(from, to), cuts)
}

/// The bands of Δ_norm on 0…1 with their classes, in order.
pub(crate) fn bands(cuts: &ClassCuts) -> [(f64, f64, Class); 5] {
    [
        (0.0, cuts.base_only, Class::BaseOnly),
        (cuts.base_only, cuts.shared_from, Class::Other),
        (cuts.shared_from, cuts.shared_to, Class::Shared),
        (cuts.shared_to, cuts.chat_only, Class::Other),
        (cuts.chat_only, 1.0, Class::ChatOnly),
    ]
}

/// A bar of a histogram in the unit square, `height` on a logarithmic count axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bar {
    /// Left edge, 0…1.
    pub(crate) x: f64,
    /// Width.
    pub(crate) width: f64,
    /// Height, 0…1; a single count is visible.
    pub(crate) height: f64,
    /// Lower edge of the bin.
    pub(crate) from: f64,
    /// Upper edge.
    pub(crate) to: f64,
    /// Values in the bin.
    pub(crate) count: u64,
}

/// Whether the last bin is so much wider than the first that only a logarithmic axis shows both.
pub(crate) fn is_logarithmic(edges: &[f64]) -> bool {
    match edges {
        [first, second, .., last_but_one, last] if *first > 0.0 => {
            last - last_but_one >= 4.0 * (second - first)
        }
        _ => false,
    }
}

/// Where a value lies between the outer edges, 0…1, on the histogram's own axis.
pub(crate) fn place(edges: &[f64], value: f64) -> f64 {
    let (Some(&first), Some(&last)) = (edges.first(), edges.last()) else {
        return 0.0;
    };
    let log = is_logarithmic(edges);
    let axis = |x: f64| if log { x.max(first).ln() } else { x };
    let span = axis(last) - axis(first);
    if span > 0.0 {
        ((axis(value) - axis(first)) / span).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// Indices of the largest keys first; equal keys keep their order.
pub(crate) fn largest_first(keys: &[f64]) -> Vec<usize> {
    let key = |i: usize| keys.get(i).copied().unwrap_or(f64::NAN);
    // A few hundred keys at most: insertion is as fast as the library's sort and much smaller.
    let mut order: Vec<usize> = Vec::with_capacity(keys.len());
    for i in 0..keys.len() {
        let at = order.partition_point(|&j| key(j) >= key(i));
        order.insert(at, i);
    }
    order
}

/// The bars of a histogram; empty bins included, so that tables can be made from them.
pub(crate) fn bars(histogram: &Histogram) -> Vec<Bar> {
    let edges = &histogram.edges;
    let most = histogram.counts.iter().copied().max().unwrap_or(0);
    let top = (1.0 + most as f64).ln();
    let pairs = edges
        .iter()
        .zip(edges.iter().skip(1))
        .zip(&histogram.counts);
    pairs
        .map(|((&from, &to), &count)| {
            let x = place(edges, from);
            let height = if count == 0 {
                0.0
            } else {
                ((1.0 + count as f64).ln() / top).max(0.03)
            };
            Bar {
                x,
                width: place(edges, to) - x,
                height,
                from,
                to,
                count,
            }
        })
        .collect()
}

/// Counts worth a grid line on the logarithmic count axis, with their heights.
pub(crate) fn count_ticks(histogram: &Histogram) -> Vec<(u64, f64)> {
    let most = histogram.counts.iter().copied().max().unwrap_or(0);
    let top = (1.0 + most as f64).ln();
    let powers = std::iter::successors(Some(1u64), |p| p.checked_mul(10));
    let mut ticks: Vec<(u64, f64)> = powers
        .take_while(|p| *p <= most)
        .map(|p| (p, (1.0 + p as f64).ln() / top))
        .collect();
    if ticks.len() > 3 {
        ticks.retain(|(p, _)| p.ilog10() % 2 == 0);
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_starts_at_nothing_and_ends_at_the_maximum() {
        assert_eq!(heat(0.0, 5.0), 0.0);
        assert_eq!(heat(-1.0, 5.0), 0.0);
        assert_eq!(heat(1.0, 0.0), 0.0);
        assert!(heat(0.001, 5.0) > 0.05);
        assert!((heat(5.0, 5.0) - 1.0).abs() < 1e-12);
        assert!((heat(9.0, 5.0) - 1.0).abs() < 1e-12);
        assert!(heat(1.0, 5.0) < heat(2.0, 5.0));
    }

    #[test]
    fn the_slider_rests_at_zero_and_comes_back() {
        assert_eq!(slider_to_amount(0.0, 4.0), 0.0);
        assert_eq!(slider_to_amount(0.1, 4.0), 0.0);
        assert_eq!(slider_to_amount(1.0, 4.0), 4.0);
        for amount in [-4.0, -1.5, -0.25, 0.0, 0.05, 1.0, 2.3] {
            assert!(
                (slider_to_amount(amount_to_slider(amount, 4.0), 4.0) - amount).abs() < 1e-9,
                "{amount}"
            );
        }
    }

    #[test]
    fn classes_have_closed_cuts() {
        let cuts = ClassCuts::default();
        for (delta, class) in [
            (1.0, Class::ChatOnly),
            (0.9, Class::ChatOnly),
            (0.8999, Class::Other),
            (0.6, Class::Shared),
            (0.4, Class::Shared),
            (0.3999, Class::Other),
            (0.1, Class::BaseOnly),
            (0.0, Class::BaseOnly),
        ] {
            assert_eq!(class_of(delta, &cuts), class);
        }
        assert_eq!(bin_class(0.9, 0.91, &cuts), Class::ChatOnly);
        assert_eq!(bands(&cuts).map(|b| b.2)[2], Class::Shared);
    }

    #[test]
    fn the_largest_come_first() {
        assert_eq!(largest_first(&[0.5, 2.0, -1.0, 2.0]), [1, 3, 0, 2]);
    }

    #[test]
    fn bars_fill_the_axis() {
        let linear = Histogram {
            edges: vec![0.0, 0.5, 1.0],
            counts: vec![0, 9],
        };
        let drawn = bars(&linear);
        assert_eq!((drawn[0].height, drawn[1].height), (0.0, 1.0));
        assert_eq!((drawn[1].x, drawn[1].width), (0.5, 0.5));
        let logarithmic = Histogram {
            edges: vec![0.01, 0.1, 1.0, 10.0],
            counts: vec![1000, 10, 1],
        };
        assert!(is_logarithmic(&logarithmic.edges) && !is_logarithmic(&linear.edges));
        let drawn = bars(&logarithmic);
        assert!(
            drawn
                .iter()
                .all(|b| (b.width - 1.0 / 3.0).abs() < 1e-12 && b.height >= 0.03)
        );
        assert_eq!(
            count_ticks(&logarithmic)
                .iter()
                .map(|t| t.0)
                .collect::<Vec<_>>(),
            [1, 100]
        );
        assert!(bars(&Histogram::default()).is_empty());
    }
}
