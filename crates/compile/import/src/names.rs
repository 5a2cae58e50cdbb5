//! Tensor names by role: what a tensor is for, and what each kind of file calls it. The rest of
//! the crate speaks of roles only.

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names in the tables below say it")]
pub enum Role {
    Embed,
    EmbedNorm,
    Positions,
    TokenTypes,
    RopeFactors,
    RopeFactorsLong,
    RopeFactorsShort,
    OutputNorm,
    Head,
    AttentionNorm,
    Q,
    K,
    V,
    Qkv,
    QNorm,
    KNorm,
    AttentionOut,
    AttentionPostNorm,
    FfnNorm,
    Gate,
    Up,
    GateUp,
    Down,
    FfnPostNorm,
    Router,
    GateExperts,
    UpExperts,
    DownExperts,
    GateShared,
    UpShared,
    DownShared,
}

/// Names by role; `{}` stands for the layer. `.weight` or `.bias` follows.
pub type Names = &'static [(Role, &'static str)];

/// GGUF, all families (specification: "Standardized tensor names").
pub const GGUF: Names = &[
    (Role::Embed, "token_embd"),
    (Role::EmbedNorm, "token_embd_norm"),
    (Role::Positions, "position_embd"),
    (Role::TokenTypes, "token_types"),
    (Role::RopeFactors, "rope_freqs"),
    (Role::RopeFactorsLong, "rope_factors_long"),
    (Role::RopeFactorsShort, "rope_factors_short"),
    (Role::OutputNorm, "output_norm"),
    (Role::Head, "output"),
    (Role::AttentionNorm, "blk.{}.attn_norm"),
    (Role::Q, "blk.{}.attn_q"),
    (Role::K, "blk.{}.attn_k"),
    (Role::V, "blk.{}.attn_v"),
    (Role::Qkv, "blk.{}.attn_qkv"),
    (Role::QNorm, "blk.{}.attn_q_norm"),
    (Role::KNorm, "blk.{}.attn_k_norm"),
    (Role::AttentionOut, "blk.{}.attn_output"),
    (Role::AttentionPostNorm, "blk.{}.post_attention_norm"),
    (Role::AttentionPostNorm, "blk.{}.attn_output_norm"),
    (Role::FfnNorm, "blk.{}.ffn_norm"),
    (Role::Gate, "blk.{}.ffn_gate"),
    (Role::Up, "blk.{}.ffn_up"),
    (Role::Down, "blk.{}.ffn_down"),
    (Role::FfnPostNorm, "blk.{}.post_ffw_norm"),
    (Role::FfnPostNorm, "blk.{}.layer_output_norm"),
    (Role::Router, "blk.{}.ffn_gate_inp"),
    (Role::GateExperts, "blk.{}.ffn_gate_exps"),
    (Role::UpExperts, "blk.{}.ffn_up_exps"),
    (Role::DownExperts, "blk.{}.ffn_down_exps"),
    (Role::GateShared, "blk.{}.ffn_gate_shexp"),
    (Role::UpShared, "blk.{}.ffn_up_shexp"),
    (Role::DownShared, "blk.{}.ffn_down_shexp"),
];

/// Hugging Face decoders.
pub const DECODER: Names = &[
    (Role::Embed, "model.embed_tokens"),
    (Role::OutputNorm, "model.norm"),
    (Role::Head, "lm_head"),
    (Role::AttentionNorm, "model.layers.{}.input_layernorm"),
    (Role::Q, "model.layers.{}.self_attn.q_proj"),
    (Role::K, "model.layers.{}.self_attn.k_proj"),
    (Role::V, "model.layers.{}.self_attn.v_proj"),
    (Role::Qkv, "model.layers.{}.self_attn.qkv_proj"),
    (Role::QNorm, "model.layers.{}.self_attn.q_norm"),
    (Role::KNorm, "model.layers.{}.self_attn.k_norm"),
    (Role::AttentionOut, "model.layers.{}.self_attn.o_proj"),
    (Role::FfnNorm, "model.layers.{}.post_attention_layernorm"),
    (Role::Gate, "model.layers.{}.mlp.gate_proj"),
    (Role::Up, "model.layers.{}.mlp.up_proj"),
    (Role::GateUp, "model.layers.{}.mlp.gate_up_proj"),
    (Role::Down, "model.layers.{}.mlp.down_proj"),
];

/// Hugging Face decoders with norms around both branches: one name means another role.
pub const SANDWICH: Names = &[
    (Role::AttentionPostNorm, "model.layers.{}.post_attention_layernorm"),
    (Role::FfnNorm, "model.layers.{}.pre_feedforward_layernorm"),
    (Role::FfnPostNorm, "model.layers.{}.post_feedforward_layernorm"),
];

/// Hugging Face BERT; a file may put `bert.` before each.
pub const ENCODER: Names = &[
    (Role::Embed, "embeddings.word_embeddings"),
    (Role::Positions, "embeddings.position_embeddings"),
    (Role::TokenTypes, "embeddings.token_type_embeddings"),
    (Role::EmbedNorm, "embeddings.LayerNorm"),
    (Role::Q, "encoder.layer.{}.attention.self.query"),
    (Role::K, "encoder.layer.{}.attention.self.key"),
    (Role::V, "encoder.layer.{}.attention.self.value"),
    (Role::AttentionOut, "encoder.layer.{}.attention.output.dense"),
    (Role::AttentionPostNorm, "encoder.layer.{}.attention.output.LayerNorm"),
    (Role::Up, "encoder.layer.{}.intermediate.dense"),
    (Role::Down, "encoder.layer.{}.output.dense"),
    (Role::FfnPostNorm, "encoder.layer.{}.output.LayerNorm"),
];
