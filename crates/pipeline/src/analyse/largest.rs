//! The few largest of many values.

/// Ids and values of the `wanted` largest, strongest first, equal ones by id; the id `without` is left out, and so is what is not a number.
pub(super) fn largest(
    values: impl IntoIterator<Item = f32>,
    wanted: usize,
    without: Option<u32>,
) -> Vec<(u32, f32)> {
    let mut kept: Vec<(u32, f32)> = Vec::with_capacity(wanted + 1);
    let mut least = f32::NEG_INFINITY;
    for (id, value) in (0u32..).zip(values) {
        // Ids rise, so that of equal values the one that is there stays.
        let enters = value > least || (kept.len() < wanted && !value.is_nan());
        if !enters || Some(id) == without {
            continue;
        }
        let place = kept.partition_point(|&(_, other)| other >= value);
        kept.insert(place, (id, value));
        kept.truncate(wanted);
        if kept.len() == wanted
            && let Some(&(_, last)) = kept.last()
        {
            least = last;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn the_strongest_come_first_and_equal_ones_by_id() {
        let values = [1.0, 3.0, f32::NAN, -2.0, 3.0, 2.0, f32::NEG_INFINITY];
        assert_eq!(largest(values, 2, None), [(1, 3.0), (4, 3.0)]);
        assert_eq!(largest(values, 2, Some(1)), [(4, 3.0), (5, 2.0)]);
        let ids = |wanted| -> Vec<u32> {
            let all = largest(values, wanted, None);
            all.into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(ids(9), [1, 4, 5, 0, 3, 6]);
        assert!(ids(0).is_empty());
        assert!(largest([], 3, None).is_empty());
    }
}
