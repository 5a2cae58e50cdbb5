//! What each pass makes of a graph: files with a graph, a line of dashes, and the graph after the
//! pass that the file is named after. `LEDGE_BLESS=1` writes what comes after the line.
#![expect(clippy::disallowed_methods, reason = "cases are files, and a variable rewrites them")]

use ledge_graph::{
    ops::array::Array,
    passes::{self, Constants, PASSES},
    text, verify,
};
use plan::{ArrayOp, Weight, array::Zip};
use std::path::Path;
use tensor::{DType, Shape, TensorType};

/// Constants whose names say what they are: `=3` is the number 3, `view(w)` a view of `w`. Products of
/// numbers are numbers.
struct Named;

impl Constants for Named {
    fn numbers(&mut self, weight: &Weight) -> Option<Vec<f64>> {
        let number = weight.tensor.strip_prefix('=')?.parse().ok()?;
        let count = usize::try_from(weight.shape.elements()?).ok()?;
        Some(vec![number; count])
    }

    fn number(&mut self, dtype: DType, value: f32) -> Option<Weight> {
        let ty = TensorType::Plain(dtype);
        Some(Weight { tensor: format!("={value}"), ty, shape: Shape::SCALAR, first: 0 })
    }

    fn codes(&mut self, dtype: DType) -> Option<Weight> {
        let ty = TensorType::Plain(dtype);
        Some(Weight { tensor: "codes".into(), ty, shape: Shape::new(&[256])?, first: 0 })
    }

    fn derive(
        &mut self,
        op: &ArrayOp,
        operands: &[Option<&Weight>],
        result: Array,
    ) -> Option<Weight> {
        let of = |weight: &&Weight| weight.tensor.clone();
        let names: Vec<String> = operands.iter().flatten().map(of).collect();
        let numbers: Option<Vec<f64>> =
            names.iter().map(|name| name.strip_prefix('=')?.parse().ok()).collect();
        if let (ArrayOp::Zip(Zip::Multiply), Some([a, b])) = (op, numbers.as_deref()) {
            let ty = TensorType::Plain(result.dtype);
            return Some(Weight {
                tensor: format!("={}", a * b),
                ty,
                shape: result.dims,
                first: 0,
            });
        }
        let tensor = format!("{}({})", op.name(), names.join(","));
        let ty = TensorType::Plain(result.dtype);
        Some(Weight { tensor, ty, shape: result.dims, first: 0 })
    }
}

#[test]
fn passes_make_of_graphs_what_the_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/passes");
    for pass in PASSES {
        let path = folder.join(format!("{}.lg", pass.name));
        let file = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("every pass has a file, `{}` has none: {error}", pass.name)
        });
        let (before, after) = file.split_once("\n---\n").expect("two graphs");
        let mut graph = text::parse(before).unwrap_or_else(|e| panic!("{}: {e}", pass.name));
        assert_eq!(verify(&graph), Ok(()), "{} before", pass.name);
        let off: Vec<&str> = PASSES.iter().map(|p| p.name).filter(|n| *n != pass.name).collect();
        let fired = passes::run(&mut graph, &mut Named, &off);
        assert!(fired.len() == 1 && fired[0].times > 0, "{}: {fired:?}", pass.name);
        assert_eq!(verify(&graph), Ok(()), "{} after", pass.name);
        let have = text::print(&graph);
        let again = text::parse(&have).unwrap_or_else(|e| panic!("{} after: {e}", pass.name));
        assert_eq!((verify(&again), text::print(&again)), (Ok(()), have.clone()), "{}", pass.name);
        if std::env::var_os("LEDGE_BLESS").is_some() {
            std::fs::write(&path, format!("{before}\n---\n{have}")).expect("the file is ours");
        } else {
            assert_eq!(have, after, "{}; LEDGE_BLESS=1 rewrites it", path.display());
        }
        // What has been rewritten stays so.
        assert_eq!(passes::run(&mut graph, &mut Named, &off), [], "{} again", pass.name);
    }
}

#[test]
fn passes_have_names_of_their_own() {
    for (i, pass) in PASSES.iter().enumerate() {
        assert!(PASSES[..i].iter().all(|other| other.name != pass.name), "{}", pass.name);
        assert!(!pass.about.is_empty());
    }
}
