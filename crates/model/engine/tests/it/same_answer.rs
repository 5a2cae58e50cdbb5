//! The same answer twice: threads, chunks and earlier turns leave no trace in a result.

use crate::{continued, house, ids, load, request};
use plan::Uncontrolled;
use proptest::prelude::*;

const PROMPT: &str = "Once upon a time there was a king who had three daughters, and the youngest \
     of them was so fair that the sun himself, who has seen so much, wondered whenever he shone \
     upon her face. Near the castle lay a great dark forest, and in the forest, under an old \
     lime tree, there was a well; and when the day was warm";

#[test]
fn threads_and_chunks_change_no_bit() {
    let mut wanted: Option<(Vec<u32>, String)> = None;
    for (threads, chunk) in [(1, 512), (2, 64), (3, 7), (8, 1), (2, 1), (1, 7)] {
        let lm = load(&house(), &request(threads, chunk));
        let mut session = lm.session().unwrap();
        session.append(&ids(&lm, PROMPT), &Uncontrolled).unwrap();
        let logits = session.logits().iter().map(|x| x.to_bits()).collect();
        let got = (logits, continued(&lm, &mut session, 24));
        match &wanted {
            None => wanted = Some(got),
            Some(wanted) => assert_eq!(&got, wanted, "{threads} threads, chunks of {chunk}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn a_rewound_sequence_goes_on_as_a_fresh_one(keep in 1usize..40, tail in "[a-z ]{1,40}") {
        let lm = load(&house(), &request(2, 16));
        let start: Vec<_> = ids(&lm, PROMPT).into_iter().take(40).collect();
        let tail = ids(&lm, &tail);
        let mut session = lm.session().unwrap();
        session.append(&start, &Uncontrolled).unwrap();
        session.truncate(keep);
        session.append(&tail, &Uncontrolled).unwrap();
        let rewound: Vec<u32> = session.logits().iter().map(|x| x.to_bits()).collect();
        session.truncate(0);
        session.append(&[&start[..keep], &tail].concat(), &Uncontrolled).unwrap();
        let fresh: Vec<u32> = session.logits().iter().map(|x| x.to_bits()).collect();
        prop_assert_eq!(rewound, fresh);
    }
}
