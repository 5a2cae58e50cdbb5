//! A loaded language model: shared weights, one state for each session.

use crate::{
    device::{Clock, Ledger, Monotonic},
    error::EngineError,
    fit::{Fit, Parts},
    llm::session::Session,
    model::ModelFile,
};
use plan::{Backend, BufferKind, Control, Grant, Plan, Program, Promise};
use std::sync::{Arc, Mutex, PoisonError};
use tensor::Bytes;

/// Weights in memory, ready to run.
#[derive(Debug)]
pub struct LanguageModel {
    model: Arc<ModelFile>,
    program: Arc<dyn Program>,
    ledger: Mutex<Ledger>,
    per_session: Bytes,
    promise: Promise,
    context: u64,
    clock: Arc<dyn Clock>,
    notices: Vec<String>,
}

impl LanguageModel {
    pub(crate) fn load(fit: Fit, control: &dyn Control) -> Result<Self, EngineError> {
        let (promise, context, mut notices) = (fit.promise(), fit.context(), fit.notices());
        let Parts { model, backend, planned: (plan, constants), packs, weights } = fit.into_parts();
        let bytes_of = |kinds: &[BufferKind]| kinds.iter().map(|kind| plan.bytes_of(*kind)).sum();
        let kinds = [BufferKind::Kv, BufferKind::Arena, BufferKind::Scratch, BufferKind::Io];
        let per_session: Bytes = bytes_of(&kinds);
        let mut ledger = Ledger::new(Bytes(weights.0.saturating_add(per_session.0)));
        let mut grant = ledger.grant(weights).unwrap_or_else(|| Grant::new(Bytes::ZERO));
        let source = Arc::new(model.weights(constants).kept_in(packs));
        let program = backend.load(plan, source.clone(), &mut grant, control)?;
        model.check_unchanged()?;
        notices.extend(source.notices());
        Ok(Self {
            model,
            notices,
            program,
            ledger: Mutex::new(ledger),
            per_session,
            promise,
            context,
            clock: Arc::new(Monotonic::default()),
        })
    }

    /// The file that was loaded.
    pub fn model(&self) -> &Arc<ModelFile> {
        &self.model
    }

    /// What nobody asked for: what the context goes beyond, what happened while loading.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The plan that is run.
    pub fn plan(&self) -> &Plan {
        self.program.plan()
    }

    /// The units of the schedule, by the numbers that spans of a trace have.
    pub fn units(&self) -> Vec<plan::Unit> {
        self.program.units()
    }

    /// What was promised before loading.
    pub fn promise(&self) -> Promise {
        self.promise
    }

    /// Positions of a session.
    pub fn context(&self) -> u64 {
        self.context
    }

    /// The clock by which sessions are timed.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// A new sequence. The promise covers one; a second one is refused while the first lives.
    ///
    /// # Errors
    /// If the promised memory is taken, or the system refuses it.
    pub fn session(&self) -> Result<Session, EngineError> {
        let state = {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            let grant = ledger.grant(self.per_session);
            let mut grant = grant.unwrap_or_else(|| Grant::new(Bytes::ZERO));
            self.program.clone().state(&mut grant)?
        };
        Ok(Session::new(state, self.context))
    }
}
