//! The chain against llama.cpp's samplers, choices against their distribution, and bad input.

#![expect(clippy::cast_possible_truncation, reason = "JSON and the generator speak f64")]

use super::*;
use serde_json::Value;

const GOLDENS: &str = include_str!("../../../tests/goldens/sampler.json");
/// llama.cpp sums in f32, Ledge in f64.
const RELATIVE: f64 = 2e-5;

fn number(case: &Value, field: &str) -> f32 {
    case[field].as_f64().expect("goldens hold numbers") as f32
}

fn count(case: &Value, field: &str) -> u32 {
    u32::try_from(case[field].as_u64().expect("goldens hold counts")).expect("small")
}

fn tokens(list: &Value) -> Vec<TokenId> {
    let list = list.as_array().expect("goldens hold lists");
    list.iter().map(|id| TokenId(u32::try_from(id.as_u64().expect("id")).expect("id"))).collect()
}

fn settings(case: &Value) -> Sampling {
    let dry = case.get("dry").map(|dry| Dry {
        multiplier: number(dry, "multiplier"),
        base: number(dry, "base"),
        allowed_length: count(dry, "allowed_length"),
        window: count(dry, "window"),
        breakers: Vec::new(),
    });
    let biases = case.get("logit_bias").and_then(Value::as_array).cloned().unwrap_or_default();
    let bias = |pair: &Value| {
        (tokens(&serde_json::json!([pair[0]]))[0], pair[1].as_f64().expect("number") as f32)
    };
    Sampling {
        temperature: number(case, "temperature"),
        top_k: count(case, "top_k"),
        top_p: number(case, "top_p"),
        min_p: number(case, "min_p"),
        typical_p: number(case, "typical_p"),
        repetition_penalty: number(case, "repetition_penalty"),
        frequency_penalty: number(case, "frequency_penalty"),
        presence_penalty: number(case, "presence_penalty"),
        penalty_window: count(case, "penalty_window"),
        dry,
        logit_bias: biases.iter().map(bias).collect(),
        seed: 0,
    }
}

/// The candidates that the last call left, best first, as `(token, probability)`.
fn kept(sampler: &Sampler) -> Vec<(u64, f64)> {
    let total: f64 = sampler.candidates.iter().map(|candidate| candidate.weight).sum();
    let list = sampler.candidates.iter();
    let mut list: Vec<_> = list.map(|c| (u64::from(c.token), c.weight / total)).collect();
    list.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    list
}

#[test]
fn chain_leaves_what_llama_cpp_leaves() {
    let goldens: Value = serde_json::from_str(GOLDENS).expect("the goldens are JSON");
    let history = tokens(&goldens["history"]);
    for case in goldens["cases"].as_array().expect("cases") {
        let row = &goldens["rows"][count(case, "row") as usize];
        let row = row.as_array().expect("row").iter();
        let logits: Vec<f32> = row.map(|x| x.as_f64().expect("number") as f32).collect();
        let mut sampler = Sampler::new(settings(case), logits.len()).expect("valid settings");
        sampler.sample(&logits, &history).expect("finite");
        let ours = kept(&sampler);
        let mut theirs =
            case["kept"].as_array().expect("kept").iter().map(|pair| {
                (pair[0].as_u64().expect("token"), pair[1].as_f64().expect("probability"))
            });
        assert_eq!(ours.len(), theirs.len(), "{:?}", sampler.settings());
        for (token, p) in ours {
            let (expected, q) = theirs.next().expect("as many");
            assert_eq!(token, expected, "{:?}", sampler.settings());
            assert!((p / q - 1.0).abs() < RELATIVE, "{token}: {p}, not {q}");
        }
    }
}

fn noise(vocabulary: usize, seed: u64) -> Vec<f32> {
    (0..vocabulary as u64).map(|i| (philox::uniform(seed, i) * 12.0 - 6.0) as f32).collect()
}

#[test]
fn selecting_equals_sorting_the_whole_vocabulary() {
    let vocabulary = 5_000;
    for (seed, top_p, min_p) in [(1, 0.9, 0.0), (2, 0.999, 0.0), (3, 0.95, 0.05), (4, 1.0, 0.2)] {
        let logits = noise(vocabulary, seed);
        let quick = Sampling { temperature: 1.0, top_p, min_p, ..Sampling::default() };
        let slow = Sampling { top_k: 4_999, ..quick.clone() };
        let mut quick = Sampler::new(quick, vocabulary).expect("valid");
        let mut slow = Sampler::new(slow, vocabulary).expect("valid");
        quick.sample(&logits, &[]).expect("finite");
        slow.sample(&logits, &[]).expect("finite");
        let ids = |sampler: &Sampler| kept(sampler).iter().map(|c| c.0).collect::<Vec<_>>();
        assert_eq!(ids(&quick), ids(&slow), "top_p {top_p}, min_p {min_p}");
    }
}

#[test]
fn the_best_few_are_those_of_the_sorted_vocabulary() {
    let vocabulary = 5_000;
    // Many equal logits, in all blocks; zeros without a sign.
    let logits: Vec<f32> = noise(vocabulary, 5).iter().map(|x| (x * 20.0).round() + 0.0).collect();
    let mut sorted: Vec<usize> = (0..vocabulary).collect();
    sorted.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    let mut sampler = Sampler::new(Sampling::default(), vocabulary).expect("valid");
    let mut top = Vec::new();
    for n in [1, 2, 40, 78, 79, 80, 300, 4_999, 5_000] {
        sampler.top_logprobs(&logits, n, &mut top).expect("finite");
        let best = top.iter().map(|sampled| sampled.token.index());
        assert!(best.eq(sorted[..n].iter().copied()), "{n}");
    }
}

#[test]
fn ties_go_to_the_lower_id() {
    let logits = [1.0, 3.0, 3.0, -0.0, 0.0, 3.0];
    let mut sampler = Sampler::new(Sampling::greedy(), 6).expect("valid");
    assert_eq!(sampler.sample(&logits, &[]).expect("finite").token, TokenId(1));
    let mut top = Vec::new();
    sampler.top_logprobs(&logits, 5, &mut top).expect("finite");
    let ids: Vec<u32> = top.iter().map(|sampled| sampled.token.0).collect();
    assert_eq!(ids, [1, 2, 5, 0, 3]);
    sampler.top_logprobs(&logits, 99, &mut top).expect("finite");
    let total: f32 = top.iter().map(|sampled| sampled.logprob.exp()).sum();
    assert!((total - 1.0).abs() < 1e-5);
}

#[test]
fn choices_follow_the_distribution_and_the_position() {
    let logits = [0.0_f32, 1.0, 2.0, f32::NEG_INFINITY];
    let plain = Sampling { temperature: 1.0, top_p: 1.0, min_p: 0.0, ..Sampling::default() };
    let mut sampler = Sampler::new(plain, 4).expect("valid");
    let history = vec![TokenId(0); 20_000];
    let mut seen = [0.0_f64; 4];
    for position in 0..history.len() {
        let sampled = sampler.sample(&logits, &history[..position]).expect("finite");
        let again = sampler.sample(&logits, &history[..position]).expect("finite");
        assert_eq!(sampled, again);
        seen[sampled.token.index()] += 1.0 / history.len() as f64;
    }
    for (token, share) in seen.iter().enumerate() {
        let expected = f64::from(logits[token].exp()) / (1.0 + 1_f64.exp() + 2_f64.exp());
        assert!((share - expected).abs() < 0.012, "{token}: {share}, not {expected}");
    }
}

#[test]
fn logprob_is_the_models_own() {
    let logits = [0.0, 2.0];
    let biased = Sampling { logit_bias: vec![(TokenId(0), 100.0)], ..Sampling::greedy() };
    let mut sampler = Sampler::new(biased, 2).expect("valid");
    let sampled = sampler.sample(&logits, &[]).expect("finite");
    assert_eq!(sampled.token, TokenId(0));
    assert!((sampled.logprob - (-2.126_928)).abs() < 1e-5, "{}", sampled.logprob);
}

#[test]
fn breakers_end_a_repetition() {
    let dry = Dry { breakers: vec![TokenId(9)], ..Dry::default() };
    let settings = Sampling { dry: Some(dry), ..Sampling::greedy() };
    let mut sampler = Sampler::new(settings, 10).expect("valid");
    let logits = [0.0, 0.1, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let ids = |list: &[u32]| list.iter().map(|&id| TokenId(id)).collect::<Vec<_>>();
    let mut next = |list| sampler.sample(&logits, &ids(list)).expect("finite").token.0;
    assert_eq!(next(&[1, 2, 3, 4, 1, 2]), 1);
    assert_eq!(next(&[1, 9, 3, 4, 1, 9]), 3);
    assert_eq!(next(&[9, 2, 3, 4, 9, 2]), 3);
}

#[test]
fn logits_that_cannot_be_sampled_are_refused() {
    let mut sampler = Sampler::new(Sampling::default(), 3).expect("valid");
    let mut refused = |logits: [f32; 3]| sampler.sample(&logits, &[]).expect_err("refused");
    let infinite = NonFinite::Logit { token: TokenId(2), value: f32::INFINITY };
    assert_eq!(refused([0.0, f32::NEG_INFINITY, f32::INFINITY]), infinite);
    assert_eq!(refused([0.0, f32::NAN, 1.0]).to_string(), "the logit of token 1 is NaN");
    assert_eq!(refused([f32::NEG_INFINITY; 3]), NonFinite::NothingLeft);
    let banned = (0..3).map(|id| (TokenId(id), f32::NEG_INFINITY)).collect();
    let all_banned = Sampling { logit_bias: banned, ..Sampling::default() };
    let mut sampler = Sampler::new(all_banned, 3).expect("valid");
    assert_eq!(sampler.sample(&[0.0; 3], &[]), Err(NonFinite::NothingLeft));
}

type Change = fn(&mut Sampling);

#[test]
fn settings_out_of_range_are_named() {
    let set = |change: fn(&mut Sampling)| {
        let mut settings = Sampling::default();
        change(&mut settings);
        Sampler::new(settings, 100).map(|_| ()).map_err(|error| error.to_string())
    };
    let cases: &[(Change, &str)] = &[
        (|s| s.temperature = f32::NAN, "temperature is NaN, but must be from 0 to 100"),
        (|s| s.temperature = -0.1, "temperature is -0.1, but must be from 0 to 100"),
        (|s| s.top_p = 0.0, "top_p is 0, but must be above 0 and at most 1"),
        (|s| s.min_p = 1.5, "min_p is 1.5, but must be from 0 to 1"),
        (|s| s.typical_p = f32::NAN, "typical_p is NaN, but must be above 0 and at most 1"),
        (
            |s| s.repetition_penalty = 0.0,
            "repetition_penalty is 0, but must be above 0 and at most 100",
        ),
        (
            |s| s.frequency_penalty = f32::INFINITY,
            "frequency_penalty is inf, but must be from -100 to 100",
        ),
        (
            |s| s.presence_penalty = f32::NAN,
            "presence_penalty is NaN, but must be from -100 to 100",
        ),
        (|s| s.penalty_window = 1 << 21, "penalty_window is 2097152, but must be at most 1048576"),
        (
            |s| s.dry = Some(Dry { base: 0.5, ..Dry::default() }),
            "dry.base is 0.5, but must be from 1 to 100",
        ),
        (
            |s| s.logit_bias = vec![(TokenId(100), 1.0)],
            "logit_bias is 100, but must be a token of the vocabulary",
        ),
        (
            |s| s.logit_bias = vec![(TokenId(1), f32::NAN)],
            "logit_bias is NaN, but must be a finite number or -inf",
        ),
    ];
    for (change, message) in cases {
        assert_eq!(set(*change), Err((*message).to_owned()));
    }
    assert_eq!(set(|s| s.top_k = u32::MAX), Ok(()));
}
