//! The quick way for the most usual data of all, a flat list of whole numbers. It knows nothing of refusals: whatever is not as
//! usual is left to the careful way, which also says what is wrong.

use crate::datatype::Datatype;

/// Digits that no `i64` is too small for.
const MOST_DIGITS: u32 = 18;

/// The bytes of a JSON list (grammar checked) of so many numbers; `None` if it is anything else, or not for this datatype.
pub(super) fn read(list: &str, datatype: Datatype, count: usize) -> Option<Vec<u8>> {
    macro_rules! numbers {
        ($type:ty) => {
            numbers(list, count, |number| {
                <$type>::try_from(number).ok().map(<$type>::to_le_bytes)
            })
        };
    }
    match datatype {
        Datatype::Uint8 => numbers!(u8),
        Datatype::Uint16 => numbers!(u16),
        Datatype::Uint32 => numbers!(u32),
        Datatype::Uint64 => numbers!(u64),
        Datatype::Int8 => numbers!(i8),
        Datatype::Int16 => numbers!(i16),
        Datatype::Int32 => numbers!(i32),
        Datatype::Int64 => numbers!(i64),
        Datatype::Bool | Datatype::Fp16 | Datatype::Bf16 | Datatype::Fp32 | Datatype::Fp64 | Datatype::Bytes => None,
    }
}

fn numbers<const SIZE: usize>(
    list: &str,
    count: usize,
    bytes_of: impl Fn(i64) -> Option<[u8; SIZE]>,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(count * SIZE);
    let (mut is_negative, mut digits, mut value) = (false, 0, 0_i64);
    for byte in list.strip_prefix('[')?.bytes() {
        match byte {
            b'0'..=b'9' if digits < MOST_DIGITS => {
                value = value * 10 + i64::from(byte - b'0');
                digits += 1;
            }
            b'-' => is_negative = true,
            b' ' if digits == 0 => {}
            // -0 is no whole number in JSON's eyes
            b',' | b']' if digits > 0 && !(is_negative && value == 0) && bytes.len() < count * SIZE => {
                let number = if is_negative { -value } else { value };
                bytes.extend_from_slice(&bytes_of(number)?);
                (is_negative, digits, value) = (false, 0, 0);
            }
            _ => return None,
        }
    }
    (bytes.len() == count * SIZE).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int32(list: &str, count: usize) -> Option<Vec<i32>> {
        let bytes = read(list, Datatype::Int32, count)?;
        let chunks = bytes.chunks_exact(4);
        Some(
            chunks
                .map(|chunk| i32::from_le_bytes(chunk.try_into().unwrap()))
                .collect(),
        )
    }

    #[test]
    fn flat_whole_numbers_are_read() {
        let wanted = vec![0, -1, 2_147_483_647, -2_147_483_648, 40];
        let list = "[0,-1, 2147483647,-2147483648,  40]";
        assert_eq!(int32(list, 5), Some(wanted));
        assert_eq!(read("[255]", Datatype::Uint8, 1), Some(vec![255]));
    }

    #[test]
    fn whatever_is_unusual_is_left_to_the_careful_way() {
        for list in [
            "[]",
            "[1]",
            "[1,2,3]",
            "[1.0,2]",
            "[1e3,2]",
            "[-0,2]",
            "[1,[2]]",
            "[[1,2]]",
            "[1,2147483648]",
            "[1,9223372036854775808]",
            "[1,\"2\"]",
            "[1,null]",
            "[1 ,2]",
            "[1,\n2]",
        ] {
            assert_eq!(int32(list, 2), None, "{list}");
        }
        assert_eq!(read("[256]", Datatype::Uint8, 1), None);
        assert_eq!(read("[-1]", Datatype::Uint64, 1), None);
        assert_eq!(read("[1]", Datatype::Fp32, 1), None);
    }
}
