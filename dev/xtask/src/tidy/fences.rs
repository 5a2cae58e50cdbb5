//! Fences: where `unsafe` may stand, and where code may ask which machine it is built for.
//!
//! Both lists name files, not crates, so that a new place is a decision someone reads. They
//! follow ARCHITECTURE.md, "Invariants of absence".

use super::{Finding, matches};
use crate::source::{SourceFile, words};

/// Files that may hold `unsafe`.
const UNSAFE: &[&str] = &[
    "crates/base/tensor/src/cast.rs",
    "crates/run/kernels/src/isa.rs",
    "crates/run/kernels/src/isa/**",
    // kernels::<op>::<isa>
    "crates/run/kernels/src/*/avx*.rs",
    "crates/run/kernels/src/*/x86*.rs",
    "crates/run/kernels/src/*/neon*.rs",
    "crates/run/kernels/src/*/wasm*.rs",
    "crates/run/cpu/src/pool.rs",
    "crates/run/cpu/src/pool/**",
    "crates/run/cpu/src/memory.rs",
    "crates/run/cpu/src/memory/**",
    "crates/model/engine/src/store/map.rs",
    "crates/face/cli/src/signals.rs",
    "crates/face/capi/src/**",
    // Counting allocators of tests: `GlobalAlloc` is an unsafe trait.
    "crates/*/*/tests/it/alloc*.rs",
    "crates/*/*/tests/alloc*.rs",
    "fuzz/src/alloc.rs",
];

/// Files that may ask for the target's architecture or system.
const DOORS: &[&str] = &[
    "crates/run/kernels/src/isa.rs",
    "crates/run/kernels/src/isa/**",
    "crates/run/cpu/src/pool.rs",
    "crates/run/cpu/src/pool/**",
    "crates/run/cpu/src/memory.rs",
    "crates/run/cpu/src/memory/**",
    "crates/model/engine/src/device/**",
    "crates/model/engine/src/device.rs",
    "crates/model/engine/src/store/**",
    "crates/face/cli/src/signals.rs",
];

/// `unsafe` outside of the fence.
pub(super) fn unsafe_code(files: &[SourceFile]) -> Vec<Finding> {
    let unsafe_word = |code: &str| words(code).any(|word| word == "unsafe");
    outside(files, UNSAFE, unsafe_word, "`unsafe` here; use a fenced module's safe function")
}

/// `cfg(target_*)` outside of the doors.
pub(super) fn cfg_doors(files: &[SourceFile]) -> Vec<Finding> {
    let door = |code: &str| code.contains("cfg") && words(code).any(is_target);
    outside(files, DOORS, door, "`cfg(target_*)` here; ask one of the modules that are doors")
}

fn is_target(word: &str) -> bool {
    ["target_arch", "target_os", "target_feature", "target_family", "target_env", "target_vendor"]
        .contains(&word)
}

fn outside(
    files: &[SourceFile],
    fence: &[&str],
    hit: fn(&str) -> bool,
    what: &str,
) -> Vec<Finding> {
    let free = files.iter().filter(|f| !fence.iter().any(|pattern| matches(pattern, &f.path)));
    free.flat_map(|file| {
        let lines = file.lines.iter().enumerate().filter(|(_, line)| hit(&line.code));
        lines.map(|(i, _)| Finding::new(file, i + 1, what))
    })
    .collect()
}
