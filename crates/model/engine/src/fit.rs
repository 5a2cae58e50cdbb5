//! Whether a model fits: every need named and summed before a weight is read. What does
//! not fit comes back with the nearest settings that do.

use crate::{device, error::EngineError, lm::LanguageModel, model::ModelFile, store::Origin};
use cpu::CpuBackend;
use import::{Imported, Options, Output};
use plan::{BufferKind, Control, Plan, Promise};
use std::{fmt, num::NonZeroUsize, sync::Arc};
use tensor::{Bytes, DType};

/// The context that is planned for when none is asked for, if the model has more.
pub const CONTEXT_DEFAULT: u64 = 8192;
/// Tokens of one run of a prompt, unless asked for otherwise.
pub const CHUNK_DEFAULT: u64 = 512;
/// Pages of code, stacks and allocator that are touched only while the model runs: 0.8 to 1.1 MiB
/// were measured on the models of `cargo xtask get` and the embedded one (x86-64, 2026-11-21).
const PROGRAM_LATER: Bytes = Bytes::kib(1536);

/// What is asked of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Positions; where absent, the least of the model's own, what the budget allows, and
    /// [`CONTEXT_DEFAULT`].
    pub context: Option<u64>,
    /// The most memory that may be taken.
    pub memory: Option<Bytes>,
    /// How keys and values are stored: F32 or F16.
    pub kv: DType,
    /// Tokens of one run of a prompt.
    pub chunk: u64,
    /// Rows of logits of one run.
    pub rows: u64,
    /// Threads; where absent, one for each processor that may be used.
    pub threads: Option<NonZeroUsize>,
    /// What is wanted of a run.
    pub output: Output,
    /// What the program holds already; where absent, what this process holds now.
    pub program: Option<Bytes>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            context: None,
            memory: None,
            kv: DType::F16,
            chunk: CHUNK_DEFAULT,
            rows: 1,
            threads: None,
            output: Output::Logits,
            program: None,
        }
    }
}

/// Settings that would fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Positions.
    pub context: u64,
    /// How keys and values are stored.
    pub kv: DType,
    /// Tokens of one run.
    pub chunk: u64,
    /// What that takes.
    pub need: Bytes,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kv = self.kv.name().to_ascii_lowercase();
        write!(f, "--ctx {} --kv {kv} --chunk {} ({})", self.context, self.chunk, self.need)
    }
}

/// What was asked for is more than there is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{need} are needed for a context of {context}, {have} may be taken")]
pub struct DoesNotFit {
    /// What it would take.
    pub need: Bytes,
    /// What may be taken.
    pub have: Bytes,
    /// The context that was asked for, or the smallest that makes sense.
    pub context: u64,
    /// The nearest settings that fit; none if no context does.
    pub advice: Vec<Advice>,
}

/// A plan with the constants that its weights name beside the file's tensors.
pub(crate) type Planned = (Plan, Vec<(String, Vec<f32>)>);

/// A model with a plan that fits.
#[derive(Debug)]
pub struct Fit {
    model: Arc<ModelFile>,
    backend: CpuBackend,
    plan: Plan,
    constants: Vec<(String, Vec<f32>)>,
    request: Request,
    context: u64,
}

impl Fit {
    /// Plans for a request.
    pub(crate) fn new(model: &Arc<ModelFile>, request: &Request) -> Result<Self, EngineError> {
        let limits = device::Limits::read();
        let processors = NonZeroUsize::new(limits.processors).unwrap_or(NonZeroUsize::MIN);
        let threads = request.threads.unwrap_or(processors);
        let backend = CpuBackend::new(threads).map_err(EngineError::Threads)?;
        let resident = || device::resident().map_or(Bytes::mib(16), |resident| resident.now);
        let program = request.program.unwrap_or_else(resident);
        let planner = Planner { model, backend: &backend, program };
        let budget = request.memory;
        let own = model.model().settings.context;
        let wanted = request.context.unwrap_or(own.min(CONTEXT_DEFAULT)).max(1);
        let (plan, constants) = planner.plan(wanted, request)?;
        let need = plan.promise().total();
        let have = budget.unwrap_or(Bytes(u64::MAX));
        if need <= have {
            let (model, request) = (model.clone(), request.clone());
            return Ok(Self { model, backend, plan, constants, request, context: wanted });
        }
        if request.context.is_none()
            && let Some(context) = planner.largest_context(wanted, request, have)?
        {
            let (plan, constants) = planner.plan(context, request)?;
            let (model, request) = (model.clone(), request.clone());
            return Ok(Self { model, backend, plan, constants, request, context });
        }
        let advice = planner.advice(wanted, request, have)?;
        Err(DoesNotFit { need, have, context: wanted, advice }.into())
    }

    /// What was asked for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The model.
    pub fn model(&self) -> &Arc<ModelFile> {
        &self.model
    }

    /// Positions that were planned.
    pub fn context(&self) -> u64 {
        self.context
    }

    /// Threads that will run.
    pub fn threads(&self) -> usize {
        self.backend.threads()
    }

    /// Steps and buffers.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The sum of all buffers.
    pub fn promise(&self) -> Promise {
        self.plan.promise()
    }

    /// Loads the weights within the promise.
    ///
    /// # Errors
    /// If a weight cannot be read, the system refuses memory, or the caller cancels.
    pub fn load(self, control: &dyn Control) -> Result<LanguageModel, EngineError> {
        LanguageModel::load(self, control)
    }

    /// The parts that loading takes.
    pub(crate) fn into_parts(self) -> (Arc<ModelFile>, CpuBackend, Planned) {
        (self.model, self.backend, (self.plan, self.constants))
    }
}

/// Makes plans of one model for several contexts.
struct Planner<'a> {
    model: &'a Arc<ModelFile>,
    backend: &'a CpuBackend,
    program: Bytes,
}

impl Planner<'_> {
    fn plan(&self, context: u64, request: &Request) -> Result<Planned, EngineError> {
        let file = || self.model.label().to_owned();
        let tokens = request.chunk.clamp(1, context);
        let options = Options {
            tokens,
            rows: request.rows.clamp(1, tokens),
            context,
            kv: request.kv,
            output: request.output,
        };
        let built = self.model.model().build(&options);
        let Imported { graph, constants } =
            built.map_err(|source| EngineError::Import { file: file(), source })?;
        let compiled = graph::compile(graph);
        let mut plan = compiled.map_err(|source| EngineError::Graph { file: file(), source })?;
        plan.place(self.backend).map_err(plan::LoadError::from)?;
        let vocabulary = self.model.tokenizer().map_or(0, |tokenizer| tokenizer.heap_bytes());
        let vocabulary = Bytes(vocabulary as u64);
        plan.name("vocabulary".into(), BufferKind::Vocabulary, vocabulary);
        // A model inside the program is read from the program's own pages, which then stay.
        let memory = |origin: &Origin| matches!(origin, Origin::Memory(_));
        if self.model.origins().iter().any(memory) {
            let table = self.model.model().tensors.table();
            let bytes = table.iter().map(|tensor| tensor.bytes).sum();
            plan.name("embedded".into(), BufferKind::MappedWeights, bytes);
        }
        // History, the sampler's candidates and penalties, one copy of the logits.
        let tokens = self.model.model().settings.vocabulary;
        let session = Bytes(context * 4 + tokens * 24);
        plan.name("session".into(), BufferKind::Session, session);
        let program = self.program.saturating_sub(vocabulary).0 + PROGRAM_LATER.0;
        plan.name("program".into(), BufferKind::Program, Bytes(program));
        Ok((plan, constants))
    }

    /// The largest context up to `most` whose plan takes at most `have`.
    fn largest_context(
        &self,
        most: u64,
        request: &Request,
        have: Bytes,
    ) -> Result<Option<u64>, EngineError> {
        let need =
            |context: u64| self.plan(context, request).map(|(plan, _)| plan.promise().total());
        // Whole pages of the caches: contexts between two pages take the same memory.
        let (mut fits, mut too_large) = (0, most.div_ceil(plan::state::KV_PAGE) + 1);
        while fits + 1 < too_large {
            let middle = u64::midpoint(fits, too_large);
            if need((middle * plan::state::KV_PAGE).min(most))? <= have {
                fits = middle;
            } else {
                too_large = middle;
            }
        }
        Ok((fits > 0).then(|| (fits * plan::state::KV_PAGE).min(most)))
    }

    /// The nearest settings that fit: as asked but with less context, with 16-bit caches, with
    /// shorter runs.
    fn advice(
        &self,
        most: u64,
        request: &Request,
        have: Bytes,
    ) -> Result<Vec<Advice>, EngineError> {
        let mut list: Vec<Advice> = Vec::new();
        for (kv, chunk) in
            [(request.kv, request.chunk), (DType::F16, request.chunk), (DType::F16, 64)]
        {
            let tried = Request { kv, chunk: chunk.min(request.chunk), ..request.clone() };
            if let Some(context) = self.largest_context(most, &tried, have)? {
                let need = self.plan(context, &tried)?.0.promise().total();
                let advice = Advice { context, kv, chunk: tried.chunk, need };
                if list.iter().all(|known| known.context < context) {
                    list.push(advice);
                }
            }
        }
        Ok(list)
    }
}
