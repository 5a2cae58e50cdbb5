//! Settings from GGUF metadata (`docs/families.md` §1–4).

use super::{
    ExpertSettings, Pooling, RopeFactors, RopeSettings, Settings, finite, limits, positive, size,
    size_u32,
};
use crate::{
    Tensors,
    error::ImportError,
    family::{Family, Positions, Windows},
    names::Role,
};
use formats::gguf::{Metadata, Value};
use plan::op::{NormKind, Yarn};

/// Reads the settings of a file of this family and architecture.
///
/// # Errors
/// The first key that is missing, of another type or out of range.
pub fn from_gguf(
    family: &Family,
    architecture: &str,
    metadata: &Metadata,
    tensors: &Tensors,
) -> Result<Settings, ImportError> {
    let keys = Keys { architecture, metadata };
    let embed = tensors.require(Role::Embed, 0)?;
    let rows = embed.shape.dims().first().copied().unwrap_or(0);
    let vocabulary = size(&embed.name, rows, limits::VOCABULARY)?;
    let width = keys.required_size("embedding_length", limits::WIDTH)?;
    let layers = keys.required_size("block_count", limits::LAYERS)?;
    let heads = keys.each_layer("attention.head_count", layers)?;
    let heads = heads.ok_or_else(|| keys.missing("attention.head_count"))?;
    let heads = size_u32(&keys.name("attention.head_count"), heads, limits::HEADS)?;
    let kv_heads = keys.each_layer("attention.head_count_kv", layers)?;
    let kv_heads = kv_heads.unwrap_or(u64::from(heads));
    let kv_heads = size_u32(&keys.name("attention.head_count_kv"), kv_heads, limits::HEADS)?;
    let share = || {
        let whole = width.is_multiple_of(u64::from(heads));
        let reason = || format!("{width} is no multiple of {heads} heads");
        let error = || ImportError::setting(&keys.name("embedding_length"), reason());
        whole.then(|| width / u64::from(heads)).ok_or_else(error)
    };
    let head_dim = keys.size_or("attention.key_length", limits::WIDTH, &share)?;
    let v_head_dim = keys.size_or("attention.value_length", limits::WIDTH, &share)?;
    let hidden = keys.each_layer("feed_forward_length", layers)?;
    let hidden = hidden.ok_or_else(|| keys.missing("feed_forward_length"))?;
    let context = keys.required_size("context_length", limits::CONTEXT)?;
    let eps_key = match family.norm {
        NormKind::Rms => "attention.layer_norm_rms_epsilon",
        NormKind::Layer => "attention.layer_norm_epsilon",
    };
    let eps = keys.float(eps_key)?.ok_or_else(|| keys.missing(eps_key))?;
    let eps = finite(&keys.name(eps_key), eps)?;
    if eps < 0.0 {
        return Err(ImportError::setting(&keys.name(eps_key), format!("{eps} is below zero")));
    }
    let default_window = if family.name == "gemma2" { Some(4096) } else { None };
    let named = match keys.integer("attention.sliding_window")? {
        Some(n) if family.windows != Windows::Never => {
            Some(size_u32(&keys.name("attention.sliding_window"), n, limits::CONTEXT)?)
        }
        Some(n) => u32::try_from(n).ok(),
        None => default_window,
    };
    let named = named.filter(|window| *window > 0);
    let (window, window_unused) =
        if family.windows == Windows::Never { (None, named) } else { (named, None) };
    let count = keys.integer("expert_count")?.unwrap_or(0);
    let experts = if count > 0 {
        let used = keys.required_size("expert_used_count", limits::EXPERTS)?;
        let hidden = match keys.integer("expert_feed_forward_length")? {
            Some(hidden) if hidden > 0 => hidden,
            _ if family.name == "qwen3moe" => hidden / used,
            _ => hidden,
        };
        Some(ExpertSettings {
            count: size_u32(&keys.name("expert_count"), count, limits::EXPERTS)?,
            used: size_u32(&keys.name("expert_used_count"), used, limits::EXPERTS)?,
            hidden: size(&keys.name("expert_feed_forward_length"), hidden, limits::WIDTH)?,
        })
    } else {
        None
    };
    let caps = |key: &str, default: f64| -> Result<Option<f32>, ImportError> {
        let cap = keys.float(key)?.unwrap_or(default);
        if cap == 0.0 { Ok(None) } else { positive(&keys.name(key), cap).map(Some) }
    };
    let (attention_cap, logit_cap) = match family.name {
        "gemma2" => (caps("attn_logit_softcapping", 50.0)?, caps("final_logit_softcapping", 30.0)?),
        "gemma3" => (None, caps("final_logit_softcapping", 0.0)?),
        _ => (None, None),
    };
    let granite = family.name == "granite";
    let factor = |key: &str| -> Result<Option<f32>, ImportError> {
        match keys.float(key)? {
            Some(value) if granite && value != 0.0 => finite(&keys.name(key), value).map(Some),
            _ => Ok(None),
        }
    };
    let logit_scale = match factor("logit_scale")? {
        Some(divisor) => Some(1.0 / divisor),
        None if granite => return Err(keys.missing("logit_scale")),
        None => None,
    };
    let finetuned = keys.boolean("rope.scaling.finetuned")?.unwrap_or(true);
    let head_dim_u32 = size_u32("attention.key_length", head_dim, limits::WIDTH)?;
    Settings {
        name: metadata.get_str("general.name").ok().map(str::to_owned),
        vocabulary,
        width,
        layers: size_u32("block_count", layers, limits::LAYERS)?,
        heads,
        kv_heads,
        head_dim: head_dim_u32,
        v_head_dim: size_u32("attention.value_length", v_head_dim, limits::WIDTH)?,
        hidden: size(&keys.name("feed_forward_length"), hidden, limits::WIDTH)?,
        context,
        eps,
        rope: rope(family, &keys, head_dim_u32, context, window.is_some())?,
        rope_used: matches!(family.positions, Positions::Rope(_)) && (finetuned || !granite),
        window,
        window_unused,
        windowed: keys.pattern(layers)?,
        attention_scale: factor("attention.scale")?,
        attention_cap,
        logit_cap,
        embed_scale: factor("embedding_scale")?,
        residual_scale: factor("residual_scale")?,
        logit_scale,
        experts,
        activation: None,
        norm_offset: 0.0,
        pooling: match keys.integer("pooling_type")? {
            Some(1) => Some(Pooling::Mean),
            Some(2) => Some(Pooling::First),
            Some(3) => Some(Pooling::Last),
            _ => None,
        },
        folder: false,
    }
    .check()
}

fn rope(
    family: &Family,
    keys: &Keys<'_>,
    head_dim: u32,
    context: u64,
    windowed: bool,
) -> Result<RopeSettings, ImportError> {
    let dims = match keys.integer("rope.dimension_count")? {
        Some(dims) => size_u32(&keys.name("rope.dimension_count"), dims, limits::WIDTH)?,
        None => head_dim,
    };
    let base =
        positive(&keys.name("rope.freq_base"), keys.float("rope.freq_base")?.unwrap_or(10_000.0))?;
    // Gemma's windowed layers may have a base of their own; OLMo 3's never do, whatever the file says.
    let base_windowed = match family.name {
        "gemma3" if windowed => keys.float("rope.freq_base_swa")?.unwrap_or(10_000.0),
        "gemma2" => keys.float("rope.freq_base_swa")?.unwrap_or(f64::from(base)),
        _ => f64::from(base),
    };
    let kind = keys.text("rope.scaling.type")?.unwrap_or("linear");
    let factor = match keys.float("rope.scaling.factor")? {
        Some(factor) => Some(factor),
        None => keys.float("rope.scale_linear")?,
    };
    let scale = match factor {
        Some(factor) if factor != 0.0 && kind != "none" => {
            1.0 / positive(&keys.name("rope.scaling.factor"), factor)?
        }
        _ => 1.0,
    };
    let original = keys.integer("rope.scaling.original_context_length")?.unwrap_or(context);
    let mut magnitude = match keys.float("rope.scaling.attn_factor")? {
        Some(factor) => positive(&keys.name("rope.scaling.attn_factor"), factor)?,
        None => 1.0,
    };
    let yarn = match kind {
        "yarn" => {
            if scale < 1.0 {
                magnitude *= 1.0 - 0.1 * scale.ln();
            }
            let key = keys.name("rope.scaling.original_context_length");
            let original_positions = size_u32(&key, original, limits::CONTEXT)?;
            Some(Yarn { mix: 1.0, beta_fast: 32.0, beta_slow: 1.0, original_positions })
        }
        "none" | "linear" | "longrope" => None,
        other => {
            let key = keys.name("rope.scaling.type");
            return Err(ImportError::setting(&key, format!("`{other}` is not known")));
        }
    };
    let factors = if kind == "longrope" || family.name == "phi3" {
        RopeFactors::StoredByContext(original)
    } else {
        RopeFactors::Stored
    };
    Ok(RopeSettings {
        base,
        base_windowed: positive(&keys.name("rope.freq_base_swa"), base_windowed)?,
        scale_windowed: !matches!(family.name, "gemma3" | "olmo2"),
        dims,
        scale,
        yarn,
        magnitude,
        factors,
    })
}

/// Metadata under an architecture's prefix.
struct Keys<'a> {
    architecture: &'a str,
    metadata: &'a Metadata,
}

impl<'a> Keys<'a> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn missing(&self, key: &str) -> ImportError {
        ImportError::setting(&self.name(key), "is missing")
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.metadata.get(&self.name(key))
    }

    fn integer(&self, key: &str) -> Result<Option<u64>, ImportError> {
        let name = self.name(key);
        self.value(key).map(|_| self.metadata.get_u64(&name)).transpose().map_err(ImportError::from)
    }

    fn float(&self, key: &str) -> Result<Option<f64>, ImportError> {
        let name = self.name(key);
        let read = self.value(key).map(|_| self.metadata.get_f32(&name)).transpose()?;
        Ok(read.map(f64::from))
    }

    fn boolean(&self, key: &str) -> Result<Option<bool>, ImportError> {
        let name = self.name(key);
        self.value(key)
            .map(|_| self.metadata.get_bool(&name))
            .transpose()
            .map_err(ImportError::from)
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, ImportError> {
        let name = self.name(key);
        self.value(key).map(|_| self.metadata.get_str(&name)).transpose().map_err(ImportError::from)
    }

    fn required_size(&self, key: &str, max: u64) -> Result<u64, ImportError> {
        let value = self.integer(key)?.ok_or_else(|| self.missing(key))?;
        size(&self.name(key), value, max)
    }

    fn size_or(
        &self,
        key: &str,
        max: u64,
        default: &dyn Fn() -> Result<u64, ImportError>,
    ) -> Result<u64, ImportError> {
        let value = self.integer(key)?.map_or_else(default, Ok)?;
        size(&self.name(key), value, max)
    }

    /// One number, or an array with the same number for every layer.
    fn each_layer(&self, key: &str, layers: u64) -> Result<Option<u64>, ImportError> {
        let Some(Value::Array(_)) = self.value(key) else { return self.integer(key) };
        let name = self.name(key);
        let list = self.metadata.get_u32_array(&name)?;
        let error = |reason: String| Err(ImportError::setting(&name, reason));
        if list.len() as u64 != layers {
            return error(format!("has {} numbers for {layers} layers", list.len()));
        }
        match list.first() {
            Some(first) if list.iter().all(|n| n == first) => Ok(Some(u64::from(*first))),
            _ => error("differs from layer to layer, which is not supported".into()),
        }
    }

    fn pattern(&self, layers: u64) -> Result<Option<Vec<bool>>, ImportError> {
        let key = "attention.sliding_window_pattern";
        let name = self.name(key);
        match self.value(key) {
            None => Ok(None),
            Some(Value::Array(_)) => {
                let list = self.metadata.get_bool_array(&name)?;
                if list.len() as u64 == layers {
                    Ok(Some(list.to_vec()))
                } else {
                    let reason = format!("has {} entries for {layers} layers", list.len());
                    Err(ImportError::setting(&name, reason))
                }
            }
            Some(_) => {
                let period = self.required_size(key, limits::LAYERS)?;
                Ok(Some((0..layers).map(|i| i % period < period - 1).collect()))
            }
        }
    }
}
