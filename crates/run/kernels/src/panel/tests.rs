//! Packing loses nothing: every type, row counts and lengths around the panel's.

use super::*;
use crate::samples::{Bits, Contents, row, same, types};

#[test]
fn a_packed_row_decodes_like_the_stored_one() {
    let mut bits = Bits(7);
    for ty in types() {
        let block = usize::try_from(ty.block_elements()).unwrap();
        for blocks in [1, 2, 3, 5] {
            for rows in [1, 15, 16] {
                for contents in [Contents::Ordinary, Contents::Scales] {
                    let k = block * blocks;
                    let stored: Vec<Vec<u8>> =
                        (0..rows).map(|_| row(ty, k, contents, &mut bits)).collect();
                    let stored: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
                    let mut panel = vec![0xaa; panel_bytes(ty, k).unwrap()];
                    pack(ty, k, &stored, &mut panel);
                    let panels = Panels::new(ty, rows, k, &panel);
                    let (mut want, mut got) = (vec![0.0; k], vec![0.0; k]);
                    for (r, stored) in stored.iter().enumerate() {
                        tensor::decode_row(ty, stored, &mut want);
                        panels.decode_row(r, &mut got);
                        let equal = want.iter().zip(&got).all(|(&a, &b)| same(a, b));
                        assert!(equal, "{ty} k {k} row {r}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_block_survives_the_way_through_a_panel() {
    struct Trip(TensorType, Bits);
    impl Visit for Trip {
        type Output = ();
        fn visit<L: Layout>(mut self) {
            let mut unit = vec![0; L::Unit::LEN];
            let unit = &mut L::Unit::split_mut(&mut unit)[0];
            let stored: Vec<Vec<u8>> = (0..L::BLOCKS * LANES)
                .map(|_| row(self.0, L::BLOCK_K, Contents::Ordinary, &mut self.1))
                .collect();
            for (i, block) in stored.iter().enumerate() {
                L::pack(&L::Block::split(block)[0], i / LANES, i % LANES, unit);
            }
            for (i, block) in stored.iter().enumerate() {
                let back = L::unpack(unit, i / LANES, i % LANES);
                assert_eq!(back.as_slice(), block.as_slice(), "{} block {i}", self.0);
            }
        }
    }
    for ty in types() {
        assert_eq!(visit(ty, Trip(ty, Bits(11))), Some(()));
    }
    assert_eq!(panel_bytes(TensorType::Plain(DType::I32), 64), None);
}

#[test]
fn bits_a_weight_are_those_of_the_layout() {
    for (ty, k, bytes) in [
        ("Q4_0", 64, 576),
        ("Q4_1", 64, 640),
        ("Q5_0", 64, 704),
        ("Q5_1", 64, 768),
        ("Q8_0", 32, 1088),
        ("MXFP4", 32, 1088),
        ("IQ4_NL", 96, 2 * 576),
        ("Q4_K", 256, 2304),
        ("Q5_K", 512, 2 * 2816),
        ("Q6_K", 256, 3392),
        ("Q3_K", 256, 1792),
        ("Q2_K", 256, 1344),
        ("IQ4_XS", 256, 2176),
        ("F16", 3, 96),
        ("BF16", 3, 128),
        ("F32", 3, 192),
    ] {
        let ty: TensorType = ty.parse().unwrap();
        assert_eq!(panel_bytes(ty, k), Some(bytes), "{ty}");
        assert_eq!(packed_bytes(ty, 17, k), Some(2 * bytes), "{ty}");
    }
}
