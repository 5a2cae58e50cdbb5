//! Networks on their way from bytes to a plan: what serves their importer, and what it may take.
//! Nothing is run and no other file is opened.

use graph::Graph;
use import::{
    network::{Host, HostError, Origin, Stage, Stored},
    onnx::{Bound, Declared, Extent, Imported, NetworkError, stored_as},
};
use plan::ArrayOp;
use std::sync::Arc;
use tensor::{DType, Shape, TensorRef};

/// What an import may hold besides its input's multiple: constants, unrolled operators, the plan.
const HEAP_BYTES: usize = 512 << 20;
/// What it may compute.
const CPU_SECONDS: f64 = 20.0;

/// A host with the file alone: it evaluates, gives zeros as small inputs, and runs nothing.
struct Planner<'a> {
    file: &'a [u8],
    bound: &'a [Bound],
}

impl Host for Planner<'_> {
    fn evaluate(
        &mut self,
        op: &ArrayOp,
        operands: &[Option<TensorRef<'_>>],
        (dtype, dims): (DType, Shape),
    ) -> Result<Vec<u8>, HostError> {
        reference::evaluate(op, operands, dtype, dims)
            .map_err(|fault| HostError::Evaluate(fault.to_string()))
    }

    fn read(&mut self, stored: &Stored) -> Result<Arc<[u8]>, HostError> {
        let range = usize::try_from(stored.offset).ok().zip(usize::try_from(stored.bytes).ok());
        let range = range.and_then(|(start, len)| Some(start..start.checked_add(len)?));
        let bytes = range.filter(|_| stored.file.is_none()).and_then(|r| self.file.get(r));
        Ok(bytes.ok_or_else(|| HostError::Read("no such file".into()))?.into())
    }

    fn input(&mut self, place: usize) -> Result<Arc<[u8]>, HostError> {
        let bound = self.bound.get(place).ok_or(HostError::Pending)?;
        let elements = bound.dims.elements().filter(|&n| n <= 64).ok_or(HostError::Pending)?;
        Ok(vec![0; usize::try_from(elements * bound.dtype.bytes()).unwrap_or(0)].into())
    }

    fn value(&mut self, _: Origin) -> Result<Arc<[u8]>, HostError> {
        Err(HostError::Pending)
    }

    fn run(&mut self, _: Stage, _: &[usize]) -> Result<Vec<Arc<[u8]>>, HostError> {
        Err(HostError::Pending)
    }
}

/// The types of a run's inputs as declared; free extents are 2.
fn bound(inputs: &[Declared]) -> Option<Vec<Bound>> {
    let one = |declared: &Declared| {
        let dims = declared.dims.as_deref().unwrap_or_default().iter().map(|dim| match dim {
            Extent::Fixed(n) => *n,
            Extent::Named(_) | Extent::Free => 2,
        });
        let dims = Shape::new(&dims.collect::<Vec<u64>>())?;
        Some(Bound { dtype: stored_as(declared.element?)?, dims })
    };
    inputs.iter().map(one).collect()
}

/// Imports a network and compiles it.
pub fn plan(
    file: &[u8],
    inputs: &[Declared],
    import: impl FnOnce(&[Bound], &mut dyn Host) -> Result<Imported, NetworkError>,
) {
    let Some(bound) = bound(inputs) else { return };
    crate::within(file, (HEAP_BYTES, CPU_SECONDS), |file| {
        let mut host = Planner { file, bound: &bound };
        match import(&bound, &mut host) {
            Ok(imported) => place(imported.stage.graph),
            Err(error) => crate::harmless(&error),
        }
    });
}

fn place(graph: Graph) {
    if graph.outputs.is_empty() {
        return;
    }
    graph::verify(&graph).expect("what an importer builds keeps the graph's rules");
    // Arrays that no memory holds are refused here.
    let Ok(plan) = graph::compile(graph) else { return };
    let _ = plan.promise();
}
