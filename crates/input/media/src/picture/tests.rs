use super::*;

/// A picture of 23 by 17 pixels, and what Pillow 13.0 makes of it (tools/goldens/pictures.py).
const PNG: &[u8] = include_bytes!("../../tests/goldens/small.png");
const JPEG: &[u8] = include_bytes!("../../tests/goldens/small.jpg");
const GOLDEN: &str = include_str!("../../tests/goldens/pictures.txt");

/// CRC-32 of ISO 3309, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

#[test]
fn sizes_and_greys_are_pillows() {
    let picture = Picture::decode(PNG).unwrap();
    assert_eq!((picture.width(), picture.height()), (23, 17));
    let mut cases = 0;
    for line in GOLDEN.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[kind, filter, width, height, want] = &words[..] else { panic!("{line}") };
        let filter = match filter {
            "nearest" => Filter::Nearest,
            "bilinear" => Filter::Bilinear,
            "bicubic" => Filter::Bicubic,
            other => panic!("{other}"),
        };
        let (width, height) = (width.parse().unwrap(), height.parse().unwrap());
        let bytes = match kind {
            "resize" => picture.fitted(width, height, Fit::Stretch, filter).bytes(Colours::Rgb),
            "grey" => picture.fitted(width, height, Fit::Stretch, filter).bytes(Colours::Grey),
            "crop" => picture.shorter(20, filter).window(width, height).bytes(Colours::Rgb),
            other => panic!("{other}"),
        };
        assert_eq!(format!("{:08x}", crc(&bytes)), want, "{line}");
        cases += 1;
    }
    assert!(cases >= 12);
}

#[test]
fn numbers_stand_where_the_network_wants_them() {
    let picture = Picture::new(2, 1, vec![10, 20, 30, 40, 50, 60]).unwrap();
    let by = Normalise { scale: 1.0, mean: [1.0, 2.0, 3.0], deviation: [1.0, 2.0, 10.0] };
    let last = picture.numbers(Colours::Rgb, Layout::Last, &by);
    assert_eq!(last, [9.0, 9.0, 2.7, 39.0, 24.0, 5.7]);
    let first = picture.numbers(Colours::Bgr, Layout::First, &by);
    assert_eq!(first, [29.0, 59.0, 9.0, 24.0, 0.7, 3.7]);
    assert_eq!(picture.arranged(Colours::Grey, Layout::First), [18, 48]);
}

#[test]
fn everything_of_a_padded_picture_is_inside() {
    let picture = Picture::new(4, 2, vec![200; 24]).unwrap();
    let padded = picture.fitted(6, 6, Fit::Pad, Filter::Bilinear);
    let rows: Vec<u8> = padded.pixels().chunks(18).map(|row| row[0]).collect();
    assert_eq!(rows, [0, 200, 200, 200, 0, 0]);
    let cropped = picture.fitted(2, 2, Fit::Crop, Filter::Bilinear);
    assert_eq!(cropped.pixels(), [200; 12]);
}

#[test]
fn what_is_no_picture_is_told() {
    assert_eq!(Picture::decode(b"nothing at all"), Err(PictureError::Other));
    assert_eq!(Picture::decode(b"GIF89a\x01\0\x01\0\0\0\0"), Err(PictureError::Other));
    for file in [PNG, JPEG] {
        assert!(Picture::decode(file).is_ok());
        for end in [20, 60, file.len() / 3] {
            let error = Picture::decode(&file[..end]).unwrap_err();
            assert!(matches!(error, PictureError::Damaged { .. }), "{error}");
        }
    }
    // A head that claims four billion pixels.
    let mut file = PNG.to_vec();
    file[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    assert!(Picture::decode(&file).is_err());
}
