//! Short lists of small numbers as few bytes: token ids, rising positions, codes of two bits.

/// Numbers of seven bits a byte, the lowest first; the high bit says that more follow.
pub(crate) fn numbers(numbers: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 * numbers.len());
    for &number in numbers {
        let mut rest = number;
        while rest > 0x7f {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    bytes
}

/// What [`numbers`] packed; `None` for bytes that it does not write.
pub(crate) fn unpack_numbers(bytes: &[u8]) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    let (mut number, mut shift) = (0u32, 0);
    for &byte in bytes {
        let part = u32::from(byte & 0x7f);
        let shifted = part.checked_shl(shift)?;
        if shifted >> shift != part {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            numbers.push(number);
            (number, shift) = (0, 0);
        } else {
            shift += 7;
        }
    }
    (shift == 0).then_some(numbers)
}

/// Rising numbers, by their distances.
pub(crate) fn rising(rising: &[u32]) -> Vec<u8> {
    let before = [0].into_iter().chain(rising.iter().copied());
    let steps: Vec<u32> = rising
        .iter()
        .zip(before)
        .map(|(n, b)| n.wrapping_sub(b))
        .collect();
    numbers(&steps)
}

/// What [`rising`] packed.
pub(crate) fn unpack_rising(bytes: &[u8]) -> Option<Vec<u32>> {
    let mut number = 0u32;
    let steps = unpack_numbers(bytes)?.into_iter();
    Some(
        steps
            .map(|step| {
                number = number.wrapping_add(step);
                number
            })
            .collect(),
    )
}

/// Codes 0 to 3, four in a byte, the first in the lowest bits.
pub(crate) fn codes(codes: &[u8]) -> Vec<u8> {
    codes
        .chunks(4)
        .map(|four| {
            let shifted = four
                .iter()
                .zip([0, 2, 4, 6])
                .map(|(code, shift)| (code & 3) << shift);
            shifted.fold(0, |byte, code| byte | code)
        })
        .collect()
}

/// `count` codes that [`codes`] packed; `None` where the bytes are too few or too many.
pub(crate) fn unpack_codes(bytes: &[u8], count: usize) -> Option<Vec<u8>> {
    (bytes.len() == count.div_ceil(4)).then(|| {
        bytes
            .iter()
            .flat_map(|byte| [0, 2, 4, 6].map(|shift| (byte >> shift) & 3))
            .take(count)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let all = [0, 1, 127, 128, 16_383, 16_384, 255_999, u32::MAX];
        assert_eq!(unpack_numbers(&numbers(&all)).unwrap(), all);
        assert_eq!(numbers(&[5, 127]).len(), 2);
        assert_eq!(unpack_rising(&rising(&all)).unwrap(), all);
        // Not rising, as a damaged caller might have it: still the same numbers.
        let falling = [9, 3, u32::MAX, 0];
        assert_eq!(unpack_rising(&rising(&falling)).unwrap(), falling);
        assert!(unpack_numbers(&[0x80]).is_none());
        assert!(unpack_numbers(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).is_none());
        assert!(unpack_numbers(&[]).unwrap().is_empty());
    }

    #[test]
    fn codes_come_back() {
        for count in 0..10 {
            let all: Vec<u8> = (0..count).map(|i| (i * 7 % 3) as u8).collect();
            let packed = codes(&all);
            assert_eq!(unpack_codes(&packed, count), Some(all));
            assert_eq!(unpack_codes(&packed, count + 4), None);
        }
    }
}
