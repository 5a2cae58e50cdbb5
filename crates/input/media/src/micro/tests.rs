use super::*;

/// What the package pymicro-features 2.0.2 gives, one line a frame of 40 numbers
/// (tools/goldens/micro.py).
const GOLDEN: &str = include_str!("../../tests/goldens/micro.txt");

/// The same sound as there: a tone that rises, noise on it, and silence in between.
fn sound() -> Vec<i16> {
    let mut seed = 1u32;
    (0..16_000i64)
        .map(|i| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = i64::from(seed >> 16) - 32_768;
            let loud = [60, 3_000, 0, 30_000][usize::try_from(i / 4_000).unwrap()];
            // A triangle whose period shrinks.
            let phase = (i * i / 40) % 400;
            let tone = (phase - 200).abs() * 2 - 200;
            let both = tone * loud / 200 + noise * loud / 300_000;
            i16::try_from(both.clamp(-32_768, 32_767)).unwrap()
        })
        .collect()
}

#[test]
fn features_are_those_of_the_microcontroller() {
    let sound = sound();
    let want: Vec<Vec<u16>> = GOLDEN
        .lines()
        .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
        .collect();
    assert!(want.len() > 90);
    for chunk in [1, 7, 160, 1_000, 16_000] {
        let mut micro = Micro::new();
        let frames: Vec<[u16; CHANNELS]> =
            sound.chunks(chunk).flat_map(|chunk| micro.hear(chunk)).collect();
        assert_eq!(frames.len(), want.len());
        for (i, (got, want)) in frames.iter().zip(&want).enumerate() {
            assert_eq!(got[..], want[..], "frame {i}, chunks of {chunk}");
        }
    }
}

#[test]
fn any_sound_is_heard() {
    for level in [i16::MIN, -1, 0, 1, i16::MAX] {
        assert_eq!(Micro::new().hear(&vec![level; 4_000]).len(), 23);
    }
    let square: Vec<i16> =
        (0..4_000).map(|i| if i / 8 % 2 == 0 { i16::MIN } else { i16::MAX }).collect();
    assert_eq!(Micro::new().hear(&square).len(), 23);
}
