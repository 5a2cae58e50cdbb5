//! Whether a model fits: every need named and summed before a weight is read. What does
//! not fit comes back with the nearest settings that do.

use crate::{
    device,
    error::EngineError,
    lm::LanguageModel,
    model::ModelFile,
    store::{Fallback, Origin, Packs},
};
use cpu::{CpuBackend, Isa};
use import::{Imported, Options, Output};
use plan::{BufferKind, Control, KvType, Plan, Promise};
use std::{fmt, num::NonZeroUsize, path::PathBuf, sync::Arc};
use tensor::Bytes;

/// The context that is planned for when none is asked for, if the model has more.
pub const CONTEXT_DEFAULT: u64 = 8192;
/// Tokens of one run of a prompt, unless asked for otherwise.
pub const CHUNK_DEFAULT: u64 = 512;
/// Pages of code, stacks and allocator that are touched only while the model runs: up to 3.4 MiB
/// were measured over the runs of the embedded model and stories260K (x86-64, 2026-11-22). Two runs
/// of the same differ by half a MiB: the system maps code in windows around what is touched, and a
/// program lies elsewhere each time.
const PROGRAM_LATER: Bytes = Bytes::kib(3712);
/// Stack and allocator of a thread.
const THREAD_LATER: Bytes = Bytes::kib(16);

/// Where packed weights are to lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightPlace {
    /// In memory if that fits the budget, else in a cache file if there is a folder for it.
    #[default]
    Auto,
    /// In memory of their own, on huge pages: fastest.
    Packed,
    /// In a cache file that is mapped: evictable, shared between processes, there at the next start.
    Mapped,
}

/// What is asked of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Positions; where absent, the least of the model's own, what the budget allows, and
    /// [`CONTEXT_DEFAULT`].
    pub context: Option<u64>,
    /// The most memory that may be taken.
    pub memory: Option<Bytes>,
    /// How keys and values are stored.
    pub kv: KvType,
    /// Tokens of one run of a prompt.
    pub chunk: u64,
    /// Rows of logits of one run.
    pub rows: u64,
    /// Threads; where absent, one for each processor that may be used and is as fast as others.
    pub threads: Option<NonZeroUsize>,
    /// Instructions; where absent, the best that the processor has. They change no bit.
    pub isa: Option<Isa>,
    /// What is wanted of a run.
    pub output: Output,
    /// What the program holds already; where absent, what this process holds now.
    pub program: Option<Bytes>,
    /// Where packed weights are to lie.
    pub weights: WeightPlace,
    /// The folder of cache files; without one weights are packed into memory.
    pub cache: Option<PathBuf>,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            context: None,
            memory: None,
            kv: KvType::F16,
            chunk: CHUNK_DEFAULT,
            rows: 1,
            threads: None,
            isa: None,
            output: Output::Logits,
            program: None,
            weights: WeightPlace::Auto,
            cache: None,
        }
    }
}

/// Settings that would fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Positions.
    pub context: u64,
    /// How keys and values are stored.
    pub kv: KvType,
    /// Tokens of one run.
    pub chunk: u64,
    /// What that takes.
    pub need: Bytes,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { context, kv, chunk, need } = self;
        write!(f, "--ctx {context} --kv {kv} --chunk {chunk} ({need})")
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
    place: WeightPlace,
}

/// The parts that loading takes.
pub(crate) struct Parts {
    pub(crate) model: Arc<ModelFile>,
    pub(crate) backend: CpuBackend,
    pub(crate) planned: Planned,
    pub(crate) packs: Option<Packs>,
    /// What packed weights may take of memory.
    pub(crate) weights: Bytes,
}

/// The places that are tried, in this order.
fn places(model: &ModelFile, request: &Request) -> Result<&'static [WeightPlace], EngineError> {
    use WeightPlace::{Auto, Mapped, Packed};
    let lacks = |what| EngineError::Lacks { file: model.label().to_owned(), what };
    let in_memory = model.origins().iter().any(|origin| matches!(origin, Origin::Memory(_)));
    match (request.weights, &request.cache) {
        (Packed, _) | (Auto, None) => Ok(&[Packed]),
        (Auto, Some(_)) if in_memory => Ok(&[Packed]),
        (Auto, Some(_)) => Ok(&[Packed, Mapped]),
        (Mapped, _) if in_memory => Err(lacks("file of its own to keep packed weights of")),
        (Mapped, None) => Err(lacks("folder for packed weights")),
        (Mapped, Some(_)) => Ok(&[Mapped]),
    }
}

impl Fit {
    /// Plans for a request.
    pub(crate) fn new(model: &Arc<ModelFile>, request: &Request) -> Result<Self, EngineError> {
        let limits = device::Limits::read();
        let processors = NonZeroUsize::new(limits.processors).unwrap_or(NonZeroUsize::MIN);
        let alike = NonZeroUsize::new(limits.alike).unwrap_or(processors);
        let threads = request.threads.unwrap_or(alike);
        let backend = CpuBackend::limited(threads, processors).map_err(EngineError::Threads)?;
        let backend = backend.using(request.isa.unwrap_or_else(Isa::detect));
        let embedded = model.origins().iter().filter_map(Origin::touched).map(|bytes| bytes.0);
        let embedded = Bytes(embedded.sum());
        let resident = || device::resident().map_or(Bytes::mib(16), |resident| resident.now);
        let program = request.program.unwrap_or_else(|| resident().saturating_sub(embedded));
        let place = WeightPlace::Packed;
        let mut planner = Planner { model, backend: &backend, embedded, program, place };
        let own = model.model().settings.context;
        let wanted = request.context.unwrap_or(own.min(CONTEXT_DEFAULT)).max(1);
        let have = request.memory.unwrap_or(Bytes(u64::MAX));
        for &place in places(model, request)? {
            planner.place = place;
            if let Some((context, (plan, constants))) = planner.solve(wanted, request, have)? {
                let (model, request) = (model.clone(), request.clone());
                return Ok(Self { model, backend, plan, constants, request, context, place });
            }
        }
        let need = planner.need(&planner.plan(wanted, request)?.0);
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

    /// What the context goes beyond: the positions that the model was made for, or a window that
    /// its file names and its family does not use.
    pub fn notices(&self) -> Vec<String> {
        let settings = &self.model.model().settings;
        let (context, own) = (self.context, settings.context);
        let made_for = (context > own).then(|| {
            format!(
                "a context of {context} is more than the {own} positions that the model was made \
                 for: what it writes beyond them may lack sense"
            )
        });
        let window = settings.window_unused.filter(|window| context > u64::from(*window));
        let unused = window.map(|window| {
            format!(
                "the file names a sliding window of {window} positions, which is not used for this \
                 family of GGUF files, as in llama.cpp; --ctx {window} stays within it"
            )
        });
        made_for.into_iter().chain(unused).collect()
    }

    /// Loads the weights within the promise.
    ///
    /// # Errors
    /// If a weight cannot be read, the system refuses memory, or the caller cancels.
    pub fn load(self, control: &dyn Control) -> Result<LanguageModel, EngineError> {
        LanguageModel::load(self, control)
    }

    /// Where packed weights will lie: packed or mapped.
    pub fn place(&self) -> WeightPlace {
        self.place
    }

    /// What the same plan takes with weights in either place.
    pub fn choices(&self) -> [(WeightPlace, Promise); 2] {
        [WeightPlace::Packed, WeightPlace::Mapped].map(|place| {
            let mut plan = self.plan.clone();
            lay(&mut plan, self.place, place);
            (place, plan.promise())
        })
    }

    /// The parts that loading takes.
    pub(crate) fn into_parts(self) -> Parts {
        let Self { model, backend, plan, constants, request, place, .. } = self;
        let fits = plan.promise().total() <= request.memory.unwrap_or(Bytes(u64::MAX));
        let fallback = if fits { Fallback::Memory } else { Fallback::None };
        let folder = request.cache.filter(|_| place == WeightPlace::Mapped);
        let weights = match (&folder, fallback) {
            (None, _) => plan.bytes_of(BufferKind::PackedWeights),
            (Some(_), Fallback::Memory) => plan.bytes_of(BufferKind::MappedWeights),
            (Some(_), Fallback::None) => Bytes::ZERO,
        };
        let packs = folder.map(|folder| Packs::new(folder, model.origins().clone(), fallback));
        Parts { model, backend, planned: (plan, constants), packs, weights }
    }
}

/// Turns the weights of a plan from one place to another.
fn lay(plan: &mut Plan, from: WeightPlace, to: WeightPlace) {
    let kind = |place| match place {
        WeightPlace::Mapped => BufferKind::MappedWeights,
        WeightPlace::Packed | WeightPlace::Auto => BufferKind::PackedWeights,
    };
    if kind(from) == kind(to) {
        return;
    }
    for buffer in plan.buffers.iter_mut().filter(|buffer| buffer.kind == kind(from)) {
        buffer.kind = kind(to);
    }
}

/// Makes plans of one model for several contexts.
struct Planner<'a> {
    model: &'a Arc<ModelFile>,
    backend: &'a CpuBackend,
    /// What of the program is the model.
    embedded: Bytes,
    program: Bytes,
    place: WeightPlace,
}

impl Planner<'_> {
    /// What must fit the budget: pages of a mapped file give way when memory is short.
    fn need(&self, plan: &Plan) -> Bytes {
        let promise = plan.promise();
        if self.place == WeightPlace::Mapped { promise.private } else { promise.total() }
    }

    /// A plan that fits, with its context: the one that is wanted, or a smaller one if none was
    /// asked for.
    fn solve(
        &self,
        wanted: u64,
        request: &Request,
        have: Bytes,
    ) -> Result<Option<(u64, Planned)>, EngineError> {
        let planned = self.plan(wanted, request)?;
        if self.need(&planned.0) <= have {
            return Ok(Some((wanted, planned)));
        }
        if request.context.is_some() {
            return Ok(None);
        }
        let context = self.largest_context(wanted, request, have)?;
        context.map(|context| Ok((context, self.plan(context, request)?))).transpose()
    }

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
        lay(&mut plan, WeightPlace::Packed, self.place);
        let vocabulary = self.model.tokenizer().map_or(0, |tokenizer| tokenizer.heap_bytes());
        let vocabulary = Bytes(vocabulary as u64);
        plan.name("vocabulary".into(), BufferKind::Vocabulary, vocabulary);
        // A model inside the program is read from the program's own pages, which then stay.
        if self.embedded > Bytes(0) {
            plan.name("embedded".into(), BufferKind::MappedWeights, self.embedded);
        }
        // History, the sampler's candidates and penalties, one copy of the logits.
        let tokens = self.model.model().settings.vocabulary;
        let session = Bytes(context * 4 + tokens * 24);
        plan.name("session".into(), BufferKind::Session, session);
        let threads = self.backend.threads() as u64;
        let later = PROGRAM_LATER.0 + THREAD_LATER.0 * threads;
        let program = self.program.saturating_sub(vocabulary).0 + later;
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
        let need = |context: u64| self.plan(context, request).map(|(plan, _)| self.need(&plan));
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

    /// The nearest settings that fit: as asked but with less context, with smaller caches, with
    /// shorter runs.
    fn advice(
        &self,
        most: u64,
        request: &Request,
        have: Bytes,
    ) -> Result<Vec<Advice>, EngineError> {
        let mut list: Vec<Advice> = Vec::new();
        let smallest = KvType::Q8_0;
        for (kv, chunk) in [(request.kv, request.chunk), (smallest, request.chunk), (smallest, 64)]
        {
            let tried = Request { kv, chunk: chunk.min(request.chunk), ..request.clone() };
            if let Some(context) = self.largest_context(most, &tried, have)? {
                let need = self.need(&self.plan(context, &tried)?.0);
                let advice = Advice { context, kv, chunk: tried.chunk, need };
                if list.iter().all(|known| known.context < context) {
                    list.push(advice);
                }
            }
        }
        Ok(list)
    }
}
