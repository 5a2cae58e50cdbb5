use std::path::Path;

use super::*;

fn said(findings: &[Finding]) -> String {
    findings.iter().flat_map(|finding| [finding.to_string(), "\n".into()]).collect()
}

/// Runs `check` on files given as (path, text) and compares what it says.
fn check(check: Check, files: &[(&str, &str)], expected: &str) {
    let files: Vec<_> = files.iter().map(|(path, text)| SourceFile::new(*path, *text)).collect();
    assert_eq!(said(&check(&files)), expected);
}

#[test]
fn the_workspace_is_tidy() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let files = source::read_all(root).unwrap();
    assert!(files.iter().any(|file| file.path == "layers.toml"));
    assert_eq!(said(&find(root, &files).unwrap()), "");
}

#[test]
fn patterns_match_within_a_folder() {
    let cases = [
        ("a/*/c.rs", "a/b/c.rs", true),
        ("a/*/c.rs", "a/b/b/c.rs", false),
        ("a/b*.rs", "a/bcd.rs", true),
        ("a/b*.rs", "a/c.rs", false),
        ("a/b/**", "a/b/c/d.rs", true),
        ("a/*/**", "a/b/c/d.rs", true),
        ("a/b/**", "a/c/d.rs", false),
        ("a/b/**", "a", false),
    ];
    for (pattern, path, expected) in cases {
        assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
    }
}

#[test]
fn unsafe_stays_in_its_fence() {
    check(
        fences::unsafe_code,
        &[
            ("crates/run/kernels/src/gemm/avx2.rs", "unsafe { f() }"),
            ("crates/run/kernels/src/gemm.rs", "// unsafe\nlet s = \"unsafe\";\nunsafe { f() }"),
        ],
        "crates/run/kernels/src/gemm.rs:3: `unsafe` here; use a fenced module's safe function\n",
    );
}

#[test]
fn the_target_is_asked_for_behind_doors() {
    check(
        fences::cfg_doors,
        &[
            ("crates/run/kernels/src/isa.rs", "#[cfg(target_arch = \"x86_64\")]"),
            ("crates/input/text/src/lib.rs", "#[cfg(test)]\n#[cfg(target_os = \"linux\")]"),
        ],
        "crates/input/text/src/lib.rs:2: `cfg(target_*)` here; \
         ask one of the modules that are doors\n",
    );
}

#[test]
fn heads_have_two_sentences() {
    check(
        heads::module_heads,
        &[
            ("a/src/good.rs", "//! What for.\n//! What holds.\n"),
            ("a/src/lib.rs", "//! What. And why.\npub mod short;\nmod inner;\n"),
            ("a/src/short.rs", "//! The cache module.\n"),
            ("a/src/inner.rs", "//! A part of it.\n"),
            ("a/src/none.rs", "use x;\n"),
            ("a/src/x/tests.rs", "use x;\n"),
        ],
        "a/src/short.rs:1: the module head is one sentence; \
         add what always holds or what it follows\n\
         a/src/none.rs:1: no module head; begin with `//!` and what for\n",
    );
}

#[test]
fn modules_are_reached_from_a_root() {
    check(
        dead::unreachable_modules,
        &[
            ("a/Cargo.toml", ""),
            ("a/src/lib.rs", "pub mod b;\n// mod d;\n#[path = \"odd_name.rs\"]\nmod odd;"),
            ("a/src/b.rs", "mod c;"),
            ("a/src/b/c.rs", ""),
            ("a/src/d.rs", ""),
            ("a/src/odd_name.rs", ""),
            ("a/tests/it/main.rs", "mod e;"),
            ("a/tests/it/e.rs", ""),
            ("a/tests/it/f.rs", ""),
        ],
        "a/src/d.rs: no `mod` leads here; declare the module or remove the file\n\
         a/tests/it/f.rs: no `mod` leads here; declare the module or remove the file\n",
    );
}

#[test]
fn fixtures_and_pages_are_named() {
    check(
        dead::unnamed_files,
        &[
            ("a/tests/it/main.rs", "read(\"seven.json\")"),
            ("a/tests/fixtures/seven.json", ""),
            ("a/tests/fixtures/eight.json", ""),
            ("docs/pages.md", ""),
            ("docs/lost.md", ""),
            ("README.md", "docs/pages.md"),
        ],
        "a/tests/fixtures/eight.json: nobody names this file; use it or remove it\n\
         docs/lost.md: nobody names this file; use it or remove it\n",
    );
}

#[test]
fn dependencies_are_used_and_explained() {
    check(
        dead::dependencies,
        &[
            ("Cargo.toml", "[workspace.dependencies]\na = \"1\"\nb = \"1\"\nc = { path = \"c\" }"),
            ("x/Cargo.toml", "[dependencies]\na.workspace = true\nc = { workspace = true }"),
            ("docs/dependencies.md", "| crate | why |\n|---|---|\n| a | x |\n| z | x |"),
        ],
        "Cargo.toml: no crate uses `b`; remove it\n\
         Cargo.toml: docs/dependencies.md has no line for `b`; say why and what it drags in\n\
         docs/dependencies.md: `z` is not in [workspace.dependencies]; remove its line\n",
    );
}

#[test]
fn markers_name_an_issue() {
    check(
        markers::markers,
        &[("a.rs", "// TODO(#7) later\n// TODO later\nlet todo = \"TODO\";\n")],
        "a.rs:2: TODO without an issue; do it, or write `TODO(#123)`\n",
    );
}

#[test]
fn code_does_not_stand_in_comments() {
    check(
        markers::commented_code,
        &[(
            "a.rs",
            "// let a = f(b);\n// return a;\n/// let a = f(b);\n// Says why;\n// f(x) is why.\n",
        )],
        "a.rs:1: code in a comment; remove it, git keeps it\n",
    );
}

#[test]
fn names_say_something() {
    check(
        names::banned,
        &[(
            "a.rs",
            "struct CacheManager;\nstruct ModelInfo { data: u8 }\n    data: u8,\nlet mut info = 1;\n\
             fn process() {}\nuse std::process;\nlet data_rows = x.context(1);\nlet context_tokens = 1;\n",
        )],
        "a.rs:1: `CacheManager` says nothing; say what it does: pool, table, ledger, planner\n\
         a.rs:2: `ModelInfo` says nothing; name the record: header, facts, layout\n\
         a.rs:3: `data` says nothing; bytes, values, rows, text: what it is\n\
         a.rs:4: `info` says nothing; name the record: header, facts, layout\n\
         a.rs:5: `process` says nothing; run, encode, decode, pack: what is done\n",
    );
}

#[test]
fn goldens_have_notes() {
    check(
        goldens::notes,
        &[
            ("a/tests/goldens/x.bin", ""),
            ("a/tests/goldens/x.toml", "command = \"make x\""),
            ("a/tests/goldens/y.bin", ""),
            ("a/tests/goldens/z.toml", "seed = 1"),
        ],
        "a/tests/goldens/z.toml: no `command = …`: say how the golden was made\n\
         a/tests/goldens/y.bin: a golden without a `.toml` that names its command\n",
    );
}

#[test]
fn blobs_are_listed() {
    let large = "x".repeat(300 << 10);
    check(
        goldens::blobs,
        &[("a/large.bin", &large), ("assets/house.gguf", &large), ("a/small.bin", "x")],
        "a/large.bin: 300 KiB; make it by a seeded generator instead\n",
    );
}

const LAYERS: &str = "
[[layer]]
folder = \"base\"
name = \"low\"
package = \"ledge-low\"
is = \"below\"
may_use = []
[[layer]]
folder = \"face\"
name = \"high\"
package = \"ledge-high\"
is = \"above\"
may_use = [\"low\"]
";

#[test]
fn arrows_point_down() {
    let files = [SourceFile::new("layers.toml", LAYERS)];
    let edge = |from: &str, to: &str, manifest: &str| layers::Edge {
        from: from.into(),
        to: to.into(),
        dev: false,
        manifest: manifest.into(),
    };
    let edges = [
        edge("ledge-low", "ledge-low", "crates/base/low/Cargo.toml"),
        edge("ledge-low", "ledge-high", "crates/base/low/Cargo.toml"),
        edge("ledge-high", "ledge-low", "crates/face/high/Cargo.toml"),
        edge("ledge-new", "ledge-new", "crates/new/Cargo.toml"),
    ];
    assert_eq!(
        said(&layers::layers(&files, &edges).unwrap()),
        "crates/base/low/Cargo.toml: `low` must not use `high`: layers.toml has no such arrow; \
         move the code down or pass a plain value\n\
         layers.toml: crate `ledge-new` is missing; add it with its arrows\n"
    );
}

#[test]
fn the_code_map_equals_the_layers() {
    let map = "# Map\n<!-- layers.toml -->\n| folder | crate |\n|---|---|\n\
               | base | `low` | below | – |\n| face | `high` | over | low |\n<!-- end -->\n";
    let files = [SourceFile::new("layers.toml", LAYERS), SourceFile::new("ARCHITECTURE.md", map)];
    assert_eq!(
        said(&layers::code_map(&files).unwrap()),
        "ARCHITECTURE.md:6: the code map differs from layers.toml; \
         this row should be: | face | `high` | above | low |\n"
    );
}
