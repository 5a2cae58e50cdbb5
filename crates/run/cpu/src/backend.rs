//! The backend: what a step needs, loading, and the loaded program.

use crate::layout::Layout;
use crate::memory::{Pages, Refused, Region};
use crate::packed::{Packed, Shared};
use crate::pool::{Pool, Tuner};
use crate::probe::Probe;
use crate::state::CpuState;
use crate::steps::{self, Tables, Task};
use crate::weights::{self, Placement, Use};
use core::num::NonZeroUsize;
use kernels::Isa;
use plan::{
    Backend, BufferKind, Control, Freedom, Grant, LoadError, Needs, Op, Plan, Program, Refusal,
    State, Step, Unit, WeightSource,
};
use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tensor::Bytes;

/// The name in reports, and the prefix of the scratch buffer's.
pub(crate) const NAME: &str = "cpu";

/// Runs plans on this machine's processors.
#[derive(Debug)]
pub struct CpuBackend {
    pool: Arc<Pool>,
    isa: Isa,
    shared: Shared,
}

impl CpuBackend {
    /// A backend with so many threads, the caller's included, and the fastest instructions.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn new(threads: NonZeroUsize) -> io::Result<Self> {
        Self::with_isa(threads, Isa::detect())
    }

    /// The same, but no more than `most` threads run at a time: what the process may use.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn limited(threads: NonZeroUsize, most: NonZeroUsize) -> io::Result<Self> {
        let pool = Arc::new(Pool::limited(threads, most)?);
        Ok(Self { pool, isa: Isa::detect(), shared: Shared::default() })
    }

    /// Uses these instructions; results are the same bits for all of them.
    #[must_use]
    pub fn using(mut self, isa: Isa) -> Self {
        self.isa = isa;
        self
    }

    /// The same with a chosen instruction set; results are the same bits for all of them.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn with_isa(threads: NonZeroUsize, isa: Isa) -> io::Result<Self> {
        Ok(Self { pool: Arc::new(Pool::new(threads)?), isa, shared: Shared::default() })
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Measures what the processors can do at most, with `bytes` of memory to read.
    ///
    /// # Errors
    /// If the system refuses the memory.
    pub fn probe(&self, bytes: Bytes) -> Result<Probe, Refused> {
        Probe::new(Arc::clone(&self.pool), self.isa, bytes)
    }

    /// Threads that take part in a run.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }
}

impl Backend for CpuBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn accept(&self, step: &Step, plan: &Plan) -> Result<Needs, Refusal> {
        steps::check(step, plan)?;
        let mut needs = Needs::default();
        for (id, want) in weights::uses(step, plan) {
            if want != Use::Lookup {
                needs.weights.push((id, weights::bytes(&plan.weights[id.0 as usize], want)));
            }
        }
        needs.scratch = steps::scratch(step, plan, self.threads()).align_up(64);
        if let Op::Rope(_) = step.op {
            needs.tables = Tables::of(plan).bytes();
        }
        Ok(needs)
    }

    fn freedom(&self, step: &Step, plan: &Plan) -> Freedom {
        steps::freedom(step, plan)
    }

    fn load(
        &self,
        plan: Plan,
        weights: Arc<dyn WeightSource>,
        grant: &mut Grant,
        control: &dyn Control,
    ) -> Result<Arc<dyn Program>, LoadError> {
        let mut scratch = Bytes::ZERO;
        for step in &plan.steps {
            scratch = scratch.max(self.accept(step, &plan)?.scratch);
        }
        let scratch = Bytes(Tables::of(&plan).bytes().0.saturating_add(scratch.0));
        let placement = Placement::of(&plan);
        let layout = Layout::of(&plan);
        let mut team = self.pool.team();
        let what = (&plan, &placement);
        let packed = Packed::load(what, &*weights, &self.shared, &mut team, grant, control)?;
        drop(team);
        let mut tables = Tables::of(&plan);
        tables.place(&placement);
        let tasks = steps::tasks(&plan, &layout, &placement, &tables, (packed.bytes(), self.isa));
        let pool = Arc::clone(&self.pool);
        let tuner = Mutex::new(Tuner::new(pool.most()));
        Ok(Arc::new(CpuProgram {
            plan,
            isa: self.isa,
            pool,
            source: weights,
            weights: packed,
            placement,
            layout,
            tables,
            tasks,
            scratch,
            tuner,
        }))
    }
}

/// A loaded plan: weights in panels and a schedule of tasks.
pub(crate) struct CpuProgram {
    pub(crate) plan: Plan,
    pub(crate) isa: Isa,
    pub(crate) pool: Arc<Pool>,
    pub(crate) source: Arc<dyn WeightSource>,
    pub(crate) weights: Packed,
    pub(crate) placement: Placement,
    pub(crate) layout: Layout,
    pub(crate) tables: Tables,
    pub(crate) tasks: Vec<Task>,
    pub(crate) scratch: Bytes,
    /// Threads of a token.
    tuner: Mutex<Tuner>,
}

impl CpuProgram {
    /// What decides how many threads run a token.
    pub(crate) fn tuner(&self) -> MutexGuard<'_, Tuner> {
        self.tuner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CpuProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CpuProgram({} tasks, {} weights)", self.tasks.len(), self.placement.bytes)
    }
}

impl Program for CpuProgram {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn units(&self) -> Vec<Unit> {
        self.tasks.iter().map(|task| Unit::of(&self.plan, task.steps.clone())).collect()
    }

    fn state(self: Arc<Self>, grant: &mut Grant) -> Result<Box<dyn State>, LoadError> {
        let kinds = [BufferKind::Arena, BufferKind::Io].map(|kind| self.plan.bytes_of(kind));
        let kv = self.plan.states.iter().map(plan::KvCache::bytes).sum();
        for bytes in kinds.into_iter().chain([kv, self.scratch]) {
            grant.take(bytes)?;
        }
        let mut team = self.pool.team();
        let pages = Pages::of(&self.plan);
        let mut region = |bytes| {
            Region::touched(bytes, pages, &mut team).map_err(|_| LoadError::Memory { bytes })
        };
        let (values, kv, scratch) =
            (region(self.layout.bytes)?, region(kv)?, region(self.scratch)?);
        drop(team);
        Ok(Box::new(CpuState::new(self, values, kv, scratch)))
    }
}
