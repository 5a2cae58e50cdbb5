//! Graphs as text: what verifies, what does not, what passes make of them, how memory is placed.

mod array;
mod memory;
mod partition;
mod passes;
mod text;

/// One layer of a small decoder with every sequence-model operator.
pub(crate) const LAYER: &str = r#"symbol tokens 8
symbol rows 2
weight w0 "embed" F32 [100, 64]
weight w1 "norm" F32 [64]
weight w2 "qkv" Q8_0 [64, 64]
weight w3 "qkv" +4096 Q8_0 [32, 64]
weight w4 "qkv" +6144 Q8_0 [32, 64]
weight w5 "out" Q4_0 [64, 64]
weight w6 "factors" F32 [8]
weight w7 "up" F16 [128, 64]
weight w8 "down" F16 [64, 128]
weight w9 "router" F32 [4, 64]
weight w10 "gate_experts" Q4_0 [4, 32, 64]
weight w11 "down_experts" Q4_0 [4, 64, 32]
weight w12 "sinks" F32 [4]
state s0 kv_heads=2 head_dim=16 v_head_dim=16 ty=f16 positions=128
input v0 "tokens" U32 [%0]
input v1 "rows" U32 [%1]
v2 = embed(v0, w0) scale=8
v3 = embed_positions(v2, w0)
v4 = binary(v2, v3) fn=add
v5 = norm(v4, w1, _) kind=rms eps=0.00001 offset=1 group=64 @0
v6 = linear(v5, w2) @0
v7 = linear(v5, w3) @0
v8 = linear(v5, w4) @0
v9 = rope(v6, w6) pairs=half head_dim=16 dims=16 base=10000 scale=0.25 magnitude=1.1 yarn=1/32/1/4096 @0
v10 = rope(v7) pairs=interleaved head_dim=16 dims=16 base=10000 scale=1 magnitude=1 @0
v11 = attention(v9, v10, v8, s0, w12) heads=4 kv_heads=2 head_dim=16 v_head_dim=16 scale=0.25 soft_cap=50 window=32 @0
v12 = linear(v11, w5, w1) @0
v13 = scale(v12) factor=0.5 @0
v14 = binary(v4, v13) fn=add @0
v15 = linear(v14, w7) @0
v16 = linear(v14, w7) @0
v17 = gated(v15, v16) fn=silu @0
v18 = linear(v17, w8) @0
v19 = linear(v18, w9) @0
v20 = experts(v18, v19, w10, w10, w11) count=4 used=2 hidden=32 fn=gelu_tanh gating=softmax_normalised scale=1 @0
v21 = select_rows(v20, v1)
v22 = unary(v21) fn=tanh
v23 = linear(v22, w0)
v24 = soft_cap(v23) cap=30
output v24 "logits"
"#;
