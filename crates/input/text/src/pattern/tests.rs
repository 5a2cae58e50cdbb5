//! Patterns against pieces worked out by hand from the syntax's rules.

use super::{Pattern, Piece};

fn pieces(pattern: &str, text: &str) -> String {
    let mut out = Vec::new();
    Pattern::new(pattern).unwrap().split(text, &mut |start, end, what| {
        let piece = &text.as_bytes()[start..end];
        let piece = String::from_utf8(piece.to_vec()).unwrap();
        out.push(if what == Piece::Match { piece } else { format!("({piece})") });
    });
    out.join("|")
}

#[test]
fn patterns_cut_as_their_syntax_says() {
    let cases = [
        ("a+", "xaab", "(x)|aa|(b)"),
        ("a{2}", "aaaaa", "aa|aa|(a)"),
        ("a{2,}", "abaaa", "(ab)|aaa"),
        ("a{1,2}?", "aaa", "a|a|a"),
        ("ab|a", "aab", "a|ab"),
        (r"\s+(?!\S)|\s+", "a   b  ", "(a)|  | |(b)|  "),
        (r"(?=(\d{3})+(?!\d))", "1234567", "(1)|(234)|(567)"),
        (r"(?i:'s|'ll)", "A'S x'lL y'ſ", "(A)|'S|( x)|'lL|( y)|'ſ"),
        (r"[^\r\n\p{L}]?+\p{L}+", "a-bc", "a|-bc"),
        (r"\s?\p{L}+", "ж é ß1", "ж| é| ß|(1)"),
        (r"[\p{L}&&[^\p{Han}]]+", "ab中c", "ab|(中)|c"),
        (r"(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+", "a b  c", "a b|(  )|c"),
        (r"[a\-z]+", "-a-bz", "-a-|(b)|z"),
        (r"[^(\s|.)]+", "ab|c(d)", "ab|(|)|c|(()|d|())"),
        (r"\bfoo\b", "foo food foo", "foo|( food )|foo"),
        (r"^a|b$", "aab", "a|(a)|b"),
        (r"[\x{4E00}-\x{9FA5}\xB5]+", "x中µy", "(x)|中µ|(y)"),
        (r"{2", "a{2", "(a)|{2"),
        (r"\w+|[^\w\s]+", "héy, you!", "héy|,|( )|you|!"),
        ("x", "", ""),
    ];
    for (pattern, text, want) in cases {
        assert_eq!(pieces(pattern, text), want, "{pattern} on {text:?}");
    }
}

#[test]
fn broken_patterns_name_the_place() {
    let cases = [
        ("(a", "unmatched `(` at character 0"),
        ("a)", "unmatched `)` at character 1"),
        ("[a", "unmatched `[` at character 0"),
        ("a**", "repeated repetition at character 2"),
        ("*a", "nothing to repeat at character 0"),
        (r"(?<=a)b", "this kind of group is not supported at character 0"),
        (r"(a)\1", "back references are not supported at character 3"),
        (r"\p{Klingon}", "unknown character property at character 2"),
        ("a{3,2}", "bad counts in braces at character 1"),
        ("a{5000}", "a count above 1024 at character 5"),
        ("(a*)*", "a repetition of what may be nothing at character 0"),
        ("[z-a]", "a range that runs backwards at character 4"),
    ];
    for (pattern, want) in cases {
        let error = Pattern::new(pattern).unwrap_err().to_string();
        assert!(error.ends_with(want), "{pattern}: {error}");
    }
    let deep = "(".repeat(60) + &")".repeat(60);
    assert!(Pattern::new(&deep).is_err());
    assert!(Pattern::new("((ab){1000}){1000}").is_err());
}

#[test]
fn a_pattern_that_blows_up_stops_cutting() {
    let text = "a".repeat(100_000) + "!";
    let pattern = r"(?:a|aa)+(?:a|aa)+(?:a|aa)+b";
    let mut total = 0;
    Pattern::new(pattern).unwrap().split(&text, &mut |start, end, _| total += end - start);
    assert_eq!(total, text.len());
}
