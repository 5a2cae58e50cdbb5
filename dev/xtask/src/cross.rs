//! `cargo xtask cross`: the kernels' tests on machines that this one is not.
//!
//! 64-bit Arm runs under qemu's user emulation, once for each set of instructions that kernels
//! are written for; WebAssembly runs under Node. Toolchain targets come from rustup, emulator and
//! cross linker from Debian; what is missing is installed where that is possible. A machine that
//! cannot be set up is named as skipped, with the reason; tests that fail fail.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use crate::{Verdict, cargo, metadata};

/// What is tested: one crate whose code differs between machines.
const PACKAGE: &str = "ledge-kernels";

/// Runs a WASI program under Node; written beside the build because Node wants a file.
const NODE_RUNNER: &str = include_str!("cross/wasi.mjs");

/// Seconds after which an emulated run counts as hanging.
const SECONDS_MAX: &str = "400";

/// Where Debian's cross C library lies, which emulated programs load.
const ARM_ROOT: &str = "/usr/aarch64-linux-gnu";

/// Starts a WebAssembly program.
const NODE: &[&str] = &["node", "--no-warnings", "{runner}"];

/// The same without V8's quick compiler, in which Node 20 has an error: the relaxed dot product
/// writes over what it adds to.
const NODE_RELAXED: &[&str] = &["node", "--no-warnings", "--no-liftoff", "{runner}"];

/// A machine that stands in for others.
struct Machine {
    /// The name on the command line.
    name: &'static str,
    /// What rustc calls it.
    target: &'static str,
    /// Programs that it needs, each with the Debian packages that bring it.
    programs: &'static [(&'static str, &'static [&'static str])],
    /// Flags for rustc.
    flags: &'static str,
    /// Runs: a name, and the command that runs a test program.
    runs: &'static [(&'static str, &'static [&'static str])],
}

const MACHINES: &[Machine] = &[
    Machine {
        name: "arm64",
        target: "aarch64-unknown-linux-gnu",
        programs: &[
            ("aarch64-linux-gnu-gcc", &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]),
            ("qemu-aarch64", &["qemu-user"]),
        ],
        flags: "-Clinker=aarch64-linux-gnu-gcc",
        runs: &[
            ("no dot product", &["qemu-aarch64", "-L", ARM_ROOT, "-cpu", "cortex-a53"]),
            ("dot product", &["qemu-aarch64", "-L", ARM_ROOT, "-cpu", "neoverse-n1"]),
            ("matrix product", &["qemu-aarch64", "-L", ARM_ROOT, "-cpu", "max"]),
        ],
    },
    Machine {
        name: "wasm",
        target: "wasm32-wasip1",
        programs: &[("node", &["nodejs"])],
        flags: "-Ctarget-feature=+simd128",
        runs: &[("simd128", NODE)],
    },
    Machine {
        name: "wasm-relaxed",
        target: "wasm32-wasip1",
        programs: &[("node", &["nodejs"])],
        flags: "-Ctarget-feature=+simd128,+relaxed-simd",
        runs: &[("relaxed simd", NODE_RELAXED)],
    },
];

/// Tests on the named machines, or on all.
///
/// # Errors
/// If there is no such machine or Cargo cannot be started.
pub(crate) fn run(root: &Path, names: &[&str]) -> Result<Verdict> {
    if let Some(name) = names.iter().find(|name| MACHINES.iter().all(|m| m.name != **name)) {
        let known: Vec<_> = MACHINES.iter().map(|m| m.name).collect();
        bail!("no machine `{name}`; there are {}", known.join(", "));
    }
    let mut table = Vec::new();
    let mut verdict = Verdict::Good;
    for machine in MACHINES.iter().filter(|m| names.is_empty() || names.contains(&m.name)) {
        if let Err(why) = machine.set_up() {
            table.push(format!("{:12} skipped: {why:#}", machine.name));
            continue;
        }
        for (name, runner) in machine.runs {
            eprintln!("== {}, {name}", machine.name);
            let start = Instant::now();
            let good = machine.test(root, runner)?;
            let said = if good { "ok" } else { "FAILED" };
            if !good {
                verdict = Verdict::Short;
            }
            let seconds = start.elapsed().as_secs_f64();
            table.push(format!("{:12} {name:16} {said:7} {seconds:6.1} s", machine.name));
        }
    }
    println!("{}", table.join("\n"));
    Ok(verdict)
}

impl Machine {
    /// Installs what is missing.
    fn set_up(&self) -> Result<()> {
        if !has_target(self.target)? {
            say(&["rustup", "target", "add", self.target])
                .with_context(|| format!("no standard library for {}", self.target))?;
        }
        for (program, packages) in self.programs {
            if find(program).is_none() {
                let install =
                    [&["apt-get", "install", "-y", "-qq", "--no-install-recommends"], *packages]
                        .concat();
                // A machine that was just made has no lists yet.
                say(&["apt-get", "update", "-qq"])
                    .and_then(|()| say(&install))
                    .with_context(|| format!("no {program}, of package {}", packages.join(" ")))?;
            }
        }
        Ok(())
    }

    /// Builds and runs the tests, the programs started by `runner`.
    fn test(&self, root: &Path, runner: &[&str]) -> Result<bool> {
        let target_dir =
            metadata(root)?["target_directory"].as_str().context("no target folder")?.to_owned();
        let script = PathBuf::from(target_dir).join("wasi.mjs");
        if runner.contains(&"{runner}") {
            fs::write(&script, NODE_RUNNER)
                .with_context(|| format!("writing {}", script.display()))?;
        }
        let script = script.display().to_string();
        let runner: Vec<&str> =
            runner.iter().map(|arg| if *arg == "{runner}" { &script } else { *arg }).collect();
        let variable = self.target.to_uppercase().replace('-', "_");
        let status = Command::new(cargo())
            .args(["test", "--package", PACKAGE, "--lib", "--target", self.target])
            .env(
                format!("CARGO_TARGET_{variable}_RUNNER"),
                format!("timeout {SECONDS_MAX} {}", runner.join(" ")),
            )
            .env(format!("CARGO_TARGET_{variable}_RUSTFLAGS"), self.flags)
            .current_dir(root)
            .status()?;
        Ok(status.success())
    }
}

/// Whether rustc has the standard library of `target`.
fn has_target(target: &str) -> Result<bool> {
    let out = Command::new("rustc").args(["--print", "sysroot"]).output().context("no rustc")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&out.stdout).trim());
    Ok(sysroot.join("lib/rustlib").join(target).join("lib").is_dir())
}

/// Where a program lies, if it can be run.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs a command that installs something.
fn say(command: &[&str]) -> Result<()> {
    let said = command.join(" ");
    eprintln!("== {said}");
    let status = Command::new(command[0])
        .args(&command[1..])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("`{said}` cannot be started"))?;
    if status.success() { Ok(()) } else { bail!("`{said}` did not succeed") }
}
