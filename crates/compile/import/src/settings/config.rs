//! Settings from a Hugging Face `config.json` (`docs/families.md` §6).

use super::{
    Pooling, RopeFactors, RopeSettings, Settings, finite, limits, positive, size, size_u32,
};
use crate::{
    error::ImportError,
    family::{Family, Positions, Windows},
};
use plan::op::{NormKind, Unary, Yarn};
use serde_json::Value;

/// Reads the settings of a folder of this family.
///
/// # Errors
/// The first key that is missing, of another type or out of range.
pub fn from_config(family: &Family, config: &Value) -> Result<Settings, ImportError> {
    let keys = Keys(config);
    let width = keys.required("hidden_size", limits::WIDTH)?;
    let layers = keys.required("num_hidden_layers", limits::LAYERS)?;
    let heads = keys.required("num_attention_heads", limits::HEADS)?;
    let kv_heads = keys.size("num_key_value_heads", limits::HEADS)?.unwrap_or(heads);
    let head_dim = match keys.size("head_dim", limits::WIDTH)? {
        Some(dim) => dim,
        None if family.name == "qwen3" => 128,
        None if family.name == "gemma2" => 256,
        None if width.is_multiple_of(heads) => width / heads,
        None => {
            let reason = format!("{width} is no multiple of {heads} heads");
            return Err(ImportError::setting("hidden_size", reason));
        }
    };
    let head_dim = size_u32("head_dim", head_dim, limits::WIDTH)?;
    let eps_key = match family.norm {
        NormKind::Rms => "rms_norm_eps",
        NormKind::Layer => "layer_norm_eps",
    };
    let eps = keys.float(eps_key)?.unwrap_or(match family.norm {
        NormKind::Rms => 1e-6,
        NormKind::Layer => 1e-12,
    });
    let eps = finite(eps_key, eps)?;
    if eps < 0.0 {
        return Err(ImportError::setting(eps_key, format!("{eps} is below zero")));
    }
    let context = keys.required("max_position_embeddings", limits::CONTEXT)?;
    let window_on = !matches!(family.name, "qwen2" | "qwen3")
        || keys.0.get("use_sliding_window").and_then(Value::as_bool).unwrap_or(false);
    let window = match family.folder_windows {
        Windows::Never => None,
        Windows::All | Windows::Period(_) if !window_on => None,
        Windows::All | Windows::Period(_) => keys
            .size("sliding_window", limits::CONTEXT)?
            .map(|n| size_u32("sliding_window", n, limits::CONTEXT))
            .transpose()?,
    };
    let gemma = family.name == "gemma2";
    let query_scalar = keys.float("query_pre_attn_scalar")?.filter(|_| gemma);
    let attention_scale = query_scalar
        .map(|scalar| positive("query_pre_attn_scalar", scalar).map(|scalar| 1.0 / scalar.sqrt()))
        .transpose()?;
    let cap = |key: &str| {
        let cap = keys.float(key)?.filter(|_| gemma);
        cap.map(|cap| positive(key, cap)).transpose()
    };
    Settings {
        name: keys.text("_name_or_path").map(str::to_owned).filter(|name| !name.is_empty()),
        vocabulary: keys.required("vocab_size", limits::VOCABULARY)?,
        width,
        layers: size_u32("num_hidden_layers", layers, limits::LAYERS)?,
        heads: size_u32("num_attention_heads", heads, limits::HEADS)?,
        kv_heads: size_u32("num_key_value_heads", kv_heads, limits::HEADS)?,
        head_dim,
        v_head_dim: head_dim,
        hidden: keys.required("intermediate_size", limits::WIDTH)?,
        context,
        eps,
        rope: rope(family, keys, head_dim, context)?,
        rope_used: matches!(family.positions, Positions::Rope(_)),
        window,
        window_unused: None,
        windowed: windowed(family, keys, layers)?,
        attention_scale,
        attention_cap: cap("attn_logit_softcapping")?,
        logit_cap: cap("final_logit_softcapping")?,
        embed_scale: None,
        residual_scale: None,
        logit_scale: None,
        experts: None,
        activation: activation(keys)?,
        norm_offset: family.folder_norm_offset,
        pooling: family.encoder.then_some(Pooling::Mean),
        folder: true,
    }
    .check()
}

fn activation(keys: Keys<'_>) -> Result<Option<Unary>, ImportError> {
    let key =
        if keys.text("hidden_activation").is_some() { "hidden_activation" } else { "hidden_act" };
    match keys.text(key) {
        None => Ok(None),
        Some("silu" | "swish") => Ok(Some(Unary::Silu)),
        Some("gelu") => Ok(Some(Unary::Gelu)),
        Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Ok(Some(Unary::GeluTanh)),
        Some("relu") => Ok(Some(Unary::Relu)),
        Some(other) => Err(ImportError::setting(key, format!("`{other}` is not known"))),
    }
}

fn windowed(
    family: &Family,
    keys: Keys<'_>,
    layers: u64,
) -> Result<Option<Vec<bool>>, ImportError> {
    if let Some(types) = keys.0.get("layer_types").and_then(Value::as_array) {
        if types.len() as u64 != layers {
            let reason = format!("has {} entries for {layers} layers", types.len());
            return Err(ImportError::setting("layer_types", reason));
        }
        return Ok(Some(types.iter().map(|ty| ty.as_str() == Some("sliding_attention")).collect()));
    }
    if matches!(family.name, "qwen2" | "qwen3") {
        let full = keys.integer("max_window_layers")?.unwrap_or(layers);
        return Ok(Some((0..layers).map(|i| i >= full).collect()));
    }
    Ok(None)
}

fn rope(
    family: &Family,
    keys: Keys<'_>,
    head_dim: u32,
    context: u64,
) -> Result<RopeSettings, ImportError> {
    let nested = keys.object("rope_parameters");
    let scaling = nested.or_else(|| keys.object("rope_scaling"));
    let base = match nested.map(|keys| keys.float("rope_theta")).transpose()?.flatten() {
        Some(base) => base,
        None => keys.float("rope_theta")?.unwrap_or(10_000.0),
    };
    let base = positive("rope_theta", base)?;
    let partial =
        match nested.map(|keys| keys.float("partial_rotary_factor")).transpose()?.flatten() {
            Some(partial) => partial,
            None => keys.float("partial_rotary_factor")?.unwrap_or(1.0),
        };
    let partial = positive("partial_rotary_factor", partial)?;
    #[expect(clippy::cast_possible_truncation, reason = "truncation is the definition")]
    let dims = (f64::from(head_dim) * f64::from(partial)) as u32;
    let mut rope = RopeSettings {
        base,
        base_windowed: base,
        scale_windowed: true,
        dims,
        scale: 1.0,
        yarn: None,
        magnitude: 1.0,
        factors: RopeFactors::Given(Vec::new()),
    };
    let Some(scaling) = scaling else { return Ok(rope) };
    let kind = scaling.text("rope_type").or_else(|| scaling.text("type")).unwrap_or("default");
    let original = match scaling.size("original_max_position_embeddings", limits::CONTEXT)? {
        Some(original) => original,
        None => keys.size("original_max_position_embeddings", limits::CONTEXT)?.unwrap_or(context),
    };
    let factor = |key: &str| -> Result<f32, ImportError> {
        let value = scaling.float(key)?.ok_or_else(|| ImportError::setting(key, "is missing"))?;
        positive(key, value)
    };
    match kind {
        "default" => {}
        "linear" => rope.scale = 1.0 / factor("factor")?,
        "llama3" => {
            rope.factors = RopeFactors::Given(llama3_factors(
                base,
                dims,
                original as f32,
                factor("factor")?,
                (factor("low_freq_factor")?, factor("high_freq_factor")?),
            ));
        }
        "yarn" => {
            let stretch = factor("factor")?;
            rope.scale = 1.0 / stretch;
            rope.magnitude = match scaling.float("attention_factor")? {
                Some(given) => positive("attention_factor", given)?,
                None => 1.0 + 0.1 * stretch.max(1.0).ln(),
            };
            let fast = scaling.float("beta_fast")?.unwrap_or(32.0);
            let slow = scaling.float("beta_slow")?.unwrap_or(1.0);
            let key = "original_max_position_embeddings";
            rope.yarn = Some(Yarn {
                mix: 1.0,
                beta_fast: positive("beta_fast", fast)?,
                beta_slow: positive("beta_slow", slow)?,
                original_positions: size_u32(key, original, limits::CONTEXT)?,
            });
        }
        "longrope" | "su" if family.name == "phi3" => {
            let stretch = context as f32 / original as f32;
            rope.magnitude = if stretch <= 1.0 {
                1.0
            } else {
                (1.0 + stretch.ln() / (original as f32).ln()).sqrt()
            };
            let pairs = dims as usize / 2;
            let short = scaling.floats("short_factor", pairs)?;
            let long = scaling.floats("long_factor", pairs)?;
            rope.factors = RopeFactors::GivenByContext { short, long, original };
        }
        other => {
            return Err(ImportError::setting(
                "rope_scaling",
                format!("`{other}` is not supported"),
            ));
        }
    }
    Ok(rope)
}

/// Llama 3.1's divisors: long waves are stretched, short ones kept, a ramp between.
fn llama3_factors(
    base: f32,
    dims: u32,
    original: f32,
    factor: f32,
    (low, high): (f32, f32),
) -> Vec<f32> {
    let pairs = 0..dims / 2;
    let stretch = |j: u32| {
        let exponent = 2.0 * j as f32 / dims as f32;
        let wave = core::f32::consts::TAU * base.powf(exponent);
        if wave < original / high {
            1.0
        } else if wave > original / low {
            factor
        } else {
            let mix = (original / wave - low) / (high - low);
            1.0 / ((1.0 - mix) / factor + mix)
        }
    };
    pairs.map(stretch).collect()
}

/// One object of the configuration.
#[derive(Clone, Copy)]
struct Keys<'a>(&'a Value);

impl<'a> Keys<'a> {
    fn get(self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn object(self, key: &str) -> Option<Self> {
        self.get(key).filter(|value| value.is_object()).map(Keys)
    }

    fn text(self, key: &str) -> Option<&'a str> {
        self.get(key).and_then(Value::as_str)
    }

    fn integer(self, key: &str) -> Result<Option<u64>, ImportError> {
        let read = |value: &Value| {
            let wrong = || ImportError::setting(key, format!("{value} is no whole number"));
            value.as_u64().ok_or_else(wrong)
        };
        self.get(key).map(read).transpose()
    }

    fn size(self, key: &str, max: u64) -> Result<Option<u64>, ImportError> {
        self.integer(key)?.map(|value| size(key, value, max)).transpose()
    }

    fn required(self, key: &str, max: u64) -> Result<u64, ImportError> {
        self.size(key, max)?.ok_or_else(|| ImportError::setting(key, "is missing"))
    }

    fn float(self, key: &str) -> Result<Option<f64>, ImportError> {
        let wrong = |value: &Value| ImportError::setting(key, format!("{value} is no number"));
        self.get(key).map(|value| value.as_f64().ok_or_else(|| wrong(value))).transpose()
    }

    fn floats(self, key: &str, len: usize) -> Result<Vec<f32>, ImportError> {
        let list = self.get(key).and_then(Value::as_array).filter(|list| list.len() == len);
        let list =
            list.ok_or_else(|| ImportError::setting(key, format!("must list {len} numbers")))?;
        list.iter().map(|value| positive(key, value.as_f64().unwrap_or(f64::NAN))).collect()
    }
}

#[cfg(test)]
mod tests;
