//! Promised memory: what does not fit is refused with settings that do.

use crate::{house, load, request};
use ledge_engine::{EngineError, ModelFile, Request};
use plan::KvType;
use std::sync::Arc;
use tensor::Bytes;

/// A request that does not depend on what other tests hold.
fn fixed() -> Request {
    Request { program: Some(Bytes::mib(16)), ..Request::default() }
}

#[test]
fn what_does_not_fit_is_refused_with_settings_that_do() {
    let model = Arc::new(ModelFile::open(&house()).unwrap());
    let full = Request { kv: KvType::F32, context: Some(2048), ..fixed() };
    let need = model.fit(&full).unwrap().promise().total();
    let memory = Some(Bytes(need.0 - 1024 * 1024));
    let refused = model.fit(&Request { memory, ..full.clone() }).unwrap_err();
    let EngineError::DoesNotFit(refusal) = refused else { panic!("{refused}") };
    assert!(refusal.need > refusal.have, "{refusal}");
    assert!(!refusal.advice.is_empty());
    for advice in refusal.advice {
        let (context, kv, chunk) = (Some(advice.context), advice.kv, advice.chunk);
        let fit = model.fit(&Request { memory, context, kv, chunk, ..full.clone() }).unwrap();
        assert!(Some(fit.promise().total()) <= memory);
    }
}

#[test]
fn without_a_wish_the_context_shrinks_to_the_budget() {
    let model = Arc::new(ModelFile::open(&house()).unwrap());
    let free = model.fit(&fixed()).unwrap();
    let memory = Some(Bytes(free.promise().total().0 - 1024 * 1024));
    let tight = model.fit(&Request { memory, ..fixed() }).unwrap();
    assert!(tight.context() < free.context());
    assert!(Some(tight.promise().total()) <= memory);
    let hopeless = Request { memory: Some(Bytes::kib(64)), ..Request::default() };
    let refused = model.fit(&hopeless).unwrap_err();
    let EngineError::DoesNotFit(refusal) = refused else { panic!("{refused}") };
    assert_eq!(refusal.advice, []);
}

#[test]
fn the_promise_covers_one_session_at_a_time() {
    let lm = load(&house(), &request(1, 16));
    let first = lm.session().unwrap();
    assert!(lm.session().is_err());
    drop(first);
}
