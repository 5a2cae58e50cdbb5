//! Operators on dense arrays: the type of each result, and what is refused.

use core::fmt::Write;
use ledge_graph::text;
use proptest::prelude::*;

const CONV: &str = "strides=[1,1] dilations=[1,1] before=[0,0] after=[0,0] groups=1";

/// The result's type of one operator on these operands (`_` for an absent one), or the error.
fn infer(operands: &str, op: &str) -> Result<String, String> {
    let mut graph = String::new();
    let mut names = Vec::new();
    let mut values = 0;
    for ty in operands.split(';').map(str::trim) {
        if ty == "_" {
            names.push("_".to_owned());
        } else {
            writeln!(graph, "input v{values} \"x{values}\" {ty}")
                .map_err(|error| error.to_string())?;
            names.push(format!("v{values}"));
            values += 1;
        }
    }
    let (name, attributes) = op.split_once(' ').unwrap_or((op, ""));
    writeln!(graph, "v{values} = {name}({}) {attributes}", names.join(", "))
        .map_err(|error| error.to_string())?;
    let parsed = text::parse(&graph).map_err(|error| error.to_string())?;
    let printed = text::print(&parsed);
    assert_eq!(text::parse(&printed), Ok(parsed));
    let line = printed.lines().last().unwrap_or("");
    Ok(line.split_once("  # ").map_or("", |(_, ty)| ty).to_owned())
}

#[test]
fn results_have_the_types_that_the_rules_give() {
    let conv = CONV;
    let cases = [
        ("F32 [2, 3]", "map fn=exp", "F32 [2, 3]"),
        ("I8 [4]", "map fn=abs", "I8 [4]"),
        ("F16 [4]", "map fn=is_nan", "Bool [4]"),
        ("F32 [2, 3]; F32 [3]", "zip fn=add", "F32 [2, 3]"),
        ("I64 [2, 1]; I64 [3]", "zip fn=less", "Bool [2, 3]"),
        ("F32 [2]; U32 []", "zip fn=power", "F32 [2]"),
        ("Bool [3, 1]; F32 []; F32 [4]", "select", "F32 [3, 4]"),
        ("F32 [2]", "cast to=U8 saturate=true", "U8 [2]"),
        ("F32 [2, 6]", "reshape dims=[3,4]", "F32 [3, 4]"),
        ("F32 [0, 6]", "reshape dims=[0]", "F32 [0]"),
        ("F32 [2, 3]", "view dims=[3,2,5] strides=[-1,3,0] offset=2", "F32 [3, 2, 5]"),
        ("F32 [2, 3]", "view dims=[0] strides=[9] offset=99", "F32 [0]"),
        ("F32 [2, 3]; F32 [2, 0]; F32 [2, 4]", "concat axis=1", "F32 [2, 7]"),
        ("F32 [4, 5]", "pad mode=reflect before=[1,-2] after=[0,3]", "F32 [5, 6]"),
        ("F32 [4]; F32 []", "pad mode=constant before=[1] after=[1]", "F32 [6]"),
        ("F32 [4, 4]", "triangle upper=true k=-1", "F32 [4, 4]"),
        ("F32 [2, 3, 4]", "reduce fn=mean axes=5 keep=true", "F32 [1, 3, 1]"),
        ("F32 [2, 3, 4]", "reduce fn=mean axes=5 keep=false", "F32 [3]"),
        ("Bool [2, 0]", "reduce fn=max axes=2 keep=false", "Bool [2]"),
        ("F32 [2, 3]", "arg_reduce largest=true axis=1 last=false", "I64 [2, 1]"),
        ("F32 [2]", "accumulate product=false axis=0 exclusive=true reverse=true", "F32 [2]"),
        ("U64 [5]", "top_k axis=0 k=3 largest=true", "I64 [3]"),
        ("F16 [2, 3]", "softmax axis=1 log=true", "F16 [2, 3]"),
        ("F32 [2, 3]; F32 [3]; _", "normalise axis=1 eps=0.1 rms=false", "F32 [2, 3]"),
        ("F32 [2, 3]", "local_response axis=1 size=3 alpha=1 beta=1 bias=1", "F32 [2, 3]"),
        ("F32 [7, 1, 2, 3]; F32 [5, 3, 4]", "matmul", "F32 [7, 5, 2, 4]"),
        ("U8 [2, 3]; I8 [3, 4]; U8 [2, 1]; I8 [4]", "matmul", "I32 [2, 4]"),
        (
            "F32 [9, 2, 3]; F32 [2, 20, 3]; F32 [2, 20, 5]; F32 [2, 40]; I32 [2]",
            "recurrent cell=lstm:false direction=both hidden=5 clip=none \
             activations=[sigmoid,tanh,tanh,sigmoid,tanh,tanh]",
            "F32 [2, 9, 2, 2, 5]",
        ),
        ("F32 [1, 9, 1]", "dft axis=1 length=16 inverse=false onesided=true", "F32 [1, 9, 2]"),
        ("F32 [1, 9, 2]", "dft axis=1 length=16 inverse=true onesided=true", "F32 [1, 16, 1]"),
        (
            "F32 [1, 4, 5, 6]; F32 [8, 4, 3, 2]; F32 [8]",
            &format!("conv kernel=[3,2] {conv}"),
            "F32 [1, 8, 3, 5]",
        ),
        (
            "U8 [1, 4, 5, 6]; I8 [8, 1, 3, 3]; _; U8 []; I8 [8]",
            "conv kernel=[3,3] strides=[2,2] dilations=[1,2] before=[1,2] after=[1,1] groups=4",
            "I32 [1, 8, 3, 3]",
        ),
        (
            "F32 [1, 4, 5]; F32 [4, 3, 2]",
            "conv_transpose kernel=[2] strides=[2] dilations=[1] before=[0] after=[0] groups=2 \
             output=[11]",
            "F32 [1, 6, 11]",
        ),
        (
            "F32 [1, 4, 3, 3]; F32 [2, 4, 2, 2]; F32 [1, 16, 2, 2]; F32 [2]; F32 [1, 8, 2, 2]",
            &format!("deform_conv kernel=[2,2] {conv} offset_groups=2"),
            "F32 [1, 2, 2, 2]",
        ),
        (
            "I8 [1, 3, 4, 4]",
            &format!("pool fn=max kernel=[2,2] {conv} output=[3,3] channels=first"),
            "I8 [1, 3, 3, 3]",
        ),
        (
            "I8 [1, 4, 6, 3]",
            &format!("pool fn=max kernel=[2,2] {conv} output=[3,3] channels=last"),
            "I8 [1, 3, 3, 3]",
        ),
        (
            "F32 [1, 5, 6, 4]; F16 [8, 3, 2, 4]; F32 [8]; F32 [1, 3, 5, 8]",
            &format!("conv_last kernel=[3,2] {conv} activation=clamp:0:6 requant=none"),
            "F32 [1, 3, 5, 8]",
        ),
        (
            "U8 [1, 5, 4]; I8 [8, 3, 4]; I32 [8]; _; U8 []; I8 [8]; F64 [8]",
            "conv_last kernel=[3] strides=[1] dilations=[1] before=[0] after=[0] groups=1 \
             activation=none requant=double:2:-1:-128:127:I8",
            "I8 [1, 3, 8]",
        ),
        ("I8 [5, 4]; I8 [4, 8]", "matmul_fused activation=none requant=none", "I32 [5, 8]"),
        (
            "I16 [5, 4]; I8 [4, 8]; I64 [8]; _; _; _; F64 []",
            "matmul_fused activation=none requant=reduced:0:0:-32768:32767:I16",
            "I16 [5, 8]",
        ),
        (
            "F32 [2, 5, 4]; F32 [4, 8]; F32 [8]; F32 [2, 5, 8]",
            "matmul_fused activation=gelu requant=none",
            "F32 [2, 5, 8]",
        ),
        ("F32 [1, 1, 2]; I64 [1, 1, 2]", "max_unpool dims=[1,1,4]", "F32 [1, 1, 4]"),
        ("F32 [1, 8, 9]", &format!("col2im image=[4,4] kernel=[2,2] {conv}"), "F32 [1, 2, 4, 4]"),
        ("F32 [5, 6]; I64 [2, 3]", "gather axis=1 batch=0", "F32 [5, 2, 3]"),
        ("F32 [5, 6]; I32 [5, 2]", "gather axis=1 batch=1", "F32 [5, 2]"),
        ("F32 [5, 6]; I32 [5, 9]", "gather_elements axis=1", "F32 [5, 9]"),
        ("F32 [5, 6, 7]; I64 [3, 2]", "gather_nd batch=0", "F32 [3, 7]"),
        ("F32 [5]; I64 [2]; F32 [2]", "scatter_elements axis=0 combine=add", "F32 [5]"),
        ("F32 [5, 6]; I64 [2, 1]; F32 [2, 6]", "scatter_nd combine=max", "F32 [5, 6]"),
        ("F32 [2]; I32 [2]", "one_hot axis=1 depth=4", "I32 [2, 4]"),
        (
            "U8 [1, 3, 4]",
            "resize dims=[1,3,8] scales=[1,1,2] mode=linear coordinates=half_pixel \
             exclude_outside=false antialias=false roi_start=[] roi_end=[] extrapolation=0",
            "U8 [1, 3, 8]",
        ),
        (
            "F32 [1, 2, 4, 4]; F32 [1, 6, 5, 2]",
            "grid_sample mode=cubic:-0.75 padding=border align_corners=true",
            "F32 [1, 2, 6, 5]",
        ),
        (
            "F32 [1, 2, 4, 4]; F32 [3, 4]; I64 [3]",
            "roi_align max=false height=5 width=6 sampling=2 scale=1 half_pixel=true",
            "F32 [3, 2, 5, 6]",
        ),
        ("F32 [2, 6]; F32 [6]; I8 [6]", "quantize axis=1 block=0 to=I8 saturate=true", "I8 [2, 6]"),
        ("I8 [2, 6]; F16 [2, 2]", "dequantize axis=1 block=3 to=F16", "F16 [2, 6]"),
    ];
    for (operands, op, ty) in cases {
        assert_eq!(infer(operands, op), Ok(ty.into()), "{op} of {operands}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let conv = CONV;
    let cases = [
        ("Bool [2]", "map fn=exp", "takes floats, not Bool"),
        ("F32 [%0]", "map fn=exp", "extents are numbers"),
        ("F32 [2]; F64 [2]", "zip fn=add", "one type"),
        ("F32 [2]; F32 [3]", "zip fn=add", "do not fit each other"),
        ("F32 [2]", "zip fn=add", "operand 1 is missing"),
        ("F32 [2]; F32 [2]; F32 [2]", "zip fn=add", "at most 2 operands"),
        ("F32 [1048576, 1]; F32 [1, 2097152]", "zip fn=add", "beyond 8 dimensions or 2^40"),
        ("F32 [0, 1048576, 1048577]", "map fn=abs", "beyond 2^40"),
        ("F32 [2, 6]", "reshape dims=[5]", "cannot become [5]"),
        ("F32 [6]", "view dims=[3] strides=[-1] offset=1", "reads elements -1 to 1 of 6"),
        ("F32 [6]", "view dims=[2,2] strides=[4,2] offset=0", "reads elements 0 to 6 of 6"),
        (
            "F32 [6]",
            "view dims=[2] strides=[9223372036854775807] offset=18446744073709551615",
            "of 6",
        ),
        ("F32 [6]", "view dims=[2] strides=[] offset=0", "0 strides for 1"),
        ("F32 [2, 3]; F32 [3, 3]", "concat axis=1", "do not follow"),
        ("F32 [2]", "concat axis=1", "no dimension 1 among 1"),
        ("F32 [4]", "pad mode=constant before=[-3] after=[-3]", "cannot get -3, -3"),
        ("F32 [4]", "pad mode=edge before=[-9223372036854775808] after=[0]", "cannot get"),
        ("F32 [0]", "pad mode=edge before=[1] after=[0]", "cannot get 1, 0"),
        ("F32 [4]", "reduce fn=sum axes=2 keep=true", "0b10 of 1"),
        ("F32 [4]", "reduce fn=any axes=1 keep=true", "not F32"),
        ("F32 [0]", "arg_reduce largest=true axis=0 last=false", "nothing to search"),
        ("F32 [3]", "top_k axis=0 k=4 largest=true", "best 4 of 3"),
        ("F32 [2, 3]; F32 [2, 3]", "matmul", "have no product"),
        ("F32 [2, 3]; F32 [3, 3]; F32 []", "matmul", "at most 2"),
        ("U8 [2, 3]; U8 [3, 3]; U8 [2, 2]", "matmul", "zero points"),
        ("F32 [1, 9, 2]", "dft axis=2 length=9 inverse=false onesided=false", "no such transform"),
        ("F32 [1, 9, 2]", "dft axis=1 length=0 inverse=false onesided=false", "0 points"),
        (
            "F32 [1, 1, 2, 2]; F32 [1, 1, 3, 3]",
            &format!("conv kernel=[3,3] {conv}"),
            "does not fit",
        ),
        ("F32 [1, 1, 2, 2]; F32 [1, 1, 2, 2]", &format!("conv kernel=[1,1] {conv}"), "do not fit"),
        ("F32 [1, 3, 2, 2]; F32 [1, 1, 1, 1]", &format!("conv kernel=[1,1] {conv}"), "3 channels"),
        (
            "F32 [1, 1, 2]; F32 [1, 1, 1]",
            "conv kernel=[1] strides=[0] dilations=[1] before=[0] after=[0] groups=1",
            "at least 1",
        ),
        (
            "F32 [1, 1, 2]; F32 [1, 1, 1]",
            "conv kernel=[1] strides=[1] dilations=[] before=[0] after=[0] groups=1",
            "a window of",
        ),
        (
            "F32 [1, 3, 4, 4]",
            &format!("pool fn=max kernel=[2,2] {conv} output=[3,5] channels=first"),
            "5 windows do not fit",
        ),
        (
            "F32 [1, 3, 4, 4]",
            &format!("pool fn=max_index:false kernel=[2,2] {conv} output=[3,3] channels=last"),
            "channels first",
        ),
        (
            "F32 [1, 2, 2, 3]; F32 [1, 1, 1, 3]; F32 [1]; F32 [1, 1, 1, 1]",
            &format!("conv_last kernel=[1,1] {conv} activation=none requant=none"),
            "operand 3 must be F32 [1, 2, 2, 1]",
        ),
        (
            "I8 [1, 2, 2, 3]; I8 [1, 1, 1, 3]",
            &format!("conv_last kernel=[1,1] {conv} activation=relu requant=none"),
            "sums of I32 with",
        ),
        (
            "I8 [2, 3]; I8 [3, 4]; _; _; _; _; F64 [4]",
            "matmul_fused activation=none requant=double:0:0:0:9:U8",
            "not the last",
        ),
        (
            "I8 [2, 3]; I8 [3, 4]; _; _; _; _; F64 [4]",
            "matmul_fused activation=none requant=none",
            "not scaled",
        ),
        (
            "F32 [2, 3]; F32 [3, 4]; _; _; F32 []",
            "matmul_fused activation=none requant=none",
            "zero points",
        ),
        ("F32 [5]; F32 [1]", "gather axis=0 batch=0", "indices of I32 or I64"),
        ("F32 [5]; I64 [6, 2]", "gather_elements axis=0", "reach beyond"),
        ("F32 [5]; I64 [2, 2]", "gather_nd batch=0", "do not point into"),
        ("F32 [5]; I64 [2]; F32 [3]", "scatter_elements axis=0 combine=add", "must be F32 [2]"),
        ("F32 [5]; I32 [3]", "one_hot axis=0 depth=9", "off and on"),
        ("F32 [2]; I32 [2]", "one_hot axis=0 depth=1099511627776", "beyond 8 dimensions or 2^40"),
        ("F32 [2]; F32 [3]", "quantize axis=0 block=0 to=I8 saturate=true", "do not fit"),
        ("F32 [2]; F32 []", "quantize axis=0 block=0 to=F32 saturate=true", "cannot quantise"),
    ];
    for (operands, op, reason) in cases {
        let error = infer(operands, op).unwrap_err();
        assert!(error.contains(reason), "{op} of {operands}: {error}");
    }
}

proptest! {
    /// Numbers of every size in every place give a result or an error.
    #[test]
    fn hostile_attributes_never_panic(
        case in 0usize..11,
        dims in prop::collection::vec(prop_oneof![0u64..9, any::<u64>()], 0..9),
        a in prop::collection::vec(prop_oneof![-9i64..9, any::<i64>()], 0..9),
        b in prop::collection::vec(prop_oneof![0u32..5, any::<u32>()], 0..5),
        n in prop_oneof![0u64..9, any::<u64>()],
        axis in 0u8..9,
    ) {
        let last = if n % 2 == 0 { "last" } else { "first" };
        let axes = dims.iter().map(|_| "4").collect::<Vec<_>>().join(", ");
        let window = format!("kernel={b:?} strides={b:?} dilations={b:?} before={b:?} after={b:?} groups=1");
        let op = match case {
            0 => format!("view dims={dims:?} strides={a:?} offset={n}"),
            1 => format!("pad mode=edge before={a:?} after={a:?}"),
            2 => format!("pool fn=max {window} output={b:?} channels={last}"),
            3 => format!("col2im image={b:?} {window}"),
            4 => format!("dft axis={axis} length={n} inverse=false onesided=true"),
            5 => format!("one_hot axis={axis} depth={n}"),
            6 => format!("reduce fn=sum axes={} keep=true", n & 255),
            7 => format!("top_k axis={axis} k={n} largest=true"),
            8 => format!("conv {window}"),
            9 => format!("conv_last {window} activation=none requant=none"),
            _ => format!("reshape dims={dims:?}"),
        }
        .replace(", ", ",");
        drop(infer(&format!("F32 [{axes}]; I64 [2]"), &op));
        drop(infer(&format!("F32 [{axes}]"), &op));
        drop(infer(&format!("F32 {dims:?}"), &op));
    }
}
