//! Tensors: what fits together and what does not, rows cut out and put together again, and the digest.

use gristmill_schemas::{
    Datatype, Digest, Tensor,
    tensor::{self, MAX_NAME, MAX_RANK, TensorError},
};
use proptest::prelude::*;

fn refusal(datatype: Datatype, shape: &[u64], data: &[u8]) -> TensorError {
    Tensor::new("x", datatype, shape.to_vec(), data.to_vec()).unwrap_err()
}

#[test]
fn rank_is_bounded() {
    let ones = |rank| Tensor::new("x", Datatype::Uint8, vec![1; rank], vec![0]);
    assert!(ones(0).is_ok());
    assert!(ones(MAX_RANK).is_ok());
    assert_eq!(ones(MAX_RANK + 1), Err(TensorError::Rank(MAX_RANK + 1)));
    assert_eq!(ones(1000), Err(TensorError::Rank(1000)));
}

#[test]
fn shape_that_overflows_is_refused_whatever_the_data() {
    for datatype in Datatype::ALL {
        assert_eq!(refusal(datatype, &[1 << 32, 1 << 32], &[]), TensorError::Overflow);
        assert_eq!(refusal(datatype, &[1 << 32, 1 << 32, 0], &[]), TensorError::Overflow);
    }
    // 2^61 elements are a number, eight times as many bytes are none
    assert_eq!(refusal(Datatype::Fp64, &[1 << 61], &[]), TensorError::Overflow);
    assert_eq!(tensor::byte_count(Datatype::Uint8, &[1 << 61]), Ok(Some(1 << 61)));
}

#[test]
fn data_must_fill_the_shape_to_the_byte() {
    for datatype in Datatype::ALL.into_iter().filter(|d| d.element_size().is_some()) {
        let size = 6 * datatype.element_size().unwrap();
        assert!(Tensor::new("x", datatype, vec![2, 3], vec![0; size]).is_ok());
        for wrong in [0, size - 1, size + 1] {
            let expected = TensorError::Length {
                expected: size as u64,
                actual: wrong as u64,
                unit: "bytes",
            };
            assert_eq!(refusal(datatype, &[2, 3], &vec![0; wrong]), expected);
        }
    }
}

#[test]
fn bytes_framing_is_checked() {
    let framed = |shape: &[u64], data: &[u8]| Tensor::new("x", Datatype::Bytes, shape.to_vec(), data.to_vec());
    let elements = |expected, actual| {
        Err(TensorError::Length {
            expected,
            actual,
            unit: "elements",
        })
    };
    assert!(framed(&[0], &[]).is_ok());
    assert!(framed(&[2], &[0, 0, 0, 0, 1, 0, 0, 0, b'a']).is_ok());
    assert!(framed(&[], &[1, 0, 0, 0, b'a']).is_ok());
    assert_eq!(framed(&[1], &[]), elements(1, 0));
    assert_eq!(framed(&[1], &[0; 8]), elements(1, 2));
    assert_eq!(framed(&[1 << 40], &[0; 8]), elements(1 << 40, 2));
    assert_eq!(framed(&[1], &[0, 0, 0]), Err(TensorError::Framing(0)));
    assert_eq!(
        framed(&[2], &[0, 0, 0, 0, 2, 0, 0, 0, b'a']),
        Err(TensorError::Framing(1))
    );
    assert_eq!(framed(&[1], &[0xff; 6]), Err(TensorError::Framing(0)));
}

#[test]
fn bool_elements_are_zero_or_one() {
    assert!(Tensor::new("x", Datatype::Bool, vec![2], vec![0, 1]).is_ok());
    assert_eq!(refusal(Datatype::Bool, &[2], &[1, 2]), TensorError::Bool(1));
}

#[test]
fn names_are_printable_ascii() {
    for name in ["x", "input:0", "a/b.c", &"n".repeat(MAX_NAME)] {
        assert_eq!(tensor::check_name(name), Ok(()), "{name:?}");
    }
    for name in ["", "a b", "a\n", "\0", "ä", &"n".repeat(MAX_NAME + 1)] {
        assert_eq!(tensor::check_name(name), Err(TensorError::Name), "{name:?}");
    }
}

#[test]
fn rows_of_an_empty_tensor_can_be_sliced_whatever_its_other_dimensions() {
    for datatype in [Datatype::Fp64, Datatype::Bytes] {
        let empty = Tensor::new("x", datatype, vec![0, 1 << 40, 1 << 40], vec![]).unwrap();
        assert_eq!(empty.slice_rows(0..0), empty);
    }
}

#[test]
#[should_panic(expected = "rows 1..3 of [2]")]
fn slice_past_the_end_panics() {
    let _ = Tensor::from_f32("x", vec![2], &[1.0, 2.0]).unwrap().slice_rows(1..3);
}

#[test]
#[should_panic(expected = "parts of one tensor differ")]
fn parts_of_different_row_shapes_are_not_concatenated() {
    let part = |shape: &[u64]| Tensor::from_f32("x", shape.to_vec(), &[1.0, 2.0]).unwrap();
    let _ = Tensor::concat_rows(&[part(&[1, 2]), part(&[2, 1])]);
}

/// A fixed-size datatype and its tensor of `rows` × `columns`.
fn fixed() -> impl Strategy<Value = Tensor> {
    let datatypes: Vec<_> = Datatype::ALL
        .into_iter()
        .filter(|datatype| !matches!(datatype, Datatype::Bytes | Datatype::Bool))
        .collect();
    (prop::sample::select(datatypes), 0_u64..6, 0_u64..4).prop_flat_map(|(datatype, rows, columns)| {
        let size = (rows * columns) as usize * datatype.element_size().unwrap();
        let data = prop::collection::vec(any::<u8>(), size);
        data.prop_map(move |data| Tensor::new("x", datatype, vec![rows, columns], data).unwrap())
    })
}

/// A BYTES tensor of `rows` × 2.
fn framed() -> impl Strategy<Value = Tensor> {
    let row = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 2);
    prop::collection::vec(row, 0..6).prop_map(|rows| {
        let flat = Tensor::from_elements("x", &rows.concat()).unwrap();
        Tensor::new("x", Datatype::Bytes, vec![rows.len() as u64, 2], flat.data().clone()).unwrap()
    })
}

proptest! {
    #[test]
    fn slices_put_together_are_the_tensor(tensor in prop_oneof![fixed(), framed()], cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        let rows = tensor.rows();
        let mut cuts: Vec<u64> = cuts.iter().map(|cut| cut.index(rows as usize + 1) as u64).collect();
        cuts.extend([0, rows]);
        cuts.sort_unstable();
        let slices: Vec<Tensor> = cuts.windows(2).map(|cut| tensor.slice_rows(cut[0]..cut[1])).collect();
        for (slice, cut) in slices.iter().zip(cuts.windows(2)) {
            prop_assert_eq!(slice.rows(), cut[1] - cut[0]);
            let checked = Tensor::new("x", slice.datatype(), slice.shape().to_vec(), slice.data().clone());
            prop_assert_eq!(checked.as_ref(), Ok(slice));
        }
        prop_assert_eq!(Tensor::concat_rows(&slices), tensor);
    }

    #[test]
    fn elements_come_back(elements in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8)) {
        let tensor = Tensor::from_elements("x", &elements).unwrap();
        prop_assert_eq!(tensor.shape(), [elements.len() as u64]);
        let back: Vec<Vec<u8>> = tensor.elements().map(Vec::from).collect();
        prop_assert_eq!(back, elements);
    }

    #[test]
    fn f32_values_come_back(values in prop::collection::vec(any::<f32>(), 0..8)) {
        let tensor = Tensor::from_f32("x", vec![values.len() as u64], &values).unwrap();
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        prop_assert_eq!(bits(tensor.f32_values().collect()), bits(values));
    }
}

#[test]
fn digest_changes_with_every_part() {
    let tensor = |name: &str, datatype, shape: &[u64], data: &[u8]| {
        Tensor::new(name, datatype, shape.to_vec(), data.to_vec()).unwrap()
    };
    let one = || tensor("x", Datatype::Int8, &[2, 1], &[1, 2]);
    let other = || tensor("y", Datatype::Int8, &[2, 1], &[1, 2]);
    let lists = [
        vec![],
        vec![one()],
        vec![other()],
        vec![tensor("x", Datatype::Uint8, &[2, 1], &[1, 2])],
        vec![tensor("x", Datatype::Int8, &[1, 2], &[1, 2])],
        vec![tensor("x", Datatype::Int8, &[2], &[1, 2])],
        vec![tensor("x", Datatype::Int8, &[2, 1], &[1, 3])],
        vec![tensor("x", Datatype::Int8, &[0], &[])],
        vec![one(), other()],
        vec![other(), one()],
        vec![one(), one()],
        vec![Tensor::from_elements("x", &["ab", "c"]).unwrap()],
        vec![Tensor::from_elements("x", &["a", "bc"]).unwrap()],
    ];
    for (index, list) in lists.iter().enumerate() {
        for earlier in &lists[..index] {
            assert_ne!(
                Digest::of_tensors(list),
                Digest::of_tensors(earlier),
                "{list:?} and {earlier:?}"
            );
        }
    }
}

#[test]
fn digest_is_the_one_that_its_documentation_describes() {
    let tensor = Tensor::new("x", Datatype::Int8, vec![2, 1], vec![1, 2]).unwrap();
    let number = |n: u64| n.to_le_bytes().to_vec();
    let described = [
        number(1),
        b"x".to_vec(),
        number(4),
        b"INT8".to_vec(),
        number(2),
        number(2),
        number(1),
        number(2),
        vec![1, 2],
    ];
    assert_eq!(Digest::of_tensors(&[tensor]), Digest::of(&described.concat()));
}
