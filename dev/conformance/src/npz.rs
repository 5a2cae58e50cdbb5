//! Arrays out of .npz files: ZIP archives of .npy files, stored or deflated.
//!
//! Only what numpy writes is read (PKWARE APPNOTE 6.3.10, without ZIP64); it is for goldens.

use anyhow::{Context as _, bail, ensure};
use engine::network::Array;
use flate2::read::DeflateDecoder;
use formats::npy::Npy;
use std::{collections::BTreeMap, io::Read as _};

/// All arrays of an archive by name.
pub(crate) fn arrays(file: &[u8]) -> anyhow::Result<BTreeMap<String, Array>> {
    let end =
        (0..file.len().saturating_sub(21)).rev().find(|&at| file[at..].starts_with(b"PK\x05\x06"));
    let end = end.context("no ZIP archive")?;
    let (count, mut at) = (short(file, end + 10)?, long(file, end + 16)?);
    let mut out = BTreeMap::new();
    for _ in 0..count {
        let (method, packed) = (short(file, at + 10)?, long(file, at + 20)?);
        let [name, extra, comment] =
            [28, 30, 32].map(|field| short(file, at + field).unwrap_or(usize::MAX / 4));
        let label = file.get(at + 46..at + 46 + name).context("an entry behind the end")?;
        let label = String::from_utf8_lossy(label).trim_end_matches(".npy").to_owned();
        let local = long(file, at + 42)?;
        let body = local + 30 + short(file, local + 26)? + short(file, local + 28)?;
        let body = file.get(body..body + packed).context("a file behind the end")?;
        let mut npy = Vec::new();
        match method {
            0 => npy.extend(body),
            8 => _ = DeflateDecoder::new(body).read_to_end(&mut npy)?,
            other => bail!("`{label}` is packed with method {other}"),
        }
        let (header, elements) = Npy::from_bytes(&npy).with_context(|| label.clone())?;
        ensure!(out.len() < 1000, "more than 1000 arrays");
        let array = Array::new(header.dtype, header.shape.dims(), elements.to_vec())?;
        out.insert(label, array);
        at += 46 + name + extra + comment;
    }
    Ok(out)
}

fn short(file: &[u8], at: usize) -> anyhow::Result<usize> {
    let bytes = file.get(at..at + 2).context("the archive is cut")?;
    Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
}

fn long(file: &[u8], at: usize) -> anyhow::Result<usize> {
    Ok(short(file, at)? | short(file, at + 2)? << 16)
}
