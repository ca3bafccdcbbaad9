//! The binary block of whole columns of the latent table.

/// Columns of a block: little-endian, rows and columns as u32, then each column as f32 values.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Vec<f32>>, String> {
    let mut words = bytes
        .chunks_exact(4)
        .filter_map(|word| <[u8; 4]>::try_from(word).ok());
    let mut count = || {
        words
            .next()
            .map(u32::from_le_bytes)
            .ok_or("The block of columns has no counts.")
    };
    let (rows, columns) = (count()? as usize, count()? as usize);
    let values: Vec<f32> = words.map(f32::from_le_bytes).collect();
    if Some(values.len()) != rows.checked_mul(columns) || !bytes.len().is_multiple_of(4) {
        return Err(format!(
            "The block of columns has {} values, expected {rows} × {columns}.",
            values.len()
        ));
    }
    Ok(values.chunks(rows.max(1)).map(<[f32]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_or_refused() {
        let mut block: Vec<u8> = [2u32, 2].iter().flat_map(|n| n.to_le_bytes()).collect();
        block.extend(
            [1.0f32, 2.0, 3.0, -4.0]
                .iter()
                .flat_map(|x| x.to_le_bytes()),
        );
        assert_eq!(read(&block).unwrap(), [[1.0, 2.0], [3.0, -4.0]]);
        assert!(read(&block[..20]).unwrap_err().contains("expected 2 × 2"));
        assert!(read(&block[..23]).is_err());
        assert!(read(&[0, 1]).unwrap_err().contains("no counts"));
    }
}
